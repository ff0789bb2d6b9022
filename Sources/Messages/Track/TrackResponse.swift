import Bytes
import Profiles

// The answer of nearly every Track, written from its result in one go. Through protobuf-c it costs
// four times as much: each field is copied into a C message, and all of them again out of it. What
// has errors in it still goes that way (TrackEncoder.swift), and `TrackResponseTests` holds both to
// the same bytes.

/// Writes protobuf fields into room that is known to suffice; as proto3 wants it, zero and empty
/// are left out.
struct FieldWriter {
    // SAFETY: whoever makes one has added up what it will write, and checks where it ended.
    private(set) var next: UnsafeMutablePointer<UInt8>

    init(_ target: UnsafeMutablePointer<UInt8>) {
        self.next = target
    }

    @inline(__always)
    private mutating func byte(_ value: UInt8) {
        self.next.pointee = value
        self.next += 1
    }

    @inline(__always)
    private mutating func number(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            self.byte(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.byte(UInt8(truncatingIfNeeded: rest))
    }

    /// A varint; fields up to 15 have a tag of one byte.
    @inline(__always)
    mutating func write(_ field: UInt8, _ value: UInt64) {
        guard value != 0 else { return }
        self.byte(field << 3)
        self.number(value)
    }

    @inline(__always)
    mutating func write(_ field: UInt8, _ text: UnsafeRawBufferPointer) {
        guard let source = text.baseAddress, text.count > 0 else { return }
        self.byte(field << 3 | 2)
        self.number(UInt64(truncatingIfNeeded: text.count))
        UnsafeMutableRawPointer(self.next).copyMemory(from: source, byteCount: text.count)
        self.next += text.count
    }

    /// An id as text; that of nobody is left out.
    mutating func write(_ field: UInt8, _ id: ProfileID) {
        guard id.isSet else { return }
        self.byte(field << 3 | 2)
        self.byte(UInt8(ProfileID.textBytes))
        id.writeText(
            into: UnsafeMutableRawBufferPointer(start: self.next, count: ProfileID.textBytes))
        self.next += ProfileID.textBytes
    }

    /// A message of fewer than 2^14 bytes, which `body` writes.
    @inline(__always)
    mutating func write(_ field: UInt8, _ body: (inout FieldWriter) -> Void) {
        self.byte(field << 3 | 2)
        self.next += 1
        let start = self.next
        body(&self)
        let count = self.next - start
        precondition(count < 1 << 14, "an event's answer is bounded by its id")
        start[-1] = UInt8(truncatingIfNeeded: count)
        guard count >= 0x80 else { return }
        // A second byte of length: everything moves up by one.
        UnsafeMutableRawPointer(start + 1).copyMemory(from: start, byteCount: count)
        start[-1] = UInt8(truncatingIfNeeded: count) | 0x80
        start[0] = UInt8(truncatingIfNeeded: count >> 7)
        self.next += 1
    }
}

extension MessageDecoder {
    /// Appends the TrackResponse of a result in which no event was rejected; leaves all as it was
    /// and returns `nil` for any other.
    ///
    /// Budget: one pass, no allocation.
    static func writePlainResponse(
        _ header: ResultHeader, body: inout ByteReader, sequence: UInt64,
        into output: inout ByteBuffer
    ) -> ItemOutcomes? {
        var reader = body
        guard let track = TrackResultBody(from: &reader) else {
            preconditionFailure("a result of this process is whole")
        }
        let start = output.count
        // Beside its events an answer takes 94 bytes and an identifier, an event its id and 73,
        // where the result has the id and 45.
        let bytesMax = 128 + 2 * header.totalBytes
        let target = output.appendUninitialized(bytesMax).baseAddress!.assumingMemoryBound(
            to: UInt8.self)
        var writer = FieldWriter(target)
        writer.write(1, track.profileID)
        writer.write(2, track.revision)
        writer.write(3, header.lsn)
        var outcomes = ItemOutcomes()
        for _ in 0 ..< track.eventCount {
            guard let event = EventResultView(from: &reader) else {
                preconditionFailure("a result of this process is whole")
            }
            if case .rejected = event.outcome {
                output.truncate(to: start)
                return nil
            }
            outcomes.count(event.outcome, isReplay: header.isReplayed)
            // Mostly the holder of the identifier, whose text stands at the beginning.
            let holder =
                event.holder.isSet && event.holder.isSame(as: track.profileID)
                ? UnsafeRawBufferPointer(start: target + 2, count: ProfileID.textBytes) : nil
            writer.write(4) { Self.write(event, holder, into: &$0) }
        }
        writer.write(5, header.isReplayed ? 1 : 0)
        writer.write(6, sequence)
        if let from = track.redirectedFrom {
            if case .profileID = from.kind {
                writer.write(8, ProfileID(binary: from.bytes))
            } else {
                writer.write(8, from.bytes)
            }
        }
        let bytes = writer.next - target
        precondition(bytes <= bytesMax, "an answer is longer than it can be")
        output.truncate(to: start + bytes)
        body = reader
        return outcomes
    }

    @inline(__always)
    private static func write(
        _ event: EventResultView, _ holder: UnsafeRawBufferPointer?, into writer: inout FieldWriter
    ) {
        writer.write(1, event.eventID)
        writer.write(2, UInt64(event.outcome.rawValue))
        if event.effectiveTime != 0 {
            let (seconds, nanoseconds) = TimeRules.parts(event.effectiveTime)
            writer.write(3) {
                $0.write(1, UInt64(bitPattern: seconds))
                $0.write(2, UInt64(nanoseconds))
            }
        }
        writer.write(4, event.contentDiffers ? 1 : 0)
        if let holder { writer.write(6, holder) } else { writer.write(6, event.holder) }
        writer.write(7, event.lsn)
    }
}

// Operators of another module's types are called through their witnesses; fields are read in place.
extension ProfileID {
    /// Not the id of nobody.
    var isSet: Bool { self.high | self.low != 0 }

    func isSame(as other: ProfileID) -> Bool { self.high == other.high && self.low == other.low }
}
