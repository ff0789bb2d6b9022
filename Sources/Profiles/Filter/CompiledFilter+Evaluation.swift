import Bytes

extension CompiledFilter {
    /// Whether a subject matches.
    ///
    /// - Parameter now: The time of the call that asks, in microseconds since 1970, which relative
    ///   times are taken from.
    /// - Complexity: O(comparisons * bytes of the profile and the event). Budget: no allocation.
    // SAFETY: the constants are borrowed for the evaluation, during which the filter lives; they
    // never change.
    func matches<Subject: FilterSubject>(_ subject: Subject, now: Int64) -> Bool {
        guard !self.nodes.isEmpty else { return true }
        return self.constants.withUnsafeBytes { constants in
            var next: UInt8 = 0
            repeat {
                let node = self.nodes[Int(next)]
                let match = FilterMatch(node: node, constants: constants, now: now)
                next = Self.holds(match, subject) ? node.onTrue : node.onFalse
            } while next < FilterNode.reject
            return next == FilterNode.accept
        }
    }

    @inline(__always)
    private static func holds<Subject: FilterSubject>(
        _ match: FilterMatch, _ subject: Subject
    ) -> Bool {
        let node = match.node
        switch node.field {
        case .anywhere: return self.isFound(match, subject)
        case .state: return match.holds(code: subject.state.rawValue)
        case .customID:
            let customID = subject.customID
            return customID.count > 0 && match.holds(text: customID)
        case .createdAt: return match.holds(time: subject.createdAt)
        case .updatedAt: return match.holds(time: subject.updatedAt)
        case .lastSeenAt: return match.holds(time: subject.lastSeenAt)
        case .installations:
            return match.isAnything
                ? subject.installationCount > 0 : subject.hasInstallation(match.text)
        case .attribute: return subject.attribute(match.name).map { match.holds($0) } ?? false
        case .counterCount:
            // What never happened has happened 0 times.
            return match.holds(integer: Int64(subject.counter(match.name)?.count ?? 0))
        case .counterFirst:
            return subject.counter(match.name).map { match.holds(time: $0.first) } ?? false
        case .counterLast:
            return subject.counter(match.name).map { match.holds(time: $0.last) } ?? false
        case .subscription:
            guard let channel = Channel(rawValue: node.channel) else { return false }
            return match.holds(code: subject.subscription(channel, match.name).rawValue)
        case .suppressed:
            guard let channel = Channel(rawValue: node.channel) else { return false }
            return match.holds(boolean: subject.isSuppressed(channel))
        case .event, .eventLabel, .eventTags: return self.holdsForEvent(match, subject)
        }
    }

    private static func holdsForEvent<Subject: FilterSubject>(
        _ match: FilterMatch, _ subject: Subject
    ) -> Bool {
        guard subject.event.count > 0 else { return false }
        let event = FilterEvent(subject.event)
        switch match.node.field {
        case .eventLabel: return event.label.count > 0 && match.holds(text: event.label)
        case .eventTags:
            return match.isAnything ? event.hasTags : event.hasTag { match.holds(text: $0) }
        default:
            var path = match.names
            let (name, table) = (path.readPrefixed(), subject.names)
            return event.hasField { number, value in
                table.name(number).equals(name)
                    && match.holds(value, path, Int(match.node.nameCount) - 1)
            }
        }
    }

    /// Whether a literal is the custom ID, an attribute or an element of one, or anything of the
    /// event.
    private static func isFound<Subject: FilterSubject>(
        _ match: FilterMatch, _ subject: Subject
    ) -> Bool {
        let customID = subject.customID
        if customID.count > 0, match.holds(text: customID) { return true }
        if subject.hasAttribute(where: { match.isFound(in: $0) }) { return true }
        guard subject.event.count > 0 else { return false }
        let event = FilterEvent(subject.event)
        if event.label.count > 0, match.holds(text: event.label) { return true }
        return event.hasTag { match.holds(text: $0) }
            || event.hasField { _, value in match.isFound(in: value) }
    }
}
