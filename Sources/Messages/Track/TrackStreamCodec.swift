import Bytes

// SAFETY: borrowed bytes are read through `ByteReader`, which checks every offset, and only during
// the call.

// What TrackStream adds to Track. The response to a failed request is written by hand: its only
// message is serialised already.

extension MessageEncoder {
    /// `TrackResponse.sequence`, a varint.
    private static let responseSequenceTag: UInt64 = 6 << 3
    /// `TrackResponse.error`, a message.
    private static let responseErrorTag: UInt64 = 7 << 3 | 2

    /// Appends the TrackResponse of a request that failed.
    ///
    /// - Parameter status: A serialised `google.rpc.Status`: what the unary call has in
    ///   `grpc-status-details-bin`.
    package static func encodeTrackFailure(
        _ status: [UInt8], sequence: UInt64, into output: inout ByteBuffer
    ) {
        if sequence != 0 {
            output.appendVarint(Self.responseSequenceTag)
            output.appendVarint(sequence)
        }
        output.appendVarint(Self.responseErrorTag)
        status.withUnsafeBytes { output.appendPrefixed($0) }
    }
}

extension MessageDecoder {
    /// `TrackRequest.sequence`.
    private static let requestSequenceField: UInt64 = 11

    /// The `sequence` of a TrackRequest that is protobuf but was not decoded; 0 if it has none.
    package static func sequence(ofTrack message: UnsafeRawBufferPointer) -> UInt64 {
        var reader = ByteReader(message)
        var sequence: UInt64 = 0
        while reader.remaining > 0, !reader.overrun {
            let tag = reader.readVarint()
            switch tag & 7 {
            case 0:
                let value = reader.readVarint()
                if tag >> 3 == Self.requestSequenceField { sequence = value }
            case 1: _ = reader.read(UInt64.self)
            case 2: _ = reader.readPrefixed()
            case 5: _ = reader.read(UInt32.self)
            default: return sequence
            }
        }
        return sequence
    }
}
