/// What the page can ask for; the last part of the path.
enum ConsoleQuery: String {
    case activity
    case changes
    case count
    case events
    case find
    case ledger
    case list
    case merges
    case overview
    case profile
    case projects
}

/// One query of the page, with the access of whoever looks at it.
struct ConsoleRequest: Sendable {
    let project: String
    /// `nil`: no key is needed.
    let key: String?
    let parameters: [String: String]
    /// Whether nobody waits for the response any more.
    let isAbandoned: @Sendable () -> Bool

    /// A parameter that must be there.
    func required(_ name: String) throws(ConsoleFailure) -> String {
        guard let value = self.parameters[name] else {
            throw ConsoleFailure(status: .badRequest, message: "\(name): is missing")
        }
        return value
    }

    /// A number; 0 if the parameter is missing.
    func number(_ name: String) throws(ConsoleFailure) -> UInt64 {
        guard let text = self.parameters[name], !text.isEmpty else { return 0 }
        guard let value = UInt64(text) else {
            throw ConsoleFailure(
                status: .badRequest, message: "\(name): expected a non-negative integer")
        }
        return value
    }
}
