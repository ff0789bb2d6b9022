import IOSimulation

/// Who lives in a world: clients that call every RPC, and the checkers of what they see.
///
/// Each client has a random stream of its own, so that a fault that is taken out of a plan does not
/// shift what the others choose.
enum Workload {
    /// Clients of each project that write to people of their own; as many write to shared ones.
    private static let writers = 2
    /// One run in so many waits until erased people must have left the files.
    private static let seedsPerSearch: UInt64 = 4

    static func install(in world: World) {
        let history = History(onEvent: { [unowned world] in world.record($0) })
        let preparation = Preparation()
        var number = 0
        func seed() -> UInt64 {
            number += 1
            var random = RandomStream.clients.random(of: world.plan.seed, number)
            return random.next()
        }
        func add(_ name: String, _ script: any CallScript, isFirst: Bool = false) {
            let actor = CallActor(
                name, script, history, key: SimulatedKeys.operatorText, seed: seed())
            world.add(isFirst ? actor : Prepared(actor, preparation))
        }
        add("operator", OperatorScript(preparation), isFirst: true)
        for project in 0 ..< Projects.count {
            let tag = Projects.name(project)
            for client in 0 ..< Self.writers {
                add("solo-\(tag)-\(client)", SoloScript(client: client, project: project))
                add("shared-\(tag)-\(client)", SharedScript(client: client, project: project))
                add("crowd-\(tag)-\(client)", CrowdScript(client: client, project: project))
                add(
                    "reader-\(tag)-\(client)",
                    ReaderScript(project: project, writers: Self.writers, history: history))
            }
            add("merge-\(tag)", MergeScript(client: 0, project: project))
            add("consent-\(tag)", ConsentScript(client: 0, project: project))
            add("erasure-\(tag)", ErasureScript(client: 0, project: project))
            add("keys-\(tag)", KeyScript(project: project))
            for stream in self.streams(project, history, preparation, seed: seed) {
                world.add(Prepared(stream, preparation))
            }
        }
        let reads = (0 ..< Projects.count).flatMap { self.reads($0) }
        world.add(Auditor(world, history, reads: reads))
        let isSearchingFiles = world.plan.seed % Self.seedsPerSearch == 0
        for checker in Checkers.all(history, isSearchingFiles: isSearchingFiles) {
            world.add(checker)
        }
    }

    private static func streams(
        _ project: Int, _ history: History, _ preparation: Preparation, seed: () -> UInt64
    ) -> [StreamActor] {
        let tag = Projects.name(project)
        let key = SimulatedKeys.operatorText
        return [
            TrackStreamActor(
                "stream-\(tag)", 0, project: project, history, key: key, seed: seed()),
            ImportActor("import-\(tag)", 0, project: project, history, key: key, seed: seed()),
            ExportActor("export-\(tag)", project: project, history, key: key, seed: seed()),
            WatchActor("watch-\(tag)-0", project: project, history, key: key, seed: seed()),
            WatchActor("watch-\(tag)-1", project: project, history, key: key, seed: seed()),
            ConsumerActor(
                "consumer-\(tag)-0", project: project, history, preparation, key: key,
                seed: seed()),
            ConsumerActor(
                "consumer-\(tag)-1", project: project, history, preparation, key: key,
                seed: seed()),
            ProbeActor("health-\(tag)", project: project, history, key: key, seed: seed()),
        ]
    }

    private static func reads(_ project: Int) -> [PlannedCall] {
        var people = (0 ..< Self.writers).flatMap { client in
            (0 ..< SoloScript.people).map { SoloScript.person(client, $0, project) }
        }
        people += (0 ..< ImportActor.people).map { ImportActor.person(0, $0, project) }
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
