// Where the fields are that every change record begins with. Storage looks at some of them without
// knowing what a change is, so they stand below it; `ChangeView` reads the rest. Source:
// docs/formats/feed.md, "Change records".

/// Offsets of the fixed part of a change record, in bytes.
public enum ChangeRecordHeader {
    /// `UInt32`: bytes of the whole record.
    @inlinable public static var bytesOffset: Int { 0 }
    /// `UInt8`.
    @inlinable public static var kindOffset: Int { 4 }
    /// `UInt8`: `historicalFlag`, `otherIDFlag` and `survivorsFlag`.
    @inlinable public static var flagsOffset: Int { 5 }
    /// `UInt16`: bytes of the custom id; 0: the profile is anonymous, or erased.
    @inlinable public static var customIDBytesOffset: Int { 6 }
    /// `UInt32`.
    @inlinable public static var projectOffset: Int { 8 }
    /// `UInt8`.
    @inlinable public static var platformOffset: Int { 12 }
    /// `UInt16`: bytes of the source's name.
    @inlinable public static var sourceNameBytesOffset: Int { 14 }
    /// `UInt64`.
    @inlinable public static var lsnOffset: Int { 16 }
    /// `Int64`: microseconds since 1970.
    @inlinable public static var receivedAtOffset: Int { 24 }
    /// 16 bytes, big-endian.
    @inlinable public static var profileIDOffset: Int { 32 }
    /// `UInt64`.
    @inlinable public static var revisionOffset: Int { 48 }
    /// What follows has a length that depends on the record.
    @inlinable public static var fixedBytes: Int { 56 }

    /// An import, or a historical Track.
    @inlinable public static var historicalFlag: UInt8 { 1 << 0 }
    /// The id of another profile follows the fixed part.
    @inlinable public static var otherIDFlag: UInt8 { 1 << 1 }
    /// Of an erasure: behind the id of each profile is that of the one that it was merged into.
    @inlinable public static var survivorsFlag: UInt8 { 1 << 2 }
}
