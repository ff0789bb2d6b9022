import Bytes

// grpc.health.v1, answered inside the transport: it must work when nothing above does, and needs no
// credentials (H5). Its two messages have one field each, so they are read and written here by
// hand.

extension Connection {
    /// Answers Check, or begins a Watch.
    func respondToHealth(_ stream: RPCStream, method: Int) {
        guard let service = Self.service(in: stream.message.bytes) else {
            return self.finish(stream, RPCStatus(.internalError, "not a HealthCheckRequest"))
        }
        let status = self.loop.health.status(of: service)
        if self.loop.isHealthWatch(method: method) {
            return self.watch(stream, service: service, status)
        }
        guard let status else {
            return self.finish(stream, RPCStatus(.notFound, "unknown service"))
        }
        self.respond(on: stream) {
            Self.encode(status, into: &$0)
            return nil
        }
    }

    private func watch(_ stream: RPCStream, service: String, _ status: HealthStatus?) {
        guard self.watches < self.loop.limits.watchesPerConnectionMax else {
            return self.finish(
                stream,
                RPCStatus(
                    .resourceExhausted,
                    "at most \(self.loop.limits.watchesPerConnectionMax) watches on one connection")
            )
        }
        self.watches += 1
        stream.watchedService = service
        let current = status ?? .serviceUnknown
        stream.watchedStatus = current.rawValue
        _ = self.sendHealth(current, on: stream)
    }

    /// Tells the watches of this connection what has changed (H7).
    func pushHealth() {
        self.forEachStream { stream in
            guard let service = stream.watchedService else { return }
            let status = self.loop.health.status(of: service) ?? .serviceUnknown
            guard status.rawValue != stream.watchedStatus else { return }
            // A watcher that does not read gets the newest state once it does: `watchedStatus`
            // stays behind.
            if self.sendHealth(status, on: stream) == .sent {
                stream.watchedStatus = status.rawValue
            }
        }
    }

    private func sendHealth(_ status: HealthStatus, on stream: RPCStream) -> SendOutcome {
        self.send(on: stream) { Self.encode(status, into: &$0) }
    }

    private static func encode(_ status: HealthStatus, into output: inout ByteBuffer) {
        // Field 1, varint. A default value (UNKNOWN) would be left out; it is never sent.
        output.append(UInt8(0x08))
        output.append(status.rawValue)
    }

    /// The service of a HealthCheckRequest; `nil` if it is none. Unknown fields are skipped.
    static func service(in message: UnsafeRawBufferPointer) -> String? {
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
