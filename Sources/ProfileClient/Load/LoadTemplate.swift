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
