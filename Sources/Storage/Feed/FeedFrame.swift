import Bytes

/// What a frame of the feed says of its records.
package struct FeedFrameFlags: OptionSet, Equatable, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// A record changes whom identifiers lead to.
    package static let identity = FeedFrameFlags(rawValue: 1)
}

/// The change records of one frame of the log; borrowed.
///
/// Layout, little-endian: `bytes: UInt32 (of all) | flags: UInt32 | firstLSN: UInt64 | lastLSN:
/// UInt64 | records`. Source: docs/formats/feed.md, "Frames".
package struct FeedFrame {
    /// Bytes before the records.
    package static let headerBytes = 4 + 4 + 8 + 8

    package var flags: FeedFrameFlags
    /// Of the first operation of the log's frame; its changes may begin later.
    package var firstLSN: UInt64
    /// Of the last operation of the log's frame.
    package var lastLSN: UInt64
    /// One behind the other, ascending by lsn.
    package var records: UnsafeRawBufferPointer

    /// Header and records, in bytes.
    package var totalBytes: Int { Self.headerBytes + self.records.count }

    /// Reads the frame at the beginning of `bytes`; `nil` if none is whole there.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        var reader = ByteReader(bytes)
        let total = Int(reader.read(UInt32.self))
        self.flags = FeedFrameFlags(rawValue: reader.read())
        self.firstLSN = reader.read()
        self.lastLSN = reader.read()
        guard !reader.overrun, total >= Self.headerBytes, total <= bytes.count,
            self.firstLSN <= self.lastLSN
        else { return nil }
        self.records = UnsafeRawBufferPointer(rebasing: bytes[Self.headerBytes ..< total])
    }

    /// Writes the header of a frame; `target` has its 24 bytes.
    static func writeHeader(
        recordBytes: Int, flags: FeedFrameFlags, firstLSN: UInt64, lastLSN: UInt64,
        into target: UnsafeMutableRawBufferPointer
    ) {
        // SAFETY: the caller gives at least 24 bytes of a block that it alone writes to.
        target.storeBytes(
            of: UInt32(Self.headerBytes + recordBytes).littleEndian, toByteOffset: 0,
            as: UInt32.self)
        target.storeBytes(of: flags.rawValue.littleEndian, toByteOffset: 4, as: UInt32.self)
        target.storeBytes(of: firstLSN.littleEndian, toByteOffset: 8, as: UInt64.self)
        target.storeBytes(of: lastLSN.littleEndian, toByteOffset: 16, as: UInt64.self)
    }
}

/// The frames of a block or a slice, one after the other; borrowed.
package struct FeedFrames: Sequence, IteratorProtocol {
    private let bytes: UnsafeRawBufferPointer
    /// Of the next frame.
    package private(set) var offset = 0

    package init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    package mutating func next() -> FeedFrame? {
        guard self.offset < self.bytes.count,
            let frame = FeedFrame(UnsafeRawBufferPointer(rebasing: self.bytes[self.offset...]))
        else { return nil }
        self.offset += frame.totalBytes
        return frame
    }

    /// Whether `bytes` are whole frames between two positions, in ascending order.
    ///
    /// - Parameter last: A number that a log has, so that one may follow it.
    static func isWhole(
        _ bytes: UnsafeRawBufferPointer, from first: UInt64, through last: UInt64
    ) -> Bool {
        var frames = FeedFrames(bytes)
        var position = first
        while let frame = frames.next() {
            guard frame.firstLSN >= position, frame.lastLSN <= last else { return false }
            position = frame.lastLSN + 1
        }
        return frames.offset == bytes.count
    }
}
