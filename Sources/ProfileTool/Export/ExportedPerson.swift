import ProfileClient

/// The parts of one person, until the last one has come.
struct ExportedPerson {
    /// At which all of them are seen.
    private var lsn = JSONValue.null
    private var redirectedFrom: JSONValue?
    private(set) var profile: JSONValue?
    private(set) var events: [JSONValue] = []
    private(set) var entries: [JSONValue] = []
    private(set) var suppressions: [JSONValue] = []

    /// Takes a part; the first one is the profile.
    mutating func add(_ part: JSONValue) {
        if let profile = part["profile"] {
            self = ExportedPerson()
            self.profile = profile
            self.lsn = part["lsn"] ?? .null
            self.redirectedFrom = part["redirected_from"]
        }
        if let event = part["event"] { self.events.append(event) }
        if let entry = part["consent_entry"] { self.entries.append(entry) }
        if let suppression = part["suppression"] { self.suppressions.append(suppression) }
    }

    /// The person as a line of JSON, with the names of `profilectl dump`; empty: there is none.
    func line(of project: String) -> String {
        guard let profile = self.profile else { return "" }
        let line = JSONValue.object(of: [
            ("project", .string(project)), ("lsn", self.lsn),
            ("redirected_from", self.redirectedFrom), ("profile", profile),
            ("events", .array(self.events)), ("consent", .array(self.entries)),
            ("suppressions", .array(self.suppressions)),
        ])
        return "\(line)\n"
    }
}
