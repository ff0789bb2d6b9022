import Bytes
import ProfileService

/// One line of the audit log: a JSON object with the same members in each line.
struct AuditLine {
    /// Longest text of a member, in UTF-8 bytes before escaping: a project, a peer, a reason are
    /// shorter. With seven of them a line stays below the 4,096 bytes that a pipe takes as a whole.
    static let valueBytesMax = 80

    /// `Service/Method` of each row of the table.
    private let methods = RPCTable.all.map { "\($0.service)/\($0.name)" }

    /// Appends the line of a record, with its line break.
    func append(_ record: AuditRecord, to line: inout ByteBuffer) {
        Self.begin(record.timeMicroseconds, in: &line)
        line.append(",\"key\":")
        if let name = record.keyName {
            Self.append(name.description, to: &line)
        } else {
            line.append("null")
        }
        line.append(",\"peer\":")
        Self.append(record.peer, to: &line)
        line.append(",\"method\":")
        Self.append(
            self.methods.indices.contains(record.method) ? self.methods[record.method] : "",
            to: &line)
        line.append(",\"project\":")
        Self.append(record.project, to: &line)
        line.append(",\"code\":")
        Self.append(record.code.metricName, to: &line)
        line.append(",\"reason\":")
        Self.append(record.reason, to: &line)
        line.append(",\"lsn\":")
        line.append(text: record.lsn.description)
        line.append(",\"trace\":")
        if let trace = record.trace {
            Self.append(trace.description, to: &line)
        } else {
            line.append("null")
        }
        line.append("}\n")
    }

    /// Appends the line that stands for lines that were lost.
    static func appendLoss(of lines: UInt64, at microseconds: Int64, to line: inout ByteBuffer) {
        self.begin(microseconds, in: &line)
        line.append(",\"lines_lost\":")
        line.append(text: lines.description)
        line.append("}\n")
    }

    /// Appends the line that stands for refused accesses without a line of their own.
    static func appendDenials(_ count: UInt64, at microseconds: Int64, to line: inout ByteBuffer) {
        self.begin(microseconds, in: &line)
        line.append(",\"refused_more\":")
        line.append(text: count.description)
        line.append("}\n")
    }

    private static func begin(_ microseconds: Int64, in line: inout ByteBuffer) {
        line.append("{\"time\":\"")
        CivilTime(microsecondsSinceEpoch: microseconds).appendRFC3339(to: &line)
        line.append("\"")
    }

    private static func append(_ text: String, to line: inout ByteBuffer) {
        JSONText.append(text, bytesMax: self.valueBytesMax, to: &line)
    }
}
