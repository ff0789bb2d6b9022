/// A kind of call in a load.
package enum LoadMethod: String, CaseIterable, Sendable {
    case track, get, identify, events, subscribe, sendable
    /// An Identify with ten attributes; used to fill a store.
    case profile

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
        case .identify, .profile: .profiles("Identify")
        case .events: .profiles("ListEvents")
        case .subscribe: .profiles("UpdateSubscription")
        case .sendable: .profiles("CheckSendable")
        }
    }

    /// A request for one person.
    func request(project: String, customID: String) -> JSONValue {
        let who = JSONValue.object(of: [("custom_id", .string(customID))])
        var members: [(String, JSONValue?)] = [("project", .string(project))]
        switch self {
        case .track:
            let attributes = JSONValue.object(of: [
                ("amount", .number("59.9")), ("currency", .string("EUR")), ("items", .number("3")),
            ])
            members += [
                ("identifier", who),
                (
                    "events",
                    .array([
                        .object(of: [("name", .string("purchase")), ("attributes", attributes)])
                    ])
                ),
            ]
        case .get, .events: members += [("identifier", who)]
        case .identify:
            let set = JSONValue.object(of: [("plan", .string("gold")), ("visits", .number("3"))])
            members += [
                ("custom_id", .string(customID)), ("attributes", .object(of: [("set", set)])),
            ]
        case .profile:
            let set = (0 ..< 10).map { ("attribute_\($0)", JSONValue.number("\(1_000 + $0)")) }
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
        }
        return .object(of: members)
    }
}

/// The framed request of one kind, encoded once; only the digits of the person change.
struct LoadTemplate {
    private let bytes: [UInt8]
    /// Offset of the digits of the person, who is named only once in the request.
    private let offset: Int
    private let digits: Int

    /// - Parameter ids: Number of people. Their numbers all have as many digits as the largest one,
    ///   and at least six.
    init(_ method: LoadMethod, project: String, ids: Int) {
        self.digits = max(6, String(ids - 1).utf8.count)
        let person = "user-" + String(repeating: "0", count: self.digits)
        let json = method.request(project: project, customID: person)
        guard let message = try? MessageEncoder(now: 0).encode(json, as: method.rpc.request) else {
            preconditionFailure("the load's request does not match \(method.rpc.path)")
        }
        // SAFETY: the bytes of the length are copied before the closure returns.
        let framed =
            [0] + withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) } + message
        let mark = Array(person.utf8)
        let offset = framed.indices.first { framed[$0...].starts(with: mark) }
        self.bytes = framed
        self.offset = offset! + "user-".utf8.count
    }

    func request(person: Int) -> [UInt8] {
        var request = self.bytes
        var rest = person
        for index in stride(from: self.offset + self.digits - 1, through: self.offset, by: -1) {
            request[index] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
        }
        return request
    }
}
