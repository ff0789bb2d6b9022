import ProfileClient
import Simulator

/// A history that a test makes up, and the first violation that a checker finds in it.
final class Recorder {
    private(set) var violation: Violation?
    private(set) var history: History!

    /// - Parameter observe: The checker.
    init(_ observe: @escaping (HistoryEvent) throws(Violation) -> Void) {
        self.history = History { [unowned self] event in
            do throws(Violation) { try observe(event) } catch {
                if self.violation == nil { self.violation = error }
            }
        }
    }

    /// Begins a call of the first project, unless another is given.
    func begin(
        _ method: String, _ purpose: Purpose, _ request: String = "{}", project: Int = 0,
        client: String = "client"
    ) -> Operation {
        let json = (try? JSONParser.parse(request.utf8)) ?? .null
        return self.history.invoke(client, project, method, json, purpose)
    }

    /// A message for a call.
    func respond(_ operation: Operation, _ response: String) {
        let json = (try? JSONParser.parse(response.utf8)) ?? .null
        self.history.respond(operation, json, Array(response.utf8))
    }

    /// A whole call that succeeds.
    @discardableResult
    func call(
        _ method: String, _ purpose: Purpose, _ request: String = "{}", project: Int = 0,
        client: String = "client", response: String = "{}"
    ) -> Operation {
        let operation = self.begin(method, purpose, request, project: project, client: client)
        self.respond(operation, response)
        self.history.end(operation, .ok)
        return operation
    }
}
