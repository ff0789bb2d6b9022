import Foundation
import ProfileServer
import Synchronization
import Testing

@Suite struct LogTests {
    /// Collects the output of a log.
    private final class Lines: Sendable {
        let text = Mutex("")
        var sink: Log.Sink {
            { line in self.text.withLock { $0 += String(decoding: line, as: UTF8.self) } }
        }
        var value: String { self.text.withLock { $0 } }
    }

    private func line(_ fields: [LogField]) throws -> String {
        let lines = Lines()
        let log = Log(level: .debug, clock: FakeClock(), sink: lines.sink)
        log.write(.info, "happened", fields)
        return lines.value
    }

    private func decoded(_ line: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }

    @Test func lineHoldsTimeLevelMessageAndFieldsInOrder() {
        let lines = Lines()
        let clock = FakeClock(wallMicroseconds: 1_772_323_199_000_001)
        Log(level: .info, clock: clock, sink: lines.sink).warning(
            "torn tail", LogField("bytes", 12), LogField("file", "a"), LogField("lsn", UInt64.max),
            LogField("seconds", 0.5), LogField("repaired", true), LogField("rate", Double.nan))
        #expect(
            lines.value == #"{"time":"2026-02-28T23:59:59.000001Z","level":"warning","#
                + #""message":"torn tail","bytes":12,"file":"a","lsn":18446744073709551615,"#
                + #""seconds":0.5,"repaired":true,"rate":"nan"}"# + "\n")
    }

    @Test(arguments: LogLevel.allCases)
    func lowerLevelsAreOmitted(level: LogLevel) {
        let lines = Lines()
        let log = Log(level: level, clock: FakeClock(), sink: lines.sink)
        for one in LogLevel.allCases { log.write(one, "x", []) }
        let expected = LogLevel.allCases.drop { $0 != level }.count
        #expect(lines.value.split(separator: "\n").count == expected)
    }

    @Test func anyTextStaysOneValueOnOneLineS12() throws {
        var hostile = ""
        for value in UInt32(0) ... 0x2FF { hostile.unicodeScalars.append(Unicode.Scalar(value)!) }
        hostile += "\u{2028}\u{2029}\u{202E}\u{2066}\",\"level\":\"error\n{}"
        for start in stride(from: 0, to: hostile.unicodeScalars.count, by: 97) {
            let part = String(
                String.UnicodeScalarView(hostile.unicodeScalars.dropFirst(start).prefix(97)))
            let line = try self.line([LogField("value", part)])
            #expect(line.unicodeScalars.filter { $0.value < 0x20 }.map(\.value) == [0x0A])
            for scalar in ["\u{7F}", "\u{85}", "\u{9B}", "\u{2028}", "\u{202E}", "\u{2066}"] {
                #expect(!line.contains(scalar))
            }
            let decoded = try self.decoded(line)
            #expect(
                (decoded["value"] as? String)?.unicodeScalars.elementsEqual(part.unicodeScalars)
                    == true)
            #expect(decoded["level"] as? String == "info")
        }
    }

    @Test func longValueIsTruncatedBetweenScalars() throws {
        let line = try self.line([LogField("value", "x" + String(repeating: "é", count: 1_000))])
        // One byte, then two-byte scalars: 511 of the 512 bytes can be used.
        #expect(
            try self.decoded(line)["value"] as? String
                == "x" + String(repeating: "é", count: 255) + "…")
        let whole = String(repeating: "x", count: Log.valueBytesMax)
        #expect(
            try self.decoded(self.line([LogField("value", whole)]))["value"] as? String == whole)
    }

    @Test func fieldsOverTheLimitAreCounted() throws {
        let line = try self.line((0 ..< 20).map { LogField("value", $0) })
        #expect(line.hasSuffix("\"value\":15,\"fields_dropped\":4}\n"))
    }

    @Test func linesOfSeveralThreadsNeverMix() throws {
        let lines = Lines()
        let log = Log(level: .info, clock: FakeClock(), sink: lines.sink)
        DispatchQueue.concurrentPerform(iterations: 400) {
            log.info(
                "happened", LogField("thread", $0),
                LogField("text", String(repeating: "x", count: $0)))
        }
        var seen: Set<Int> = []
        for line in lines.value.split(separator: "\n") {
            let decoded = try self.decoded(String(line))
            let thread = try #require(decoded["thread"] as? Int)
            #expect((decoded["text"] as? String)?.count == thread)
            seen.insert(thread)
        }
        #expect(seen.count == 400)
    }
}
