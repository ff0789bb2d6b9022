#if CANARIES
    import Bytes

    /// Looks for the first seed whose run finds one canary.
    package struct CanaryRun {
        /// How a search has ended.
        package enum Outcome {
            case caught(seed: UInt64, Violation)
            /// No run of so many seeds found it.
            case missed(seeds: Int)
            /// The plan fails without the canary, too.
            case unsound(seed: UInt64, Violation)
        }

        package let canary: Canary
        package let seeds: Int
        /// Called before each run with its seed: a sabotaged process may trap.
        package let onSeed: (UInt64) -> Void

        package init(_ canary: Canary, seeds: Int, onSeed: @escaping (UInt64) -> Void) {
            self.canary = canary
            self.seeds = seeds
            self.onSeed = onSeed
        }

        package func run() -> Outcome {
            for seed in 1 ... UInt64(self.seeds) {
                self.onSeed(seed)
                let plan = SimulationPlan.make(seed: seed, self.canary.scenario)
                self.canary.activate()
                guard let violation = Simulation.run(plan).violation else { continue }
                Canary.deactivate()
                if let other = Simulation.run(plan).violation {
                    return .unsound(seed: seed, other)
                }
                return .caught(seed: seed, violation)
            }
            return .missed(seeds: self.seeds)
        }
    }

    extension Canary {
        /// By its name on the command line.
        package init?(named name: String) {
            guard let found = Self.allCases.first(where: { $0.name == name }) else { return nil }
            self = found
        }

        package var name: String { "\(self)" }

        /// Where it can be found.
        package var scenario: Scenario {
            switch self {
            case .staleLeaderAcknowledged, .followerSkipsFrame, .readAheadOfCommit: .replicated
            default: .local
            }
        }
    }
#endif
