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
    func request(
        project: String, customID: String, values: ProfileValues = .following(1_000)
    ) -> JSONValue {
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

/// The framed request of one kind, encoded once; only the digits of the person and of the project
/// change.
struct LoadTemplate {
    private let bytes: [UInt8]
    private let person: Digits?
    private let project: Digits?

    /// Where a number stands in the request, in decimal digits of a fixed count.
    private struct Digits {
        let offset: Int
        let count: Int

        /// - Parameter start: Where the request begins in `bytes`.
        func write(_ number: Int, into bytes: inout [UInt8], at start: Int = 0) {
            var rest = number
            for index in stride(from: self.offset + self.count - 1, through: self.offset, by: -1) {
                bytes[start + index] = UInt8(ascii: "0") + UInt8(rest % 10)
                rest /= 10
            }
        }
    }

    /// - Parameters:
    ///   - ids: Number of people. Their numbers all have as many digits as the largest one, and at
    ///     least six.
    ///   - projects: Number of projects that the people are spread over, each of which is named
    ///     `project-` and at least five digits; `nil`: all of them are in `project`.
    ///   - events: Of a Track, all the same.
    ///   - values: Of the attributes of a `profile`.
    init(
        _ method: LoadMethod, project: String, ids: Int, projects: Int?, events: Int = 1,
        values: ProfileValues = .following(1_000)
    ) {
        let person = Self.customID(0, of: ids)
        let personDigits = person.utf8.count - "user-".utf8.count
        let projectDigits = max(5, String((projects ?? 1) - 1).utf8.count)
        let several = "project-" + String(repeating: "0", count: projectDigits)
        let json = Self.repeatingEvents(
            events,
            of: method.request(
                project: projects == nil ? project : several, customID: person,
                values: values))
        guard let message = try? MessageEncoder(now: 0).encode(json, as: method.rpc.request) else {
            preconditionFailure("the load's request does not match \(method.rpc.path)")
        }
        // SAFETY: the bytes of the length are copied before the closure returns.
        let framed =
            [0] + withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) } + message
        self.bytes = framed
        self.person = Self.digits(personDigits, after: "user-", of: person, in: framed)
        self.project =
            projects == nil
            ? nil : Self.digits(projectDigits, after: "project-", of: several, in: framed)
    }

    private static func repeatingEvents(_ count: Int, of request: JSONValue) -> JSONValue {
        guard count != 1, case .object(let members) = request else { return request }
        return .object(
            members.map { member -> JSONValue.JSONMember in
                guard member.name == "events", case .array(let events) = member.value else {
                    return member
                }
                return .init(member.name, .array((0 ..< count).flatMap { _ in events }))
            })
    }

    /// The custom id of one of so many people.
    static func customID(_ number: Int, of ids: Int) -> String {
        let digits = String(number)
        let count = max(6, String(ids - 1).utf8.count)
        return "user-" + String(repeating: "0", count: count - digits.utf8.count) + digits
    }

    /// The digits of a name, which is in the request at most once.
    private static func digits(
        _ count: Int, after prefix: String, of name: String, in framed: [UInt8]
    ) -> Digits? {
        let mark = Array(name.utf8)
        let offset = framed.indices.first { framed[$0...].starts(with: mark) }
        return offset.map { Digits(offset: $0 + prefix.utf8.count, count: count) }
    }

    func request(person: Int, project: Int = 0) -> [UInt8] {
        var request = self.bytes
        self.person?.write(person, into: &request)
        self.project?.write(project, into: &request)
        return request
    }

    /// Appends the framed request of a person of one project.
    func append(person: Int, to output: inout [UInt8]) {
        let start = output.count
        output += self.bytes
        self.person?.write(person, into: &output, at: start)
    }
}
