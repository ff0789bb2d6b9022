import Foundation
import IOLinux
import Storage
import Synchronization
import Testing

@testable import ProfileServer

/// The thread that rereads sealed files (L19): its log lines and metrics.
@Suite struct ScrubThreadTests {
    private final class NoState: RecoveryTarget {
        func begin(_ position: SnapshotPosition) {}
        func load(_ block: UnsafeRawBufferPointer) -> Bool { true }
        func endOfSnapshot() -> Bool { true }
        func abandonSnapshot() {}
        func replay(_ frame: ReplayedFrame) -> Bool { true }
        func check(_ results: ResultsMark, number: UInt64) -> Bool { true }
    }

    private final class Lines: Sendable {
        let text = Mutex("")
    }

    /// A directory with a sealed segment of one frame, and a second segment.
    private static func withDirectory(_ body: (LogEnvironment, DirectoryID) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent(
            "profiles-scrub-\(UUID().uuidString)"
        ).path
        defer { try? FileManager.default.removeItem(atPath: root) }
        var options = LogOptions()
        options.segmentBytes = 64 << 10
        let environment = LogEnvironment(
            directory: root, fileSystem: LinuxFileSystem(), clock: LinuxClock(), options: options)
        try environment.fileSystem.createDirectory(root)
        let id = DirectoryID(high: 1, low: 2)
        let log = try [UInt8](repeating: 7, count: 1_000).withUnsafeBytes { payload in
            try SegmentedLog.open(
                environment,
                genesis: {
                    LogGenesis(
                        directoryID: id,
                        frame: LogFrame(
                            firstLSN: 1, operationCount: 1, receivedAt: 0, rulesVersion: 1,
                            results: ResultsMark(lsn: 0, digest: 0), payload: payload))
                }, target: NoState()
            ).log
        }
        _ = try log.checkpoint(results: ResultsMark(lsn: log.lastLSN, digest: 0))
        log.closeFile()
        try body(environment, id)
    }

    /// Runs the thread until it has read everything once, and returns what it logged.
    private static func run(
        _ environment: LogEnvironment, _ id: DirectoryID, _ metrics: ScrubMetrics
    ) -> String {
        let lines = Lines()
        let log = Log(level: .info, clock: FakeClock()) { line in
            lines.text.withLock { $0 += String(decoding: line, as: UTF8.self) }
        }
        let scrub = ScrubThread(
            Scrubber(environment, directoryID: id), metrics: metrics, clock: environment.clock,
            log: log,
            schedule: .init(firstNanoseconds: 0))
        let thread = LinuxThreadStarter().start(name: "scrub") { scrub.run() }
        for _ in 0 ..< 2_000 where metrics.runs == 0 { usleep(5_000) }
        scrub.stop()
        thread.join()
        return lines.text.withLock { $0 }
    }

    @Test func L19_intactDirectoryIsCountedAsARunWithoutFailures() throws {
        try Self.withDirectory { environment, id in
            let metrics = ScrubMetrics()
            let lines = Self.run(environment, id, metrics)
            #expect(metrics.runs == 1 && metrics.failures == 0)
            #expect(
                lines.contains("\"level\":\"info\",\"message\":\"data read again\",\"files\":1,"))
        }
    }

    @Test func L19_damageIsLoggedAsAnErrorAndCountedAndNothingIsChanged() throws {
        try Self.withDirectory { environment, id in
            let file = URL(fileURLWithPath: environment.directory).appendingPathComponent(
                "0000000000000001.log")
            var content = try Data(contentsOf: file)
            content[600] ^= 4
            try content.write(to: file)
            let metrics = ScrubMetrics()
            let lines = Self.run(environment, id, metrics)
            #expect(metrics.runs == 1 && metrics.failures == 1)
            #expect(lines.contains("\"level\":\"error\",\"message\":\"data on disk is damaged\""))
            #expect(lines.contains("0000000000000001.log is damaged at byte 64"))
            #expect(try Data(contentsOf: file) == content, "it is left as it is")
        }
    }

    @Test func waitingThreadStopsImmediately() throws {
        try Self.withDirectory { environment, id in
            let metrics = ScrubMetrics()
            let log = Log(level: .info, clock: FakeClock()) { _ in }
            let scrub = ScrubThread(
                Scrubber(environment, directoryID: id), metrics: metrics, clock: environment.clock,
                log: log)
            let thread = LinuxThreadStarter().start(name: "scrub") { scrub.run() }
            scrub.stop()
            thread.join()
            #expect(metrics.runs == 0)
        }
    }
}
