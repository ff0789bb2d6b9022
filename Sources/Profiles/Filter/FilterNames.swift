/// Turns the left side of a comparison into a field.
enum FilterNames {
    /// One name of a path, in lower case.
    private struct Segment {
        var name: String
        var column: Int
    }

    private static let expected =
        "a field such as `state`, `attributes.NAME`, `events.NAME.count` or `subscriptions.EMAIL`"

    /// - Parameter column: Of the first scalar.
    static func field(
        _ word: [UInt32], _ column: Int, _ scope: FilterScope
    ) throws(FilterError) -> FilterField {
        var segments = try self.segments(word, column)
        // Triggers speak of `event.` and `profile.`; a profile's fields need no prefix anywhere.
        if segments[0].name == "profile", segments.count > 1 { segments.removeFirst() }
        let (first, rest) = (segments[0], segments[1...])
        let end = column + word.count
        if let field = self.single(first.name) {
            if let next = rest.first {
                throw FilterError(
                    column: next.column, found: "a name",
                    expected: "a comparator behind `\(first.name)`")
            }
            return field
        }
        switch first.name {
        case "attributes":
            guard rest.count == 1, let name = rest.first else {
                throw self.incomplete(rest, end, "`attributes.NAME`", names: 1)
            }
            return .attribute(try self.name(name))
        case "events": return try self.counter(rest, end)
        case "subscriptions": return try self.subscription(rest, end)
        case "suppressed":
            guard rest.count == 1, let name = rest.first else {
                throw self.incomplete(rest, end, "`suppressed.CHANNEL`", names: 1)
            }
            return .suppressed(try self.channel(name))
        case "event": return try self.event(rest, first.column, end, scope)
        default:
            guard rest.isEmpty, first.name != "profile" else {
                throw FilterError(
                    column: column, found: "the unknown field `\(self.shown(segments))`",
                    expected: self.expected)
            }
            // The contract's own example is `NOT plan = "gold"`.
            return .attribute(try self.name(first))
        }
    }

    /// The field or native attribute of one name; `nil`: none.
    static func single(_ name: String) -> FilterField? {
        switch name {
        case "state": .state
        case "custom_id": .customID
        case "created_at": .createdAt
        case "updated_at": .updatedAt
        case "last_seen_at": .lastSeenAt
        case "installations": .installations
        default: FilterField.isNative(name) ? .attribute(name) : nil
        }
    }

    /// Whether a word alone is a field or begins one, so that its comparison is missing.
    static func isField(_ word: FilterWord) -> Bool {
        guard !word.isQuoted, let segments = try? self.segments(word.scalars, 1) else {
            return false
        }
        let first = segments[0].name
        if self.single(first) != nil { return true }
        return segments.count > 1
            && ["attributes", "events", "subscriptions", "suppressed", "event", "profile"]
                .contains(first)
    }

    // MARK: Parts

    /// Splits at the dots and turns ASCII letters into lower case.
    private static func segments(_ word: [UInt32], _ column: Int) throws(FilterError) -> [Segment] {
        var segments = [Segment(name: "", column: column)]
        for (index, scalar) in word.enumerated() {
            switch scalar {
            case 0x2E: segments.append(Segment(name: "", column: column + index + 1))
            case 0x41 ... 0x5A:
                segments[segments.count - 1].name.unicodeScalars.append(
                    Unicode.Scalar(UInt8(scalar + 0x20)))
            case 0x30 ... 0x39, 0x5F, 0x61 ... 0x7A:
                segments[segments.count - 1].name.unicodeScalars.append(
                    Unicode.Scalar(UInt8(scalar)))
            default:
                throw FilterError(
                    column: column + index, found: "a character that no field has",
                    expected: self.expected)
            }
        }
        if let empty = segments.first(where: { $0.name.isEmpty }) {
            throw FilterError(
                column: empty.column, found: "no name",
                expected: "a name on both sides of a dot")
        }
        return segments
    }

    private static func shown(_ segments: [Segment]) -> String {
        // A name of a field is no secret, but a text of 2,000 characters is no help.
        let text = segments.map(\.name).joined(separator: ".")
        return text.count <= 64 ? text : "\(text.prefix(64))..."
    }

