/// A kind of call in a load.
package enum LoadMethod: String, CaseIterable, Sendable {
    case track, get, identify, events, subscribe, sendable
    /// An Identify with ten attributes; used to fill a store.
    case profile
    /// An Identify with three attributes; used to fill a store.
    case small
    /// A CreateProject of each of several projects; used to fill a store.
    case project

    /// Parses `track=80,get=20`. The shares need not add up to 100; a method without a number has
    /// a share of 1.
    package static func mix(_ text: String) -> [(method: LoadMethod, share: Int)]? {
        var mix: [(method: LoadMethod, share: Int)] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = sides.first, let method = LoadMethod(rawValue: String(name)),
                let share = sides.count == 1 ? 1 : Int(sides[1]), share > 0, share <= 1_000_000
            else { return nil }
            mix.append((method, share))
        }
        return mix
    }

    var rpc: RPCMethod {
        switch self {
        case .track: .profiles("Track")
        case .get: .profiles("GetProfile")
        case .identify, .profile, .small: .profiles("Identify")
        case .events: .profiles("ListEvents")
        case .subscribe: .profiles("UpdateSubscription")
        case .sendable: .profiles("CheckSendable")
        case .project: .admin("CreateProject")
        }
    }

    /// A request for one person.
    ///
    /// - Parameters:
    ///   - events: Of a Track, all the same.
    ///   - values: Of the attributes of a `profile`.
    func request(
        project: String, customID: String, events: Int = 1,
        values: ProfileValues = .following(1_000)
    ) -> JSONValue {
        let who = JSONValue.object(of: [("custom_id", .string(customID))])
        var members: [(String, JSONValue?)] = [("project", .string(project))]
        switch self {
        case .track:
            let attributes = JSONValue.object(of: [
                ("amount", .number("59.9")), ("currency", .string("EUR")), ("items", .number("3")),
            ])
            let event = JSONValue.object(of: [
                ("name", .string("purchase")), ("attributes", attributes),
            ])
            members += [
                ("identifier", who),
                ("events", .array([JSONValue](repeating: event, count: events))),
            ]
        case .get, .events: members += [("identifier", who)]
        case .identify:
            let set = JSONValue.object(of: [("plan", .string("gold")), ("visits", .number("3"))])
            members += [
                ("custom_id", .string(customID)), ("attributes", .object(of: [("set", set)])),
            ]
        case .small:
            let set = JSONValue.object(of: [
                ("plan", .string("gold")), ("visits", .number("3")), ("city", .string("Lyon")),
            ])
            members += [
                ("custom_id", .string(customID)), ("attributes", .object(of: [("set", set)])),
            ]
        case .profile:
            let set = (0 ..< 10).map { ("attribute_\($0)", JSONValue.number("\(values[$0])")) }
            members += [
                ("custom_id", .string(customID)),
                ("attributes", .object(of: [("set", .object(of: set))])),
            ]
        case .subscribe:
            let change = JSONValue.object(of: [
                ("channel", .string("EMAIL")), ("state", .string("SUBSCRIBED")),
            ])
            members += [
                ("identifier", who), ("changes", .array([change])), ("source", .string("USER")),
            ]
        case .sendable:
            members += [
                ("identifier", who), ("channel", .string("EMAIL")),
                ("message_class", .string("MARKETING")),
            ]
        case .project: break
        }
        return .object(of: members)
    }
}
