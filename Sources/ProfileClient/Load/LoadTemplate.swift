/// The framed request of one kind, encoded once; only the digits of the person and of the project
/// change.
struct LoadTemplate {
    private let bytes: [UInt8]
    private let person: DigitsInPlace?
    private let project: DigitsInPlace?

    /// - Parameters:
    ///   - ids: Number of people.
    ///   - projects: Number of projects that the people are spread over, each of which is named
    ///     `project-` and at least five digits; `nil`: all of them are in `project`.
    ///   - events: Of a Track, all the same.
    ///   - values: Of the attributes of a `profile`.
    init(
        _ method: LoadMethod, project: String, ids: Int, projects: Int?, events: Int = 1,
        values: ProfileValues = .following(1_000)
    ) {
        let person = LoadPeople.customID(0, of: ids)
        let projectDigits = max(5, String((projects ?? 1) - 1).utf8.count)
        let several = "project-" + String(repeating: "0", count: projectDigits)
        let json = method.request(
            project: projects == nil ? project : several, customID: person, events: events,
            values: values)
        guard let message = try? MessageEncoder(now: 0).encode(json, as: method.rpc.request) else {
            preconditionFailure("the load's request does not match \(method.rpc.path)")
        }
        self.bytes = ClientFraming.framed(message)
        self.person = DigitsInPlace(of: person, in: self.bytes)
        self.project = projects == nil ? nil : DigitsInPlace(of: several, in: self.bytes)
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

/// The people of a load: their names, and the order in which it visits them.
enum LoadPeople {
    /// Coprime to any power of ten, so that everybody is visited once before anybody is again.
    private static let step = 7_919

    /// Who is visited with this number. Neighbours are not next to each other in the store.
    static func person(_ number: Int, of ids: Int) -> Int {
        Int(UInt(number) &* UInt(Self.step) % UInt(ids))
    }

    /// The custom id of a person. All of a load have as many digits as the largest one, and at
    /// least six.
    static func customID(_ number: Int, of ids: Int) -> String {
        let digits = String(number)
        let count = max(6, String(ids - 1).utf8.count)
        return "user-" + String(repeating: "0", count: count - digits.utf8.count) + digits
    }
}

/// Where the number of a name stands in an encoded message, in decimal digits of a fixed count.
struct DigitsInPlace {
    private let offset: Int
    private let count: Int

    /// - Parameter name: Ends with the digits; `nil` if it is not in the message.
    init?(of name: String, in message: [UInt8]) {
        let mark = Array(name.utf8)
        guard let start = message.indices.first(where: { message[$0...].starts(with: mark) }) else {
            return nil
        }
        self.count = mark.reversed().prefix { UInt8(ascii: "0") ... UInt8(ascii: "9") ~= $0 }.count
        self.offset = start + mark.count - self.count
    }

    /// - Parameter start: Where the message begins in `bytes`.
    func write(_ number: Int, into bytes: inout [UInt8], at start: Int = 0) {
        var rest = number
        for index in stride(from: self.offset + self.count - 1, through: self.offset, by: -1) {
            bytes[start + index] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
        }
    }
}
