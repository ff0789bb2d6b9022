import Bytes

// SAFETY: bytes of texts are borrowed for the call that copies them.

/// What a trigger was made with; names and topics in lower case.
///
/// Layout: `guardChannel: UInt8 (0: none) | cap: UInt32 (0: none) | capPeriodSeconds,
/// delaySeconds: UInt64 | ackDeadlineSeconds: UInt32 | eventName, unlessEventName, guardTopic,
/// filter, displayName: prefixed (empty: none)`.
package struct TriggerDefinition: Equatable, Sendable {
    package var eventName: [UInt8]
    /// 0: no guard.
    package var guardChannel: UInt8 = 0
    package var guardTopic: [UInt8] = []
    /// Firings per profile in any `capPeriodSeconds`; 0: no cap.
    package var cap: UInt32 = 0
    package var capPeriodSeconds: UInt64 = 0
    /// As it was given.
    package var filter: [UInt8] = []
    package var displayName: [UInt8] = []
    package var delaySeconds: UInt64 = 0
    package var unlessEventName: [UInt8] = []
    package var ackDeadlineSeconds = TriggerLimits.ackDeadlineSecondsDefault

    package init(eventName: [UInt8]) {
        self.eventName = eventName
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.guardChannel)
        buffer.append(self.cap)
        buffer.append(self.capPeriodSeconds)
        buffer.append(self.delaySeconds)
        buffer.append(self.ackDeadlineSeconds)
        for text in [
            self.eventName, self.unlessEventName, self.guardTopic, self.filter, self.displayName,
        ] {
            text.withUnsafeBytes { buffer.appendPrefixed($0) }
        }
    }

    /// Reads what `write` wrote; `nil` if it is not that or beyond the limits.
    package init?(from reader: inout ByteReader) {
        self.guardChannel = reader.read()
        self.cap = reader.read()
        self.capPeriodSeconds = reader.read()
        self.delaySeconds = reader.read()
        self.ackDeadlineSeconds = reader.read()
        self.eventName = [UInt8](reader.readPrefixed())
        self.unlessEventName = [UInt8](reader.readPrefixed())
        self.guardTopic = [UInt8](reader.readPrefixed())
        self.filter = [UInt8](reader.readPrefixed())
        self.displayName = [UInt8](reader.readPrefixed())
        guard !reader.overrun, self.isSupported else { return nil }
    }

    /// Longest topic, in bytes. Source: docs/rules.md, section 1.
    private static let topicBytesMax = 300

    private var isSupported: Bool {
        (self.guardChannel == 0 || Channel(rawValue: self.guardChannel) != nil)
            && self.cap <= TriggerLimits.capMax && (self.cap == 0) == (self.capPeriodSeconds == 0)
            && self.capPeriodSeconds <= TriggerLimits.capPeriodSecondsMax
            && self.delaySeconds <= TriggerLimits.delaySecondsMax
            && TriggerLimits.ackDeadlineSeconds.contains(self.ackDeadlineSeconds)
            && 1 ... NameTable.nameBytesMax ~= self.eventName.count
            && self.unlessEventName.count <= NameTable.nameBytesMax
            && (self.unlessEventName.isEmpty || self.delaySeconds > 0)
            && self.guardTopic.count <= Self.topicBytesMax
            && self.filter.count <= TriggerLimits.filterBytesMax
            && self.displayName.count <= KeyStore.displayNameBytesMax
    }
}

/// A trigger as listings show it, copied for any thread.
package struct TriggerInfo: Equatable, Sendable {
    /// Shown as a ULID.
    package var id: ProfileID
    package var definition: TriggerDefinition
    /// Names the trigger within its project, in records and in the ids of firings.
    package var createdLSN: UInt64
    /// In microseconds since 1970.
    package var createdAt: Int64
    /// Firings that wait to be acknowledged.
    package var pending = 0
    /// Firings dropped because too many waited.
    package var lost: UInt64 = 0
    /// Changes whenever the trigger has new pending firings.
    package var pendingVersion: UInt64 = 0
}
