import Bytes

// grpc.health.v1: its two messages have one field each, so they are read and written by hand.

extension MessageDecoder {
    /// The service that a HealthCheckRequest names; `nil` if it is no such message. Unknown fields
    /// are skipped.
    package static func decodeHealthCheck(_ message: UnsafeRawBufferPointer) -> String? {
        var reader = ByteReader(message)
        var service = ""
        while reader.remaining > 0 {
            let tag = reader.readVarint()
            switch tag & 7 {
            case 0: _ = reader.readVarint()
            case 1: _ = reader.read(UInt64.self)
            case 2:
                let bytes = reader.readPrefixed()
                guard tag >> 3 == 1 else { continue }
                guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
                service = text
            case 5: _ = reader.read(UInt32.self)
            default: return nil
            }
            if reader.overrun { return nil }
        }
        return reader.overrun ? nil : service
    }
}

extension MessageEncoder {
    /// Appends a HealthCheckResponse.
    ///
    /// - Parameter status: `ServingStatus` of the protocol, never its default `UNKNOWN`.
    package static func encodeHealthCheckResponse(
        status: UInt8, into output: inout ByteBuffer
    ) {
        // Field 1, varint.
        output.append(UInt8(1 << 3))
        output.append(status)
    }
}
