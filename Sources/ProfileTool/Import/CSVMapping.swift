import ProfileClient

/// Which column of a CSV file is what.
package struct CSVMapping: Equatable, Sendable {
    /// What a column gives.
    package enum Target: Equatable, Sendable {
        case customID
        case installationID
        /// The name of the event: the rows are events, not people.
        case event
        case eventID
        case label
        case occurredAt
        case attribute(String, Kind)
        case native(String)
        /// `SUBSCRIBED`, `UNSUBSCRIBED` or `UNSET`, or yes and no.
        case subscription(channel: String, topic: String?)
    }

    /// How the text of an attribute is read.
    package enum Kind: String, CaseIterable, Sendable {
        case string, integer, number, boolean, time, url, list, auto
    }

    /// One `--map COLUMN=TARGET`.
    package struct Column: Equatable, Sendable {
        package var name: String
        package var target: Target
    }

    package let columns: [Column]

    /// - Parameter words: `COLUMN=TARGET` each; none: the names of the columns are the targets.
    package init(_ words: [String]) throws(UsageError) {
        var columns: [Column] = []
        for word in words {
            guard let equals = word.lastIndex(of: "="), equals > word.startIndex else {
                throw UsageError("--map \(word): expected COLUMN=TARGET")
            }
            let name = String(word[..<equals])
            guard !columns.contains(where: { $0.name == name }) else {
                throw UsageError("--map \(word): the column is mapped twice")
            }
            let target = try Self.target(String(word[word.index(after: equals)...]))
            columns.append(Column(name: name, target: target))
        }
        self.columns = columns
    }

    private static let natives = [
        "email_address", "phone_number", "language", "region", "timezone",
    ]

    /// Reads what stands behind the equals sign of a `--map`, or the name of a column.
    package static func target(_ text: String) throws(UsageError) -> Target {
        switch text {
        case "custom_id": return .customID
        case "installation_id": return .installationID
        case "event": return .event
        case "event_id": return .eventID
        case "label": return .label
        case "occurred_at": return .occurredAt
        case _ where self.natives.contains(text): return .native(text)
        default: break
        }
        let parts = text.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
            .map(String.init)
        if parts[0] == "attributes", parts.count == 2 { return try self.attribute(parts[1]) }
        if parts[0] == "subscriptions", parts.count >= 2,
            ["email", "sms", "push"].contains(parts[1].lowercased())
        {
            return .subscription(
                channel: parts[1].uppercased(), topic: parts.count == 3 ? parts[2] : nil)
        }
        throw UsageError(
            "\(text): expected custom_id, installation_id, occurred_at, attributes.NAME[:KIND], "
                + "a native attribute, subscriptions.CHANNEL[.TOPIC], event, event_id or label")
    }

    private static func attribute(_ text: String) throws(UsageError) -> Target {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return .attribute(text, .string) }
        guard let kind = Kind(rawValue: String(parts[1])) else {
            let kinds = Kind.allCases.map(\.rawValue).joined(separator: ", ")
            throw UsageError("attributes.\(text): expected one of \(kinds) behind the colon")
        }
        return .attribute(String(parts[0]), kind)
    }
}

/// The rows of a CSV file whose header is known, as operations.
package struct CSVRows {
    private let columnCount: Int
    private let targets: [(index: Int, name: String, target: CSVMapping.Target)]
    private let areEvents: Bool

    /// - Throws: `UsageError` for a column that is missing, and for columns that identify nobody.
    package init(header: [String], _ mapping: CSVMapping) throws(UsageError) {
        self.columnCount = header.count
        var targets: [(index: Int, name: String, target: CSVMapping.Target)] = []
        if mapping.columns.isEmpty {
            for (index, name) in header.enumerated() {
                targets.append((index, name, try CSVMapping.target(name)))
            }
        }
        for column in mapping.columns {
            guard let index = header.firstIndex(of: column.name) else {
                throw UsageError(
                    "--map \(column.name): no such column; there are "
                        + header.joined(separator: ", "))
            }
            targets.append((index, column.name, column.target))
        }
        self.targets = targets
        self.areEvents = targets.contains { $0.target == .event }
        guard targets.contains(where: { $0.target == .customID || $0.target == .installationID })
        else {
            throw UsageError("no column is mapped to custom_id or installation_id")
        }
    }

    /// The operations of a row: an identify, and an update_subscription if it has consent; or a
    /// track.
    package func operations(
        _ fields: [String], _ encoder: MessageEncoder
    ) throws(ImportLine.Invalid) -> [[UInt8]] {
        guard fields.count == self.columnCount else {
            throw ImportLine.Invalid(
                reason: "\(fields.count) fields; the header has \(self.columnCount)")
        }
        var row = Row()
        for (index, name, target) in self.targets where !fields[index].isEmpty {
            try row.add(fields[index], target, name)
        }
        guard row.customID != nil || row.installationID != nil else {
            throw ImportLine.Invalid(reason: "neither custom_id nor installation_id")
        }
        let operations = self.areEvents ? [try row.track()] : row.identifyAndConsent()
        var encoded: [[UInt8]] = []
        for operation in operations {
            do throws(MessageJSONError) {
                encoded.append(try encoder.encode(operation, as: ImportRequest.operation))
            } catch {
                throw ImportLine.Invalid(reason: "\(error.path): \(error.reason)")
            }
        }
        return encoded
    }
}

