/// The id of a firing: the same in every delivery, and after a restart.
///
/// A trigger fires once for an event, so the two lsns say which firing it is. Shown as the text of
/// a ULID, and opaque to clients.
package struct FiringID: Equatable, Hashable, Sendable {
    /// The lsn at which the trigger was made.
    package var triggerLSN: UInt64
    package var eventLSN: UInt64

    package init(triggerLSN: UInt64, eventLSN: UInt64) {
        self.triggerLSN = triggerLSN
        self.eventLSN = eventLSN
    }

    /// Parses the text form, in any case; `nil`: no firing has it.
    package init?(text: UnsafeRawBufferPointer) {
        guard let bits = ProfileID(text: text) else { return nil }
        self.init(triggerLSN: bits.high, eventLSN: bits.low)
    }

    /// The 128 bits, whose text form is that of the id.
    package var bits: ProfileID { ProfileID(high: self.triggerLSN, low: self.eventLSN) }
}
