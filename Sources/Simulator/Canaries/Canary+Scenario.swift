#if CANARIES
    import Bytes

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

    extension SimulationPlan {
        /// Makes the canary of the plan active, or none.
        func activateCanary() {
            guard let name = self.canary else { return Canary.deactivate() }
            guard let canary = Canary(named: name) else {
                preconditionFailure("\(name) is no canary")
            }
            canary.activate()
        }
    }
#endif