/// What one row says.
private struct Row {
    var customID: String?
    var installationID: String?
    private var event: String?
    private var eventID: String?
    private var label: String?
    private var occurredAt: String?
    private var attributes: [(String, JSONValue)] = []
    private var natives: [(String, JSONValue)] = []
    private var changes: [JSONValue] = []

    mutating func add(
        _ text: String, _ target: CSVMapping.Target, _ column: String
    ) throws(ImportLine.Invalid) {
        switch target {
        case .customID: self.customID = text
        case .installationID: self.installationID = text
        case .event: self.event = text
        case .eventID: self.eventID = text
        case .label: self.label = text
        case .occurredAt:
            guard TimeText.parse(text) != nil else {
                throw ImportLine.Invalid(
                    reason: "\(column): expected a time such as 2026-01-31T12:00:00Z")
            }
            self.occurredAt = text
        case .attribute(let name, let kind):
            self.attributes.append((name, try Self.value(text, kind, column)))
        case .native(let name):
            self.natives.append((name, .string(text)))
        case .subscription(let channel, let topic):
            self.changes.append(
                .object(of: [
                    ("channel", .string(channel)), ("topic", topic.map { .string($0) }),
                    ("state", .string(try Self.state(text, column))),
                ]))
        }
    }

    private static func value(
        _ text: String, _ kind: CSVMapping.Kind, _ column: String
    ) throws(ImportLine.Invalid) -> JSONValue {
        func made(_ value: JSONValue) -> JSONValue { .object(of: [(kind.rawValue, value)]) }
        switch kind {
        case .string, .url: return made(.string(text))
        case .auto: return ValueText.detect(text)
        case .list: return made(.object(of: [("items", .array(ValueText.list(text)))]))
        case .integer: if Int64(text) != nil { return made(.number(text)) }
        case .number:
            if let number = Double(text), number.isFinite { return made(.number(text)) }
        case .boolean:
            switch text.lowercased() {
            case "true", "yes", "1": return made(.bool(true))
            case "false", "no", "0": return made(.bool(false))
            default: break
            }
        case .time: if TimeText.parse(text) != nil { return made(.string(text)) }
        }
        throw ImportLine.Invalid(reason: "\(column): expected a value of kind \(kind.rawValue)")
    }

    private static func state(_ text: String, _ column: String) throws(ImportLine.Invalid)
        -> String
    {
        switch text.lowercased() {
        case "subscribed", "true", "yes", "1": return "SUBSCRIBED"
        case "unsubscribed", "false", "no", "0": return "UNSUBSCRIBED"
        case "unset": return "UNSET"
        default:
            throw ImportLine.Invalid(
                reason: "\(column): expected SUBSCRIBED, UNSUBSCRIBED or UNSET")
        }
    }

    /// A row of a CSV file of events.
    func track() throws(ImportLine.Invalid) -> JSONValue {
        guard let event = self.event else {
            throw ImportLine.Invalid(reason: "the name of the event is missing")
        }
        return .object(of: [
            (
                "track",
                .object(of: [
                    ("identifier", self.identifier),
                    (
                        "events",
                        .array([
                            .object(of: [
                                ("event_id", self.eventID.map { .string($0) }),
                                ("name", .string(event)),
                                ("label", self.label.map { .string($0) }),
                                ("occurred_at", self.occurredAt.map { .string($0) }),
                                ("attributes", .object(of: self.attributes.map { ($0, $1) })),
                            ])
                        ])
                    ),
                ])
            )
        ])
    }

    private var identifier: JSONValue {
        self.customID.map { .object(of: [("custom_id", .string($0))]) }
            ?? .object(of: [("installation_id", self.installationID.map { .string($0) })])
    }

    /// A row of a CSV file of people.
    func identifyAndConsent() -> [JSONValue] {
        let time = self.occurredAt.map { JSONValue.string($0) }
        let patch = JSONValue.object(of: [
            ("set", .object(of: self.attributes.map { ($0, $1) })),
            ("native", self.natives.isEmpty ? nil : .object(of: self.natives.map { ($0, $1) })),
        ])
        let identify = JSONValue.object(of: [
            (
                "identify",
                .object(of: [
                    ("installation_id", self.installationID.map { .string($0) }),
                    ("custom_id", self.customID.map { .string($0) }),
                    ("attributes", patch), ("occurred_at", time),
                ])
            )
        ])
        guard !self.changes.isEmpty else { return [identify] }
        return [
            identify,
            .object(of: [
                (
                    "update_subscription",
                    .object(of: [
                        ("identifier", self.identifier), ("changes", .array(self.changes)),
                        ("source", .string("IMPORT")), ("occurred_at", time),
                    ])
                )
            ]),
        ]
    }
}
