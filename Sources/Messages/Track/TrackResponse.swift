import Bytes
import Profiles

// The response to nearly every Track, written from its result in one go. Through protobuf-c it
// costs four times as much: each field is copied into a C message, and all of them again out of it.
// What has errors in it still goes that way (TrackEncoder.swift), and `TrackResponseTests` holds
// both to the same bytes.

extension MessageEncoder {
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
        // Beside its events a response takes 94 bytes and an identifier, an event its id and 73,
        // where the result has the id and 45.
        let bytesMax = 128 + 2 * header.totalBytes
        // SAFETY: `bytesMax` bytes at the end of `output`, measured above for the largest response;
        // the rest is cut off before `output` is used again.
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
        if let from = track.redirectedFrom { writer.write(8, textOf: from) }
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
        if event.effectiveTime != 0 { writer.write(3, time: event.effectiveTime) }
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
