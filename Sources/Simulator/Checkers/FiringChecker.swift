import ProfileClient

/// Each event of a trigger's name fires exactly once: one firing, which is delivered until it is
/// settled and never from then on.
package final class FiringChecker: Checker {
    package let name = "firings"

    /// Event by firing, and firing by event, with the project in front.
    private var events: [String: PersonKey] = [:]
    private var firings: [PersonKey: String] = [:]
    /// When a firing was settled.
    private var settledAt: [String: Int] = [:]
    /// Events that fire, and whose responses came.
    private var acknowledged: Set<PersonKey> = []
    private var invoked: Set<PersonKey> = []
    /// Firings that wait, of the triggers of the workload, as an audit saw them.
    private var triggers: [String: Int] = [:]

    package init() {}

    package func observe(_ event: HistoryEvent) throws(Violation) {
        let operation = event.operation
        switch (operation.purpose, event.kind) {
        case (.write(let units), .invoked):
            self.invoked.formUnion(self.events(of: units))
        case (.write(let units), .ended(.ok)): self.acknowledged.formUnion(self.events(of: units))
        case (.settle(_, let firings), .ended(.ok)):
            for firing in firings where self.settledAt[firing] == nil {
                self.settledAt[firing] = event.time
            }
        case (.consume(let trigger), .invoked) where !trigger.isEmpty:
            self.triggers[trigger] = operation.project
        case (.consume, .responded(let response, _)): try self.take(response, operation)
        case (_, .responded(let response, _))
        where operation.client == "audit" && operation.method == "ListTriggers":
            try self.lookAtPending(response)
        default: break
        }
    }

    private func events(of units: [WriteUnit]) -> [PersonKey] {
        units.filter(\.fires).flatMap { unit in
            unit.events.map { PersonKey(unit.person.project, $0) }
        }
    }

    private func take(_ response: JSONValue, _ operation: Operation) throws(Violation) {
        guard let firing = response["firing_id"]?.text,
            let id = response["event"]?["event_id"]?.text
        else { return }
        let event = PersonKey(operation.project, id)
        guard response["lost"].count == 0 else {
            throw Violation(self.name, "firings of \(operation.project) are lost: \(response)")
        }
        guard self.invoked.contains(event) else {
            throw Violation(self.name, "\(event) fires, which nobody sent as such")
        }
        guard self.events[firing] ?? event == event else {
            throw Violation(self.name, "\(firing) is of \(self.events[firing]!) and of \(event)")
        }
        guard self.firings[event] ?? firing == firing else {
            throw Violation(
                self.name, "\(event) fires twice, as \(self.firings[event]!) and as \(firing)")
        }
        self.events[firing] = event
        self.firings[event] = firing
        if let settled = self.settledAt[firing], settled < operation.invokedAt {
            throw Violation(
                self.name,
                "\(firing) of \(event) was settled and comes again on "
                    + "\(operation.client)")
        }
    }

    private func lookAtPending(_ response: JSONValue) throws(Violation) {
        for trigger in response["triggers"]?.items ?? [] {
            guard self.triggers[trigger["trigger_id"]?.text ?? ""] != nil else { continue }
            guard trigger["pending"].count == 0, trigger["lost"].count == 0 else {
                throw Violation(self.name, "all firings are settled, yet some wait: \(trigger)")
            }
        }
    }

    package func finish(_ world: World) throws(Violation) { try self.finish() }

    package func finish() throws(Violation) {
        for event in self.acknowledged.sorted() where self.firings[event] == nil {
            throw Violation(self.name, "\(event) was acknowledged and has not fired")
        }
    }
}
