import Bytes
import ProfileService

/// One line of the access log: a JSON object with the same members in each line.
struct AccessLine: Sendable {
    /// Longest text of a member, in UTF-8 bytes before escaping: methods, peers, and the 63 bytes
    /// of a project are shorter. The eight texts and ten numbers of a line stay below the 4,096
    /// bytes that a pipe takes as a whole.
    private static let valueBytesMax = 80

    /// `Service/Method` of each row of the table.
    private let methods = RPCTable.all.map { "\($0.service)/\($0.name)" }

    /// Appends the line of a record, with its line break.
    func append(_ record: CallRecord, project: String, to line: inout ByteBuffer) {
        Self.begin(record.timeMicroseconds, in: &line)
        Self.append("method", self.name(of: record.method), to: &line)
        Self.append("code", record.code.metricName, to: &line)
        Self.append("milliseconds", record.nanoseconds, to: &line)
        Self.append("queue_milliseconds", record.phases?.queueNanoseconds, to: &line)
        Self.append("sync_milliseconds", record.phases?.syncNanoseconds, to: &line)
        Self.append("apply_milliseconds", record.phases?.applyNanoseconds, to: &line)
        Self.append(number: "request_bytes", record.requestBytes, to: &line)
        Self.append(number: "response_bytes", record.responseBytes, to: &line)
        Self.append("project", project, to: &line)
        Self.append("key", record.keyName?.description, to: &line)
        Self.append("peer", record.peer, to: &line)
        Self.append("trace", record.trace?.trace.description, to: &line)
        line.append("}\n")
    }

    /// Appends the line that stands for records that were lost.
    static func appendLoss(of count: UInt64, at microseconds: Int64, to line: inout ByteBuffer) {
        self.begin(microseconds, in: &line)
        Self.append(number: "lines_lost", Int(clamping: count), to: &line)
        line.append("}\n")
    }

    /// `unknown`: as in the metrics.
    func name(of method: Int?) -> String {
        method.flatMap { self.methods.indices.contains($0) ? self.methods[$0] : nil } ?? "unknown"
    }

    /// Every line says that it is one, since it may be between those of the server's own log.
    private static func begin(_ microseconds: Int64, in line: inout ByteBuffer) {
        line.append("{\"time\":\"")
        CivilTime(microsecondsSinceEpoch: microseconds).appendRFC3339(to: &line)
        line.append("\",\"message\":\"call\"")
    }

    private static func append(_ name: StaticString, _ text: String?, to line: inout ByteBuffer) {
        self.append(name: name, to: &line)
        guard let text else { return line.append("null") }
        JSONText.append(text, bytesMax: self.valueBytesMax, to: &line)
    }

    /// A time in milliseconds with three decimals.
    private static func append(
        _ name: StaticString, _ nanoseconds: UInt64?, to line: inout ByteBuffer
    ) {
        self.append(name: name, to: &line)
        guard let nanoseconds else { return line.append("null") }
        let microseconds = nanoseconds / 1_000
        self.append(microseconds / 1_000, to: &line)
        line.append(".")
        let fraction = microseconds % 1_000
        if fraction < 100 { line.append("0") }
        if fraction < 10 { line.append("0") }
        self.append(fraction, to: &line)
    }

    private static func append(
        number name: StaticString, _ number: Int, to line: inout ByteBuffer
    ) {
        self.append(name: name, to: &line)
        self.append(UInt64(max(0, number)), to: &line)
    }

    private static func append(name: StaticString, to line: inout ByteBuffer) {
        line.append(",\"")
        line.append(name)
        line.append("\":")
    }

    private static func append(_ number: UInt64, to line: inout ByteBuffer) {
        line.append(text: number.description)
    }
}
