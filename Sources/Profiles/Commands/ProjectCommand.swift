import Bytes

/// What a project decides for itself; set by a record, so that every replay decides alike.
///
/// Layout:
/// `flags: UInt8 (1 latestWins, 2 topicDefaultUnsubscribed, 4 resetConsentOnAddressChange) |
/// doubleOptIn: UInt8 | lateWindowSeconds, eventRetentionDays, eventsPerProfileMax: UInt32`.
package struct ProjectOptions: Equatable, Sendable, BitwiseCopyable {
    /// In a merge the newer value of an attribute wins, not the survivor's.
    package var latestWins = false
    /// Channels that demand a double opt-in: bit `1 << channel`.
    package var doubleOptIn: UInt8 = 0
    package var topicDefaultUnsubscribed = false
    package var resetConsentOnAddressChange = false
    /// 0: the limit of the directory.
    package var lateWindowSeconds: UInt32 = 0
    /// 0: the limit of the directory.
    package var eventRetentionDays: UInt32 = 0
    /// 0: the limit of the directory.
    package var eventsPerProfileMax: UInt32 = 0

    package init() {}

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(
            (self.latestWins ? UInt8(1) : 0) | (self.topicDefaultUnsubscribed ? 2 : 0)
                | (self.resetConsentOnAddressChange ? 4 : 0))
        buffer.append(self.doubleOptIn)
        buffer.append(self.lateWindowSeconds)
        buffer.append(self.eventRetentionDays)
        buffer.append(self.eventsPerProfileMax)
    }

    /// `nil`: of a release that knows more options, or no options at all.
    package init?(from reader: inout ByteReader) {
        let flags = reader.read(UInt8.self)
        self.latestWins = flags & 1 != 0
        self.topicDefaultUnsubscribed = flags & 2 != 0
        self.resetConsentOnAddressChange = flags & 4 != 0
        self.doubleOptIn = reader.read()
        self.lateWindowSeconds = reader.read()
        self.eventRetentionDays = reader.read()
        self.eventsPerProfileMax = reader.read()
        let channels = Channel.allCases.reduce(UInt8(0)) { $0 | 1 << $1.rawValue }
        guard flags & ~7 == 0, self.doubleOptIn & ~channels == 0, !reader.overrun else {
            return nil
        }
    }
}

/// The payload of an UpdateProject.
///
/// Layout: `project: UInt32 | requestID: prefixed | ProjectOptions | [fields: UInt8]`; without
/// `fields` all of them. Its result's body is a `ProjectResultBody`.
package struct ProjectCommand {
    package var project: ProjectID
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var options: ProjectOptions
    /// The options that are set; the others stay as they are when the record is applied.
    package var fields: ProjectOptionFields

    package init(
        project: ProjectID, requestID: UnsafeRawBufferPointer, options: ProjectOptions,
        fields: ProjectOptionFields = .all
    ) {
        self.project = project
        self.requestID = requestID
        self.options = options
        self.fields = fields
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.appendPrefixed(self.requestID)
        self.options.write(into: &buffer)
        if self.fields != .all { buffer.append(self.fields.rawValue) }
    }

    /// Reads a payload; `nil` if it is not one.
    init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.project = ProjectID(rawValue: reader.read())
        self.requestID = reader.readPrefixed()
        guard let options = ProjectOptions(from: &reader) else { return nil }
        self.options = options
        self.fields = .all
        if reader.remaining > 0 {
            self.fields = ProjectOptionFields(rawValue: reader.read())
            guard self.fields != .all, self.fields.isSubset(of: .all) else { return nil }
        }
        guard reader.isAtCleanEnd else { return nil }
    }
}
