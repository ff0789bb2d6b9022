import Bytes
import Profiles

/// Writes protobuf fields into memory that is known to suffice; as proto3 wants it, zero and empty
/// values are left out. Field numbers are 1 ... 15, whose tags have one byte.
struct FieldWriter {
    // SAFETY: whoever makes one reserved an upper bound of what it will write, and checks where it
    // ended.
    private(set) var next: UnsafeMutablePointer<UInt8>

    init(_ target: UnsafeMutablePointer<UInt8>) {
        self.next = target
    }

    @inline(__always)
    mutating func byte(_ value: UInt8) {
        self.next.pointee = value
        self.next += 1
    }

    @inline(__always)
    mutating func number(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            self.byte(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.byte(UInt8(truncatingIfNeeded: rest))
    }

    /// A varint.
    @inline(__always)
    mutating func write(_ field: UInt8, _ value: UInt64) {
        guard value != 0 else { return }
        self.writeAlways(field, value)
    }

    /// A varint that is written even if it is 0, as the member of a oneof is.
    @inline(__always)
    mutating func writeAlways(_ field: UInt8, _ value: UInt64) {
        self.byte(field << 3)
        self.number(value)
    }

    @inline(__always)
    mutating func write(_ field: UInt8, _ text: UnsafeRawBufferPointer) {
        guard text.count > 0 else { return }
        self.writeAlways(field, text)
    }

    /// Text that is written even if it is empty, as a repeated field or the member of a oneof is.
    @inline(__always)
    mutating func writeAlways(_ field: UInt8, _ text: UnsafeRawBufferPointer) {
        self.byte(field << 3 | 2)
        self.number(UInt64(truncatingIfNeeded: text.count))
        guard let source = text.baseAddress else { return }
        UnsafeMutableRawPointer(self.next).copyMemory(from: source, byteCount: text.count)
        self.next += text.count
    }

    /// An id as text; one that is not set is left out.
    mutating func write(_ field: UInt8, _ id: ProfileID) {
        guard id.isSet else { return }
        self.writeAlways(field, id)
    }

    mutating func writeAlways(_ field: UInt8, _ id: ProfileID) {
        self.byte(field << 3 | 2)
        self.byte(UInt8(ProfileID.textBytes))
        id.writeText(
            into: UnsafeMutableRawBufferPointer(start: self.next, count: ProfileID.textBytes))
        self.next += ProfileID.textBytes
    }

    /// An identifier as one text, of whichever kind it is.
    mutating func write(_ field: UInt8, textOf identifier: IdentifierView) {
        if case .profileID = identifier.kind {
            self.write(field, ProfileID(binary: identifier.bytes))
        } else {
            self.write(field, identifier.bytes)
        }
    }

    /// Fields that are serialised already.
    mutating func raw(_ fields: UnsafeRawBufferPointer) {
        guard let source = fields.baseAddress else { return }
        UnsafeMutableRawPointer(self.next).copyMemory(from: source, byteCount: fields.count)
        self.next += fields.count
    }

    /// The bytes of a digest.
    mutating func write(_ field: UInt8, _ digest: SHA256Digest) {
        let words = digest.words
        withUnsafeBytes(
            of: (
                words.0.bigEndian, words.1.bigEndian, words.2.bigEndian, words.3.bigEndian
            )
        ) { self.writeAlways(field, $0) }
    }

    /// A `google.protobuf.Timestamp`.
    @inline(__always)
    mutating func write(_ field: UInt8, time microseconds: Int64) {
        self.byte(field << 3 | 2)
        self.writeTimestamp(microseconds)
    }

    /// The length and fields of a `google.protobuf.Timestamp`, behind its tag.
    @inline(__always)
    mutating func writeTimestamp(_ microseconds: Int64) {
        let (seconds, nanoseconds) = TimeRules.parts(microseconds)
        self.next += 1
        let start = self.next
        self.write(1, UInt64(bitPattern: seconds))
        self.write(2, UInt64(truncatingIfNeeded: nanoseconds))
        // At most 1 + 10 + 1 + 5.
        start[-1] = UInt8(truncatingIfNeeded: self.next - start)
    }

    /// A message that `body` writes. Nearly all are shorter than 128 bytes, so one byte is left for
    /// the length; a longer message is moved up.
    @inline(__always)
    mutating func write(_ field: UInt8, _ body: (inout FieldWriter) -> Void) {
        self.byte(field << 3 | 2)
        self.next += 1
        let start = self.next
        body(&self)
        let count = self.next - start
        guard count >= 0x80 else {
            start[-1] = UInt8(truncatingIfNeeded: count)
            return
        }
        self.next = start - 1
        self.writeLength(count, ofMessageAt: start)
    }

    /// A message of probably 128 ... 16,383 bytes: moved only if it is not.
    @inline(__always)
    mutating func writeLong(_ field: UInt8, _ body: (inout FieldWriter) -> Void) {
        self.byte(field << 3 | 2)
        self.next += 2
        let start = self.next
        body(&self)
        let count = self.next - start
        guard 0x80 ..< 0x4000 ~= count else {
            self.next = start - 2
            return self.writeLength(count, ofMessageAt: start)
        }
        start[-2] = UInt8(truncatingIfNeeded: count) | 0x80
        start[-1] = UInt8(truncatingIfNeeded: count >> 7)
    }

    /// Writes the length of a message that is at `start` already, and moves it behind the length.
    private mutating func writeLength(
        _ count: Int, ofMessageAt start: UnsafeMutablePointer<UInt8>
    ) {
        var lengthBytes = 1
        var rest = count >> 7
        while rest > 0 {
            lengthBytes += 1
            rest >>= 7
        }
        // SAFETY: both ranges are in the reserved memory; memmove semantics.
        UnsafeMutableRawPointer(self.next + lengthBytes).copyMemory(from: start, byteCount: count)
        self.number(UInt64(truncatingIfNeeded: count))
        self.next += count
    }
}
