import Bytes
import Foundation
import GRPCTransport
import IOCore
import IOLinux
import ProfileService
import Profiles
import Testing

@testable import ProfileServer

@Suite struct AccessLogTests {
    private final class NoWaker: Waker {
        func wake() {}
    }

    private static let method = RPCTable.all.firstIndex { $0.name == "Track" }!

    static func record(
        peer: String = "127.0.0.1:5", phases: LogPhases? = nil, trace: CallTrace? = nil
    ) -> CallRecord {
        CallRecord(
            timeMicroseconds: 1_772_323_199_000_001, nanoseconds: 1_234_567, method: Self.method,
            code: .ok, requestBytes: 70, responseBytes: 40, project: ProjectID(rawValue: 1),
            keyName: KeyName(bits: (1, 2)), peer: peer, phases: phases, trace: trace)
    }

    static let trace = CallTrace(
        trace: TraceID(high: 1, low: 2), span: 3, parentSpan: 4, isSampled: true, state: "a=1",
        isReturned: false)

    private func text(_ record: CallRecord, project: String = "shop") -> String {
        var line = ByteBuffer()
        AccessLine().append(record, project: project, to: &line)
        return String(decoding: line.bytes, as: UTF8.self)
    }

    @Test func lineHasEveryMember() {
        let phases = LogPhases(
            queueNanoseconds: 5_000, syncNanoseconds: 1_000_000, applyNanoseconds: 999)
        #expect(
            self.text(Self.record(phases: phases, trace: Self.trace))
                == #"{"time":"2026-02-28T23:59:59.000001Z","message":"call","#
                + #""method":"profiles.v1.Profiles/Track","code":"OK","milliseconds":1.234,"#
                + #""queue_milliseconds":0.005,"sync_milliseconds":1.000,"#
                + #""apply_milliseconds":0.000,"request_bytes":70,"response_bytes":40,"#
                + #""project":"shop","key":"1000000020000000","peer":"127.0.0.1:5","#
                + #""trace":"00000000000000010000000000000002"}"# + "\n")
    }

    @Test func whatACallLacksIsNull() throws {
        var record = Self.record()
        record.keyName = nil
        record.method = nil
        let text = self.text(record, project: "")
        let decoded = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        #expect(decoded?.count == 14)
        for name in [
            "queue_milliseconds", "sync_milliseconds", "apply_milliseconds", "key", "trace",
        ] {
            #expect(decoded?[name] is NSNull, "\(name)")
        }
        #expect(decoded?["method"] as? String == "unknown" && decoded?["project"] as? String == "")
    }

    /// S12, and the bound of a pipe's atomic write.
    @Test func anyTextStaysInItsMemberAndTheLineIsBounded() throws {
        let hostile = String(repeating: "\u{1}\n\u{2028}\"}", count: 100)
        let text = self.text(Self.record(peer: hostile), project: hostile)
        #expect(text.utf8.filter { $0 == 0x0A }.count == 1 && text.utf8.count <= Log.lineBytesMax)
        #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: Data(text.utf8)) }
    }

    // MARK: The queue

    @Test func fullQueueDropsCountsAndSaysSoBehindWhatItHas() {
        let queue = CallQueue(waker: NoWaker())
        for _ in 0 ..< CallQueue.recordsMax + 3 { queue.append(Self.record()) }
        #expect(queue.dropped == 3)
        let first = queue.take(atMost: 4_000)
        #expect(first.records.count == 4_000 && first.dropped == 0)
        let second = queue.take(atMost: 4_000)
        #expect(second.records.count == CallQueue.recordsMax - 4_000 && second.dropped == 3)
        #expect(queue.take(atMost: 1).dropped == 0 && queue.dropped == 3)
    }

    // MARK: The file

    @Test func linesOfAFileAreWrittenThroughARotation() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (path, older) = (folder.appending(path: "a"), folder.appending(path: "b"))
        let log = try AccessLog(
            path: path.path, clock: FakeClock(),
            log: Log(level: .error, clock: FakeClock(), sink: { _ in }),
            standardError: LogQueue(waker: NoWaker()), names: ProjectNames())
        let thread = LinuxThreadStarter().start(name: "access-lines") { log.run() }
        log.record(Self.record())
        while (try? String(contentsOf: path, encoding: .utf8))?.hasSuffix("\n") != true {
            usleep(5_000)
        }
        try FileManager.default.moveItem(at: path, to: older)
        log.reopen()
        while !FileManager.default.fileExists(atPath: path.path) { usleep(5_000) }
        for _ in 0 ..< 2_000 { log.record(Self.record()) }
        #expect(log.finish(withinNanoseconds: 60_000_000_000))
        thread.join()
        let text = try String(contentsOf: path, encoding: .utf8)
        #expect(text.split(separator: "\n").count == 2_000 && log.dropped == 0)
        #expect(try String(contentsOf: older, encoding: .utf8).split(separator: "\n").count == 1)
    }

    // MARK: Standard error

    /// A line of 200 bytes for each call, and nobody who takes them away; then somebody does.
    @Test func linesThatStandardErrorDoesNotTakeCountAsTheAccessLogsOwn() throws {
        let lines = LogQueue(waker: NoWaker())
        let log = try AccessLog(
            path: Configuration.standardErrorName, clock: FakeClock(),
            log: Log(level: .error, clock: FakeClock(), sink: { _ in }),
            standardError: lines, names: ProjectNames())
        let thread = LinuxThreadStarter().start(name: "access-lines") { log.run() }
        for _ in 0 ..< 2_000 { log.record(Self.record()) }
        var taken: [LogQueue.Line] = []
        func take() {
            guard case .lines(let some) = lines.take(isFlowing: true) else { return }
            taken += some
        }
        while log.dropped + UInt64(taken.count) < 2_000 {
            usleep(5_000)
            take()
        }
        #expect(taken.reduce(0) { $0 + $1.bytes.count } <= LogQueue.bytesMax / 2)
        // Nothing is said of a loss as long as it would be lost, too.
        #expect(log.dropped == UInt64(2_000 - taken.count) && lines.dropped == 0)
        let lost = log.dropped
        #expect(lost > 0)
        for line in taken { lines.finished(line, isLost: false) }
        taken = []
        log.record(Self.record())
        #expect(log.finish(withinNanoseconds: 60_000_000_000))
        thread.join()
        take()
        let texts = taken.map { String(decoding: $0.bytes, as: UTF8.self) }
        #expect(texts.count == 2 && texts.last?.hasSuffix(",\"lines_lost\":\(lost)}\n") == true)
        #expect(log.dropped == lost && lines.take(isFlowing: true) == .wait)
    }
}
