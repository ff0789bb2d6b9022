import Bytes

/// When and by what an attribute, or an element of a list, was written.
struct AttributeStamp {
    /// Microseconds since 1970.
    var time: Int64
    var lsn: UInt64
    /// The part of the profile through whose identifier it was written, as a `ProfileRef`; 0: its
    /// own. By rules before version 3 the keyed hash of the installation. Un-merge asks for it.
    var origin: UInt64
    var platform: UInt8
    /// Empty: none.
    var sourceName: UnsafeRawBufferPointer

    /// Older than every stamp: the base of a list that was never set whole.
    static var never: AttributeStamp {
        AttributeStamp(time: .min, lsn: 0, origin: 0, platform: 0, sourceName: .none)
    }

    var isNever: Bool { self.time == .min }

    /// The time that is shown, in microseconds. A list that no write has stamped, which records of
    /// rules version 1 could leave, is shown with the earliest time of the contract, because
    /// `.min` is not a time that a message can have.
    var shownTime: Int64 { self.isNever ? Store.earliestTime : self.time }

    /// Whether this write wins over another: by effective time, then by lsn.
    func isNewer(than other: AttributeStamp) -> Bool {
        self.time != other.time ? self.time > other.time : self.lsn > other.lsn
    }
}

/// An element of a list, or the memory of one that was removed; its text is borrowed.
struct ListElement {
    var text: UnsafeRawBufferPointer
    var stamp: AttributeStamp
}
