import ProfileClient

/// A person as the lines of an import: the operations that make an equal one in an empty project.
///
/// What no operation can say is not among them: docs/exports.md has the list.
struct ExportedOperations {
    /// Events of one Track.
    private static let eventsMax = 15
    /// Longest id of an event, in bytes: the contract's limit.
    private static let eventIDBytesMax = 100
    private static let pending = "SUBSCRIPTION_STATE_PENDING"
    private static let unsubscribed = "SUBSCRIPTION_STATE_UNSUBSCRIBED"

    private let profile: JSONValue
    private let events: [JSONValue]
    private let entries: [JSONValue]
    /// How the operations name the person: by the custom ID, or else by a device.
    private let identifier: JSONValue
    private(set) var lines: [String] = []

    /// - Returns: `nil` if the person has neither a custom ID nor a device, so that nothing can
    ///   name it.
    init?(_ person: ExportedPerson) {
        guard let profile = person.profile else { return nil }
        let devices = profile["installations"]?.items ?? []
        if let customID = profile["custom_id"] {
            self.identifier = .object(of: [("custom_id", customID)])
        } else if let device = devices.first?["installation_id"] {
            self.identifier = .object(of: [("installation_id", device)])
        } else {
            return nil
        }
        self.profile = profile
        self.events = person.events
        self.entries = person.entries
        if devices.isEmpty { self.addPerson() }
        self.addDevices(devices)
        self.addAttributes()
        self.addEvents()
        // A device has the platform that was named last.
        self.addDevices(devices.filter(self.isNamedOtherwise))
        self.addSubscriptions()
    }

    private mutating func add(_ operation: String, _ members: [(String, JSONValue?)]) {
        let line = JSONValue.object(of: [(operation, .object(of: members))])
        self.lines.append("\(line)\n")
    }

    // MARK: Devices and attributes

    /// Each device at the time at which it was attached.
    private mutating func addDevices(_ devices: [JSONValue]) {
        for device in devices {
            let source = device["platform"].map { JSONValue.object(of: [("platform", $0)]) }
            self.add(
                "identify",
                [
                    ("custom_id", self.profile["custom_id"]),
                    ("installation_id", device["installation_id"]), ("source", source),
                    ("occurred_at", device["attached_at"]),
                ])
        }
    }

    /// Whether an event of a device names another platform than the device has.
    private func isNamedOtherwise(_ device: JSONValue) -> Bool {
        self.events.contains { event in
            event["identifier"]?["installation_id"] == device["installation_id"]
                && event["source"]?["platform"] != device["platform"]
        }
    }

    /// Makes a person who has no device.
    private mutating func addPerson() {
        self.add(
            "identify",
            [
                ("custom_id", self.profile["custom_id"]),
                ("occurred_at", self.profile["created_at"]),
            ])
    }

    /// Attributes that have one time and source.
    private struct Group {
        let metadata: JSONValue
        var set: [JSONValue.JSONMember] = []
        var native: [JSONValue.JSONMember] = []
    }

    /// Attributes of one time and source in one operation each, in the order of the times.
    private mutating func addAttributes() {
        var groups: [Group] = []
        func add(_ member: JSONValue.JSONMember, isNative: Bool) {
            let metadata = self.profile["attribute_metadata"]?[member.name] ?? .null
            let key = JSONValue.object(of: [
                ("effective_time", metadata["effective_time"]), ("source", metadata["source"]),
            ])
            let index = groups.firstIndex { $0.metadata == key } ?? groups.count
            if index == groups.count { groups.append(Group(metadata: key)) }
            if isNative {
                groups[index].native.append(member)
            } else {
                groups[index].set.append(member)
            }
        }
        for member in self.profile["attributes"]?.members ?? [] { add(member, isNative: false) }
        for member in self.profile["native"]?.members ?? [] { add(member, isNative: true) }
        groups.sort { Self.time($0.metadata) < Self.time($1.metadata) }
        for group in groups {
            let patch = JSONValue.object(of: [
                ("set", group.set.isEmpty ? nil : .object(group.set)),
                ("native", group.native.isEmpty ? nil : .object(group.native)),
            ])
            self.add(
                "identify",
                self.identifier.members.map { ($0.name, $0.value) } + [
                    ("attributes", patch), ("source", group.metadata["source"]),
                    ("occurred_at", group.metadata["effective_time"]),
                ])
        }
    }

    private static func time(_ message: JSONValue) -> Int64 {
        message["effective_time"]?.text.flatMap(TimeText.parse) ?? 0
    }

