// The operator's log: JSON lines, also on a terminal, because what is read there once is grepped
// and shipped for ever after, and two formats would be two things to keep safe against injection.

import Bytes
import IOCore

/// Writes one JSON object per line: `time`, `level`, `message`, then the fields in the order given.
///
/// Thread-safe: a line is built and handed over under one lock, so lines never mix. For events of
/// the process (start, drain, failure), not for calls: the sink may block, and a line costs
/// microseconds.
package final class Log: Sendable {
    /// Takes one whole line with its line break; the bytes are valid for the call only. Called by
    /// one thread at a time.
    package typealias Sink = @Sendable (UnsafeRawBufferPointer) -> Void

    /// Longest text value, in UTF-8 bytes before escaping: a path or an error fits, a flood does
    /// not.
    package static let valueBytesMax = 512
    /// Most fields of a line; the rest is left out and counted in `fields_dropped`.
    package static let fieldsMax = 16

    package let level: LogLevel
    private let clock: any Clock
    private let sink: Sink
    /// The line being built; its storage is kept between lines.
    private let line = Guarded(ByteBuffer(capacity: 1_024))

    /// Makes a log that passes on lines of `level` and above.
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
    /// - Parameter message: What happened, always the same words for the same event: it is searched
    ///   for.
    package func write(_ level: LogLevel, _ message: StaticString, _ fields: [LogField]) {
        guard level >= self.level else { return }
        self.line.withLock { line in
            // The clock is read under the lock, so that the times of the lines do not run backwards
            // by our doing.
            let time = CivilTime(microsecondsSinceEpoch: self.clock.wallMicroseconds())
            line.removeAll()
            line.append("{\"time\":\"")
            time.appendRFC3339(to: &line)
            line.append("\",\"level\":")
            JSONText.append(level.rawValue, to: &line)
            line.append(",\"message\":")
            JSONText.append(message.description, bytesMax: Self.valueBytesMax, to: &line)
            for field in fields.prefix(Self.fieldsMax) { Self.append(field, to: &line) }
            if fields.count > Self.fieldsMax {
                Self.append(LogField("fields_dropped", fields.count - Self.fieldsMax), to: &line)
            }
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
            // JSON has no word for these.
            JSONText.append(number.description, to: &line)
        case .boolean(let boolean):
            line.append(boolean ? "true" : "false")
        }
    }

    private static func append(literal: String, to line: inout ByteBuffer) {
        for byte in literal.utf8 { line.append(byte) }
    }
}
