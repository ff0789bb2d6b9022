// The operator's log: JSON lines, also on a terminal. Logs are read on a terminal once, but grepped
// and shipped permanently, and a second format would also have to be made safe against injection.

import Bytes
import IOCore

/// Writes one JSON object per line: `time`, `level`, `message`, then the fields in the order given.
///
/// Thread-safe: a line is built and passed to the sink under one lock, so lines never mix. For
/// events of the process (start, drain, failure), not for calls: a line costs microseconds, and the
/// sink holds only so many.
package final class Log: Sendable {
    /// Receives one whole line with its line break; the bytes are valid for the call only. Called
    /// by one thread at a time, and must not block.
    package typealias Sink = @Sendable (UnsafeRawBufferPointer) -> Void

    /// Longest text value, in UTF-8 bytes before escaping: enough for a path or an error.
    package static let valueBytesMax = 512
    /// Most fields of a line; further ones are omitted and counted in `fields_dropped`.
    package static let fieldsMax = 16
    /// Longest line, in bytes with its line break: a pipe takes as many as a whole (PIPE_BUF), so
    /// that neither a full pipe nor another writer tears a line. Fields for which there is no space
    /// are omitted and counted in `fields_dropped`.
    package static let lineBytesMax = 4_096
    /// The end of a line: `,"fields_dropped":16}` and the line break.
    private static let endBytesMax = 24

    package let level: LogLevel
    private let clock: any Clock
    private let sink: Sink
    /// The line being built; its storage is kept between lines.
    private let line = Guarded(ByteBuffer(capacity: 1_024))

    /// Creates a log that writes lines of `level` and above.
    package init(level: LogLevel, clock: any Clock, sink: @escaping Sink) {
        self.level = level
        self.clock = clock
        self.sink = sink
    }

    package func debug(_ message: StaticString, _ fields: LogField...) {
        self.write(.debug, message, fields)
    }

    package func info(_ message: StaticString, _ fields: LogField...) {
        self.write(.info, message, fields)
    }

    package func warning(_ message: StaticString, _ fields: LogField...) {
        self.write(.warning, message, fields)
    }

    package func error(_ message: StaticString, _ fields: LogField...) {
        self.write(.error, message, fields)
    }

    /// Writes a line unless `level` is below the log's.
    ///
    /// - Parameter message: What happened. The text is constant for each kind of event, so that
    ///   operators can search for it.
    package func write(_ level: LogLevel, _ message: StaticString, _ fields: [LogField]) {
        guard level >= self.level else { return }
        self.line.withLock { line in
            // Reading the clock under the lock keeps the times of the lines in order, unless the
            // clock itself is set back.
            let time = CivilTime(microsecondsSinceEpoch: self.clock.wallMicroseconds())
            line.removeAll()
            line.append("{\"time\":\"")
            time.appendRFC3339(to: &line)
            line.append("\",\"level\":")
            JSONText.append(level.rawValue, to: &line)
            line.append(",\"message\":")
            JSONText.append(message.description, bytesMax: Self.valueBytesMax, to: &line)
            var omitted = max(0, fields.count - Self.fieldsMax)
            for field in fields.prefix(Self.fieldsMax) {
                let begin = line.count
                Self.append(field, to: &line)
                guard line.count > Self.lineBytesMax - Self.endBytesMax else { continue }
                line.truncate(to: begin)
                omitted += 1
            }
            if omitted > 0 { Self.append(LogField("fields_dropped", omitted), to: &line) }
            line.append("}\n")
            self.sink(line.bytes)
        }
    }

    private static func append(_ field: LogField, to line: inout ByteBuffer) {
        line.append(",")
        JSONText.append(field.name.description, bytesMax: Self.valueBytesMax, to: &line)
        line.append(":")
        switch field.value {
        case .text(let text):
            JSONText.append(text, bytesMax: Self.valueBytesMax, to: &line)
        case .integer(let integer):
            Self.append(literal: integer.description, to: &line)
        case .unsigned(let integer):
            Self.append(literal: integer.description, to: &line)
        case .number(let number) where number.isFinite:
            Self.append(literal: number.description, to: &line)
        case .number(let number):
            // JSON has no literals for infinity and NaN.
            JSONText.append(number.description, to: &line)
        case .boolean(let boolean):
            line.append(boolean ? "true" : "false")
        }
    }

    private static func append(literal: String, to line: inout ByteBuffer) {
        line.append(text: literal)
    }
}
