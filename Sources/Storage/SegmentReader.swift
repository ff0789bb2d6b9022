import Bytes
import IOCore

/// Reads one segment from its beginning through a window, so that many small frames cost few system
/// calls.
struct SegmentReader: ~Copyable {
    /// Read at once, in bytes; a larger frame makes the window grow to it.
    private static let windowBytes = 1 << 20

    let file: any File
    let sizeBytes: Int
    private var window = ByteBuffer(capacity: windowBytes)
    private var windowStart = 0

    init(_ file: any File) throws(IOError) {
        self.file = file
        self.sizeBytes = try file.size()
    }

    /// `count` bytes at `offset`, fewer at the end of the file; valid until the next call.
    mutating func bytes(at offset: Int, count: Int) throws(IOError) -> UnsafeRawBufferPointer {
        let wanted = min(count, self.sizeBytes - offset)
        guard wanted > 0 else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        if offset < self.windowStart || offset + wanted > self.windowStart + self.window.count {
            self.window.removeAll()
            self.windowStart = offset
            // SAFETY: the window owns the memory; the file writes at most the target's count, and
            // what it did not write is cut off before anything reads it.
            let target = self.window.appendUninitialized(
                min(max(wanted, Self.windowBytes), self.sizeBytes - offset))
            let read = try self.file.read(into: target, at: offset)
            self.window.truncate(to: read)
        }
        let start = offset - self.windowStart
        let end = min(start + wanted, self.window.count)
        return UnsafeRawBufferPointer(rebasing: self.window.bytes[start ..< max(start, end)])
    }

    /// What stands at an offset.
    enum Finding {
        /// A whole frame whose header and payload are right; the payload is valid until the next
        /// call.
        case frame(FrameHeader, crc: UInt32, payload: UnsafeRawBufferPointer)
        /// Anything else, the end of the file included.
        case nothing
    }

    /// Reads the frame at `offset`, if a good one of this segment stands there.
    mutating func frame(at offset: Int, segment: UInt64, seed: UInt32) throws(IOError) -> Finding {
        guard
            let (header, crc) = FrameHeader.read(
                try self.bytes(at: offset, count: FrameHeader.bytes), seed: seed),
            header.segment == segment
        else { return .nothing }
        let whole = try self.bytes(at: offset, count: header.totalBytes)
        guard whole.count == header.totalBytes else { return .nothing }
        let end = FrameHeader.bytes + header.payloadBytes
        let payload = UnsafeRawBufferPointer(rebasing: whole[FrameHeader.bytes ..< end])
        #if CANARIES
            if Canary.checksumSkipped.isActive { return .frame(header, crc: crc, payload: payload) }
        #endif
        guard whole[end...].allSatisfy({ $0 == 0 }), crc32c(payload) == header.payloadCRC else {
            return .nothing
        }
        return .frame(header, crc: crc, payload: payload)
    }

    private static func lastNonZero(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var end = bytes.count
        while end >= 8, bytes.loadUnaligned(fromByteOffset: end - 8, as: UInt64.self) == 0 {
            end -= 8
        }
        return bytes[..<end].lastIndex { $0 != 0 }
    }

    /// The end of the last byte at or after `offset` that is not zero; `offset` if all are zero.
    mutating func endOfData(after offset: Int) throws(IOError) -> Int {
        var end = offset
        var cursor = offset
        while cursor < self.sizeBytes {
            let part = try self.bytes(at: cursor, count: Self.windowBytes)
            guard !part.isEmpty else { break }
            if let last = Self.lastNonZero(part) { end = cursor + last + 1 }
            cursor += part.count
        }
        return end
    }
}