    // MARK: Events and subscriptions

    /// Events in their order; those of one identifier and source that follow one another together.
    private mutating func addEvents() {
        var batch: [JSONValue] = []
        var key: [JSONValue?] = []
        var taken = Set(self.events.filter(self.keepsSender).map(self.key))
        for event in self.events {
            let next = [self.sender(of: event), event["source"]]
            if next != key || batch.count == Self.eventsMax {
                self.addTrack(batch, key)
                batch = []
                key = next
            }
            batch.append(
                .object(of: [
                    ("event_id", self.eventID(of: event, &taken)), ("name", event["name"]),
                    ("attributes", event["attributes"]), ("occurred_at", event["effective_time"]),
                    ("label", event["label"]), ("tags", event["tags"]),
                ]))
        }
        self.addTrack(batch, key)
    }

    private mutating func addTrack(_ events: [JSONValue], _ key: [JSONValue?]) {
        guard !events.isEmpty else { return }
        self.add(
            "track",
            [
                ("identifier", key[0]), ("source", key[1]), ("historical", .bool(true)),
                ("events", .array(events)),
            ])
    }

    /// Whether an event is sent under the name under which it was sent before.
    private func keepsSender(_ event: JSONValue) -> Bool {
        event["identifier"] == self.sender(of: event)
    }

    /// By what an event is known: whom it names, and its id.
    private func key(of event: JSONValue) -> String {
        "\(self.sender(of: event)) \(event["event_id"]?.text ?? "")"
    }

    /// The id of an event. One that is sent under another name than before may find its id taken
    /// there and would be dropped as a duplicate: it gets its lsn besides, which no other one has.
    private func eventID(of event: JSONValue, _ taken: inout Set<String>) -> JSONValue? {
        guard !self.keepsSender(event), !taken.insert(self.key(of: event)).inserted,
            let lsn = event["lsn"]?.integer
        else { return event["event_id"] }
        let end = "@\(lsn)"
        var id = event["event_id"]?.text ?? ""
        while id.utf8.count + end.utf8.count > Self.eventIDBytesMax { id.removeLast() }
        return .string(id + end)
    }

    /// Whom an event named, if that name is still the person's; else the person. A profile id means
    /// nothing in another project.
    private func sender(of event: JSONValue) -> JSONValue {
        guard let identifier = event["identifier"] else { return self.identifier }
        if let customID = identifier["custom_id"], customID == self.profile["custom_id"] {
            return identifier
        }
        if let device = identifier["installation_id"],
            self.profile["installations"]?.items.contains(where: {
                $0["installation_id"] == device
            }) == true
        {
            return identifier
        }
        return self.identifier
    }

    /// Each state at its time, with its source.
    private mutating func addSubscriptions() {
        let items = (self.profile["subscriptions"]?["items"]?.items ?? []).compactMap(self.sendable)
        for item in items.sorted(by: { Self.time($0) < Self.time($1) }) {
            let change = JSONValue.object(of: [
                ("channel", item["channel"]), ("topic", item["topic"]), ("state", item["state"]),
            ])
            // Under double opt-in an import needs to say where the consent was given.
            let evidence = JSONValue.object(of: [
                ("reference", .string("export of \(self.profile["profile_id"]?.text ?? "")"))
            ])
            self.add(
                "update_subscription",
                [
                    ("identifier", self.identifier), ("changes", .array([change])),
                    ("source", item["source"]), ("evidence", evidence),
                    ("occurred_at", item["effective_time"]),
                ])
        }
    }

    /// A subscription that an import accepts: no PENDING, but the opt-out that it may stand for
    /// until it is confirmed. Without that anybody could subscribe the copy of the person again.
    private func sendable(_ item: JSONValue) -> JSONValue? {
        guard item["state"]?.text == Self.pending else { return item }
        let before = self.entries.last { entry in
            entry["channel"] == item["channel"] && entry["topic"] == item["topic"]
                && entry["applied"]?.isTrue == true && entry["after"]?.text != Self.pending
        }
        guard let before, before["after"]?.text == Self.unsubscribed else { return nil }
        // A merge is no source that a client may give.
        let isMerge = before["source"]?.text == "CONSENT_SOURCE_SYSTEM"
        return .object(of: [
            ("channel", item["channel"]), ("topic", item["topic"]), ("state", before["after"]),
            ("source", isMerge ? .string("CONSENT_SOURCE_IMPORT") : before["source"]),
            ("effective_time", before["effective_time"]),
        ])
    }
}
