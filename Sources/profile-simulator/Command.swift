import Foundation
import Simulator

/// What is wrong with the arguments.
struct UsageError: Error {
    var text: String
}

/// What the program was asked to do.
enum Command {
    /// Run many seeds, several at once.
    case run(SeedRange, RunOptions)
    /// Run one plan and show how it went.
    case replay(SimulationPlan, isShrinking: Bool)
    /// Run seeds in this process, one line of text each: what `run` starts.
    case work(Scenario, seeds: Range<UInt64>, canary: String?)
    case listFaults
    #if CANARIES
        case listCanaries
        /// Look for the first seed that finds a deliberate fault.
        case canary(CanarySearch)
    #endif
    case help

    static let usage = """
        usage: profile-simulator run --seeds N [--from S] [--hours H]
                                     [--scenario local|replicated|both] [--canary NAME] [--json]
               profile-simulator replay --seed S [--scenario local|replicated] [--steps N]
                                        [--faults LIST] [--canary NAME] [--shrink]
               profile-simulator --list-faults

        run     each seed gives a plan; as many at once as there are processors. With --hours, seeds
                go on until the time is over. Exit status 1 if a seed breaks a promise.
        replay  one plan, that of the seed unless --steps or --faults (may be empty) say otherwise;
                prints the last steps, the trace and what was broken. --shrink makes it smaller.
        """

    static func parse(_ arguments: [String]) throws(UsageError) -> Command {
        guard let verb = arguments.first else { throw UsageError(text: "nothing to do") }
        var options = try Options(arguments.dropFirst())
        let command: Command
        switch verb {
        case "run":
            command = .run(try SeedRange(&options), try RunOptions(&options))
        case "replay": command = try Self.replay(&options)
        case "work":
            let first = try options.number("from") ?? 1
            let count = try options.number("seeds") ?? 1
            command = .work(
                try options.scenario(default: .local), seeds: first ..< first &+ count,
                canary: options.text("canary"))
        case "--list-faults": command = .listFaults
        #if CANARIES
            case "--list-canaries": command = .listCanaries
            case "canary": command = .canary(try CanarySearch(&options))
        #endif
        case "--help", "help": command = .help
        default: throw UsageError(text: "unknown command \(verb)")
        }
        try options.expectNothingLeft()
        return command
    }

    private static func replay(_ options: inout Options) throws(UsageError) -> Command {
        guard let seed = try options.number("seed") else {
            throw UsageError(text: "replay needs --seed")
        }
        var plan = SimulationPlan.generated(
            seed: seed, scenario: try options.scenario(default: .local),
            canary: options.text("canary"))
        if let steps = try options.number("steps") {
            plan.steps = Int(clamping: steps)
            plan.faults.removeAll { $0.step >= plan.steps }
        }
        if let text = options.text("faults") {
            guard let faults = PlannedFault.list(text) else {
                throw UsageError(text: "--faults has a fault that does not exist: \(text)")
            }
            plan.faults = faults
        }
        return .replay(plan, isShrinking: options.flag("shrink"))
    }

    /// - Returns: The exit status.
    func run() -> Int32 {
        switch self {
        case .run(let seeds, let options): return Pool(seeds, options).run()
        case .replay(let plan, let isShrinking): return Replay(plan).run(isShrinking: isShrinking)
        case .work(let scenario, let seeds, let canary):
            Worker.run(scenario, seeds: seeds, canary: canary)
            return 0
        #if CANARIES
            case .listCanaries:
                for canary in CanaryChoice.all { Console.print(canary.name) }
                return 0
            case .canary(let search): return search.run()
        #endif
        case .listFaults:
            for fault in Fault.examples { Console.print(PlannedFault(step: 0, fault)) }
            return 0
        case .help:
            Console.print(Self.usage)
            return 0
        }
    }
}

/// Which seeds run.
struct SeedRange {
    let first: UInt64
    let count: UInt64
    let scenarios: [Scenario]
    /// `nil`: the count alone ends it.
    let hours: Double?

    init(_ options: inout Options) throws(UsageError) {
        self.first = try options.number("from") ?? 1
        self.hours = try options.real("hours")
        self.count = try options.number("seeds") ?? (self.hours == nil ? 200 : .max >> 1)
        self.scenarios = try options.scenarios()
    }
}

/// How seeds run, and how the sum is printed.
struct RunOptions {
    let canary: String?
    let isJSON: Bool

    init(_ options: inout Options) throws(UsageError) {
        self.canary = options.text("canary")
        self.isJSON = options.flag("json")
    }
}
