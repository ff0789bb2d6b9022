import IOSimulation
import ProfileClient
import TestSupport

/// Exports its project again and again, each time continued by token where a stream broke.
final class ExportActor: StreamActor {
    /// Cancels one stream of so many somewhere in its middle.
    private static let cancelsOneOf = 4

    /// One export over all of its streams.
    private struct Export {
        var operation: Operation
        var token = ""
        /// People who are complete, and the one whose parts are coming.
        var people: [String] = []
        var current: String?
    }

    private var export: Export?
    private var messagesLeft: Int?

    override var isIdle: Bool { self.call == nil && self.export == nil }

    override func open(_ client: WireClient, _ world: any ClientWorld) -> WireCall? {
        if self.isEnding, self.export == nil { return nil }
        if !self.isEnding, self.random.below(3) == 0 { return self.openPerson(client) }
        if self.export == nil {
            let request: JSONValue = ["project": Requests.project(self.project)]
            self.export = Export(
                operation: self.history.invoke(
                    self.name, self.project, "ExportProject", request, .other))
        }
        guard let export = self.export else { return nil }
        self.messagesLeft =
            !self.isEnding && self.random.below(Self.cancelsOneOf) == 0
            ? self.random.below(30) : nil
        self.export?.current = nil
        let request: JSONValue = [
            "project": Requests.project(self.project), "page_token": .string(export.token),
        ]
        return try? client.call(.profiles("ExportProject"), request)
    }

    /// One person's export, whose outcome is of its own.
    private var person: Operation?

    private func openPerson(_ client: WireClient) -> WireCall? {
        let person = SoloScript.person(0, self.random.below(SoloScript.people), self.project)
        let request = Requests.about(person)
        self.person = self.history.invoke(
            self.name, self.project, "ExportProfile", request, .readEvents(person))
        self.messagesLeft = nil
        return try? client.call(.profiles("ExportProfile"), request)
    }

    override func received(_ message: JSONValue, _ bytes: [UInt8]) {
        if let person = self.person {
            self.history.respond(person, message, bytes)
            return
        }
        guard let operation = self.export?.operation else { return }
        self.history.respond(operation, message, bytes)
        if let id = message["profile"]?["profile_id"]?.text {
            if self.export?.people.contains(id) == true {
                self.history.report("an export shows the profile \(id) twice")
            }
            self.export?.current = id
        }
        if let token = message["page_token"]?.text, !token.isEmpty {
            self.export?.token = token
            if let current = self.export?.current { self.export?.people.append(current) }
            self.export?.current = nil
        }
    }

    override func act(_ client: WireClient, _ call: WireCall, _ world: any ClientWorld) -> Bool {
        guard let left = self.messagesLeft, call.messages.count >= left else { return false }
        self.cancel(world)
        return true
    }

    override func ended(_ outcome: Outcome) {
        if let person = self.person {
            self.history.end(person, outcome)
            self.person = nil
            return
        }
        guard let export = self.export else { return }
        switch outcome {
        case .ok:
            self.history.end(export.operation, .ok)
            self.export = nil
        case .unknown: self.history.lose(export.operation)
        case .rejected:
            if outcome.isTransient {
                self.history.lose(export.operation)
            } else {
                self.history.end(export.operation, outcome)
                self.export = nil
            }
        }
    }
}