    private static func name(_ segment: Segment) throws(FilterError) -> String {
        guard segment.name.utf8.count <= FilterLimits.nameBytesMax else {
            throw FilterError(
                column: segment.column, found: "a name of \(segment.name.utf8.count) characters",
                expected: "at most \(FilterLimits.nameBytesMax)")
        }
        return segment.name
    }

    private static func channel(_ segment: Segment) throws(FilterError) -> Channel {
        switch segment.name {
        case "email": return .email
        case "sms": return .sms
        case "push": return .push
        default:
            throw FilterError(
                column: segment.column, found: "an unknown channel",
                expected: "`EMAIL`, `SMS` or `PUSH`")
        }
    }

    /// Too few or too many names.
    ///
    /// - Parameters:
    ///   - end: The column behind the word.
    ///   - names: How many are expected.
    private static func incomplete(
        _ rest: ArraySlice<Segment>, _ end: Int, _ form: String, names: Int
    ) -> FilterError {
        guard rest.count > names else {
            return FilterError(column: end, found: "no further name", expected: form)
        }
        return FilterError(
            column: rest[rest.startIndex + names].column, found: "a further name", expected: form)
    }

    private static func counter(
        _ rest: ArraySlice<Segment>, _ end: Int
    ) throws(FilterError) -> FilterField {
        let form = "`events.NAME.count`, `events.NAME.first` or `events.NAME.last`"
        guard rest.count == 2, let first = rest.first, let last = rest.last else {
            throw self.incomplete(rest, end, form, names: 2)
        }
        let name = try self.name(first)
        guard let part = FilterField.CounterPart.allCases.first(where: { $0.name == last.name })
        else {
            throw FilterError(
                column: last.column, found: "an unknown name",
                expected: "`count`, `first` or `last`")
        }
        return .counter(name, part)
    }

    private static func subscription(
        _ rest: ArraySlice<Segment>, _ end: Int
    ) throws(FilterError) -> FilterField {
        guard 1 ... 2 ~= rest.count, let first = rest.first else {
            throw self.incomplete(
                rest, end, "`subscriptions.CHANNEL` or `subscriptions.CHANNEL.TOPIC`",
                names: rest.isEmpty ? 1 : 2)
        }
        let channel = try self.channel(first)
        guard rest.count == 2, let topic = rest.last else {
            return .subscription(channel, topic: "")
        }
        guard topic.name.utf8.count <= FilterLimits.topicBytesMax else {
            throw FilterError(
                column: topic.column, found: "a topic of \(topic.name.utf8.count) characters",
                expected: "at most \(FilterLimits.topicBytesMax)")
        }
        return .subscription(channel, topic: topic.name)
    }

    private static func event(
        _ rest: ArraySlice<Segment>, _ column: Int, _ end: Int, _ scope: FilterScope
    ) throws(FilterError) -> FilterField {
        guard scope == .trigger else {
            throw FilterError(
                column: column, found: "a field of an event",
                expected: "a field of a profile: only triggers have an event")
        }
        guard let first = rest.first else {
            throw self.incomplete(
                rest, end, "`event.NAME`, `event.label` or `event.tags`", names: 1)
        }
        if first.name == "label" || first.name == "tags" {
            guard rest.count == 1 else {
                throw self.incomplete(
                    rest, end,
                    "a comparator; an attribute of this name is `event.attributes.\(first.name)`",
                    names: 1)
            }
            return first.name == "label" ? .eventLabel : .eventTags
        }
        let path = first.name == "attributes" ? rest.dropFirst() : rest
        guard 1 ... FilterLimits.pathNamesMax ~= path.count else {
            throw self.incomplete(
                path, end,
                "an attribute of the event, and at most \(FilterLimits.pathNamesMax - 1) names of"
                    + " objects inside of it", names: path.isEmpty ? 1 : FilterLimits.pathNamesMax)
        }
        var names: [String] = []
        for segment in path { names.append(try self.name(segment)) }
        return .event(names)
    }
}
