import Bytes
import GRPCTransport
import ProfileService

/// Writes spans as one request of OTLP in JSON.
///
/// A call that went through the log has three spans below its own, one after the other:
/// `log.queue`, `log.sync` and `log.apply`. The last ends with the call; in truth a little earlier.
///
/// - Source: OpenTelemetry Protocol 1.3, "JSON Protobuf Encoding": ids are hexadecimal, 64-bit
///   numbers are strings.
struct SpanText: Sendable {
    /// Longest text of an attribute, in UTF-8 bytes before escaping.
    private static let valueBytesMax = 256

    private let methods = RPCTable.all
    private let version: String
    private let instance: String

    /// - Parameter instance: Tells this server from others: the address that it listens on.
    init(version: String, instance: String) {
        self.version = version
        self.instance = instance
    }

    /// Appends a request with these calls.
    ///
    /// - Parameters:
    ///   - name: Finds the name of a record's project.
    ///   - ids: Draws the ids of the spans below a call's own.
    func append(
        _ records: [CallRecord], name: (CallRecord) -> String, ids: inout TraceSampler,
        to text: inout ByteBuffer
    ) {
        text.append("{\"resourceSpans\":[{\"resource\":{\"attributes\":[")
        Self.append(attribute: "service.name", text: "profiled", isFirst: true, to: &text)
        Self.append(attribute: "service.version", text: self.version, to: &text)
        Self.append(attribute: "service.instance.id", text: self.instance, to: &text)
        text.append("]},\"scopeSpans\":[{\"scope\":{\"name\":\"profiled\"},\"spans\":[")
        var isFirst = true
        for record in records {
            guard let trace = record.trace else { continue }
            if !isFirst { text.append(",") }
            isFirst = false
            self.append(record, trace, project: name(record), to: &text)
            if let phases = record.phases {
                Self.append(phases, of: record, trace, ids: &ids, to: &text)
            }
        }
        text.append("]}]}]}")
    }

    private func append(
        _ record: CallRecord, _ trace: CallTrace, project: String, to text: inout ByteBuffer
    ) {
        let method = record.method.flatMap {
            self.methods.indices.contains($0) ? self.methods[$0] : nil
        }
        Self.begin(
            trace, span: trace.span, parent: trace.parentSpan,
            name: method.map { "\($0.service)/\($0.name)" } ?? "unknown", kind: "2", to: &text)
        if !trace.state.isEmpty {
            text.append(",\"traceState\":")
            JSONText.append(trace.state, to: &text)
        }
        let end = Self.nanoseconds(record.timeMicroseconds)
        Self.append(from: end - min(end, record.nanoseconds), to: end, &text)
        text.append(",\"attributes\":[")
        Self.append(attribute: "rpc.system", text: "grpc", isFirst: true, to: &text)
        if let method {
            Self.append(attribute: "rpc.service", text: method.service, to: &text)
            Self.append(attribute: "rpc.method", text: method.name, to: &text)
        }
        Self.append(
            attribute: "rpc.grpc.status_code", number: Int(record.code.rawValue), to: &text)
        Self.append(attribute: "network.peer.address", text: record.peer, to: &text)
        Self.append(attribute: "profiles.request_bytes", number: record.requestBytes, to: &text)
        Self.append(attribute: "profiles.response_bytes", number: record.responseBytes, to: &text)
        if !project.isEmpty {
            Self.append(attribute: "profiles.project", text: project, to: &text)
        }
        text.append("],\"status\":{")
        if record.code.isServersFault {
            text.append("\"code\":2,\"message\":")
            JSONText.append(record.code.metricName, to: &text)
        }
        text.append("}}")
    }

    private static func append(
        _ phases: LogPhases, of record: CallRecord, _ trace: CallTrace,
        ids: inout TraceSampler, to text: inout ByteBuffer
    ) {
        let parts: [(String, UInt64)] = [
            ("log.queue", phases.queueNanoseconds), ("log.sync", phases.syncNanoseconds),
            ("log.apply", phases.applyNanoseconds),
        ]
        let end = self.nanoseconds(record.timeMicroseconds)
        let sum = parts.reduce(0) { $0 + $1.1 }
        var start = end - min(end, sum)
        for (name, length) in parts {
            text.append(",")
            self.begin(
                trace, span: ids.nextID(), parent: trace.span, name: name, kind: "1", to: &text)
            self.append(from: start, to: start + length, &text)
            text.append("}")
            start += length
        }
    }

    // MARK: Parts

    private static func begin(
        _ trace: CallTrace, span: UInt64, parent: UInt64, name: String, kind: StaticString,
        to text: inout ByteBuffer
    ) {
        text.append("{\"traceId\":")
        JSONText.append(trace.trace.description, to: &text)
        text.append(",\"spanId\":")
        JSONText.append(HexText.text(span), to: &text)
        if parent != 0 {
            text.append(",\"parentSpanId\":")
            JSONText.append(HexText.text(parent), to: &text)
        }
        text.append(",\"name\":")
        JSONText.append(name, to: &text)
        text.append(",\"kind\":")
        text.append(kind)
    }

    private static func append(from start: UInt64, to end: UInt64, _ text: inout ByteBuffer) {
        text.append(",\"startTimeUnixNano\":")
        JSONText.append(String(start), to: &text)
        text.append(",\"endTimeUnixNano\":")
        JSONText.append(String(end), to: &text)
    }

    private static func append(
        attribute name: StaticString, text value: String, isFirst: Bool = false,
        to text: inout ByteBuffer
    ) {
        self.begin(attribute: name, isFirst: isFirst, in: &text)
        text.append("\"stringValue\":")
        JSONText.append(value, bytesMax: self.valueBytesMax, to: &text)
        text.append("}}")
    }

    private static func append(
        attribute name: StaticString, number: Int, to text: inout ByteBuffer
    ) {
        self.begin(attribute: name, isFirst: false, in: &text)
        text.append("\"intValue\":")
        JSONText.append(String(number), to: &text)
        text.append("}}")
    }

    private static func begin(
        attribute name: StaticString, isFirst: Bool, in text: inout ByteBuffer
    ) {
        if !isFirst { text.append(",") }
        text.append("{\"key\":\"")
        text.append(name)
        text.append("\",\"value\":{")
    }

    private static func nanoseconds(_ microseconds: Int64) -> UInt64 {
        UInt64(max(0, microseconds)) * 1_000
    }
}

extension RPCStatusCode {
    /// Whether the server, not its client, has to do something about it.
    ///
    /// - Source: OpenTelemetry, "Semantic conventions for gRPC", server spans.
    var isServersFault: Bool {
        switch self {
        case .unknown, .deadlineExceeded, .unimplemented, .internalError, .unavailable, .dataLoss:
            true
        case .ok, .cancelled, .invalidArgument, .notFound, .alreadyExists, .permissionDenied,
            .resourceExhausted, .failedPrecondition, .aborted, .outOfRange, .unauthenticated:
            false
        }
    }
}
