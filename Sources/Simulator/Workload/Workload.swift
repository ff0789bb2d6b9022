import IOSimulation
import ProfileClient

/// Who lives in a world: clients that call every RPC, and the checkers of what they see.
///
/// Each client has a random stream of its own, so that a fault that is taken out of a plan does not
/// shift what the others choose.
package enum Workload {
    /// Clients of each project that write to people of their own; as many write to shared ones.
    private static let writers = 2
    /// Number of the random stream that chooses the clients of the first project; those before it
    /// are the clients' own.
    private static let choices = 1_000
    /// One run in so many waits until erased people must have left the files.
    private static let seedsPerSearch: UInt64 = 4

    /// Puts clients and checkers into a world.
    ///
    /// Each seed leaves some clients out, a half on average: those that are left have more of the
    /// steps, and histories differ more than if everybody were there each time.
    static func install(in world: World) {
        let history = History(onEvent: { [unowned world] in world.record($0) })
        let preparation = Preparation()
        var actors = [
            CallActor(
                "operator", OperatorScript(preparation), history,
                key: SimulatedKeys.operatorText, seed: self.seed(of: world, 0))
                as any SimulatedActor
        ]
        for project in 0 ..< Projects.count {
            var number = 0
            func seed() -> UInt64 {
                number += 1
                return self.seed(of: world, 1 + number * Projects.count + project)
            }
            let all =
                self.scripts(project, history).map { name, script in
                    CallActor(
                        "\(name)-\(project)", script, history, key: SimulatedKeys.operatorText,
                        seed: seed()) as any SimulatedActor
                }
                + self.streams(project, history, preparation, seed: seed).map {
                    $0 as any SimulatedActor
                } + [
                    HastyActor(
                        "hasty-\(project)", project: project, history,
                        key: SimulatedKeys.operatorText, seed: seed()) as any SimulatedActor
                ]
            var random = RandomStream.clients.random(of: world.plan.seed, Self.choices + project)
            for actor in all {
                // Without its consumer no firing would ever be taken.
                let isNeeded = actor.name.hasPrefix("consumer-0") || actor.name.hasPrefix("watch-0")
                let isIn = random.below(2) == 0
                if isIn || isNeeded { actors.append(Prepared(actor, preparation)) }
            }
        }
        for actor in actors { world.add(actor) }
        let reads = (0 ..< Projects.count).flatMap { self.reads($0) }
        world.add(Auditor(world, history, reads: reads))
        let isSearchingFiles = world.plan.seed % Self.seedsPerSearch == 0
        for checker in Checkers.all(history, isSearchingFiles: isSearchingFiles) {
            world.add(checker)
        }
    }

    private static func seed(of world: World, _ number: Int) -> UInt64 {
        var random = RandomStream.clients.random(of: world.plan.seed, number)
        return random.next()
    }

    /// Path of a method as the history names it.
    package static func path(of method: String) -> String {
        method.contains("/") ? "/" + method : RPCMethod.named(method).path
    }

    private static func scripts(
        _ project: Int, _ history: History
    ) -> [(String, any CallScript)] {
        var all: [(String, any CallScript)] = []
        for client in 0 ..< Self.writers {
            all += [
                ("solo\(client)", SoloScript(client: client, project: project)),
                ("shared\(client)", SharedScript(client: client, project: project)),
                ("crowd\(client)", CrowdScript(client: client, project: project)),
                (
                    "reader\(client)",
                    ReaderScript(project: project, writers: Self.writers, history: history)
                ),
            ]
        }
        return all + [
            ("merge", MergeScript(client: 0, project: project)),
            ("consent", ConsentScript(client: 0, project: project)),
            ("erasure", ErasureScript(client: 0, project: project)),
            ("keys", KeyScript(project: project)),
        ]
    }

    private static func streams(
        _ project: Int, _ history: History, _ preparation: Preparation, seed: () -> UInt64
    ) -> [StreamActor] {
        let key = SimulatedKeys.operatorText
        return [
            TrackStreamActor(
                "stream-\(project)", 0, project: project, history, key: key, seed: seed()),
            ImportActor("import-\(project)", 0, project: project, history, key: key, seed: seed()),
            ExportActor("export-\(project)", project: project, history, key: key, seed: seed()),
            WatchActor("watch-0-\(project)", project: project, history, key: key, seed: seed()),
            WatchActor("watch-1-\(project)", project: project, history, key: key, seed: seed()),
            ConsumerActor(
                "consumer-0-\(project)", project: project, history, preparation, key: key,
                seed: seed()),
            ConsumerActor(
                "consumer-1-\(project)", project: project, history, preparation, key: key,
                seed: seed()),
            ProbeActor("health-\(project)", project: project, history, key: key, seed: seed()),
        ]
    }

    private static func reads(_ project: Int) -> [PlannedCall] {
        var people = (0 ..< Self.writers).flatMap { client in
            (0 ..< SoloScript.people).map { SoloScript.person(client, $0, project) }
        }
        people += (0 ..< ImportActor.people).map { ImportActor.person(0, $0, project) }
        people += (0 ..< HastyActor.people).map { HastyActor.person($0, project) }
        people.append(TrackStreamActor.person(0, project))
        return Auditor.reads(
            project, people: people,
            shared: (0 ..< SharedScript.people).map { SharedScript.person($0, project) },
            consenting: (0 ..< ConsentScript.people).map {
                PersonKey(project, ConsentScript.name(0, $0))
            })
    }
}

/// An actor that begins once the projects are made.
private final class Prepared: SimulatedActor {
    private let actor: any SimulatedActor
    private let preparation: Preparation

    init(_ actor: any SimulatedActor, _ preparation: Preparation) {
        self.actor = actor
        self.preparation = preparation
    }

    var name: String { self.actor.name }
    var isIdle: Bool { self.preparation.isDone && self.actor.isIdle }

    func turn(_ world: World) -> Bool { self.preparation.isDone && self.actor.turn(world) }
}
