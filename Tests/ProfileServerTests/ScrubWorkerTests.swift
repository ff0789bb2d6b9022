import Foundation
import IOCore
import IOLinux
import Storage
import Synchronization
import Testing

@testable import ProfileServer
@testable import ProfileService

/// The component that reads sealed files again (L19): what operators see of it.
@Suite struct ScrubWorkerTests {
    private final class NoState: RecoveryTarget {
        func begin(_ position: SnapshotPosition, bytes: Int) {}
        func load(_ block: UnsafeRawBufferPointer) -> Bool { true }
        func endOfSnapshot() -> Bool { true }
        func abandonSnapshot() {}
        func replay(_ frame: ReplayedFrame) -> Bool { true }
        func check(_ results: ResultsMark, number: UInt64) -> Bool { true }
    }

    private final class Lines: Sendable {
        let text = Mutex("")
    }

    /// A directory with a sealed segment of one frame, and one more.
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

    /// Steps the component until it has read everything once, and returns what was logged.
    private static func run(
        _ environment: LogEnvironment, _ id: DirectoryID, _ metrics: ScrubMetrics
    ) -> String {
        let lines = Lines()
        let log = Log(level: .info, clock: FakeClock()) { line in
            lines.text.withLock { $0 += String(decoding: line, as: UTF8.self) }
        }
        var schedule = ScrubSchedule()
        schedule.firstNanoseconds = 0
        let worker = ScrubWorker(
            SegmentedLogStore(environment), clock: environment.clock, directoryID: id,
            metrics: metrics, schedule: schedule,
            onEvent: { Server.handle($0, status: nil, log: log) })
        for _ in 0 ..< 100_000 where metrics.runs == 0 {
            // The pace is that of the machine's clock.
            guard case .after(let nanoseconds) = worker.step(), metrics.runs == 0 else { continue }
            usleep(UInt32(clamping: nanoseconds / 1_000))
        }
        return lines.text.withLock { $0 }
    }

    @Test func L19_wholeDirectoryIsCountedAsARunWithoutFailures() throws {
        try Self.withDirectory { environment, id in
            let metrics = ScrubMetrics()
            let lines = Self.run(environment, id, metrics)
            #expect(metrics.runs == 1 && metrics.failures == 0)
            #expect(
                lines.contains("\"level\":\"info\",\"message\":\"data read again\",\"files\":1,"))
        }
    }

    @Test func L19_damageIsAnErrorInTheLogAndAFailureInTheMetricsAndNothingElse() throws {
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

    @Test func threadOfAComponentThatWaitsForItsTimeEndsAtOnce() throws {
        try Self.withDirectory { environment, id in
            let metrics = ScrubMetrics()
            let worker = ScrubWorker(
                SegmentedLogStore(environment), clock: environment.clock,
                directoryID: id, metrics: metrics, schedule: ScrubSchedule(),
                onEvent: { _ in })
            let component = NodeComponent(
                name: "scrub", interruptible: worker, parker: LinuxParker())
            ComponentThread(component, threads: LinuxThreadStarter()).stopAndJoin()
            #expect(metrics.runs == 0)
        }
    }
}
