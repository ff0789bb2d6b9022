#if CANARIES
    import Bytes

    /// A canary as the command line knows it.
    package struct CanaryChoice: Sendable {
        package static let all = Canary.allCases.map { CanaryChoice(canary: $0) }

        private let canary: Canary

        package var name: String { "\(self.canary)" }

        /// Where it can be found.
        package var scenario: Scenario {
            switch self.canary {
            case .staleLeaderAcknowledged, .followerSkipsFrame, .readAheadOfCommit: .replicated
            default: .local
            }
        }

        func activate() { self.canary.activate() }

        static func deactivate() { Canary.deactivate() }
    }

    extension SimulationPlan {
        /// Makes the canary of the plan active, or none.
        func activateCanary() {
            guard let name = self.canary else { return CanaryChoice.deactivate() }
            guard let choice = CanaryChoice.all.first(where: { $0.name == name }) else {
                preconditionFailure("\(name) is no canary")
            }
            choice.activate()
        }
    }
#endif
