import Foundation
import Glibc
import IOCore
import IOLinux
import Storage
import Testing

/// The same log on the machine's own disk.
@Suite struct RealDiskTests {
    private static func withDirectory(_ body: (LogEnvironment) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent(
            "profiles-storage-\(UUID().uuidString)"
        ).path
        defer { try? FileManager.default.removeItem(atPath: root) }
        var options = LogOptions()
        options.segmentBytes = 64 << 10
        try body(
            LogEnvironment(
                directory: root + "/above/data", fileSystem: LinuxFileSystem(),
                clock: LogFixture.clock, options: options))
    }

    private static func mode(_ path: String) -> mode_t {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & 0o777 : 0
    }

    /// Opens the log and returns it with the frames replayed.
    private static func open(_ environment: LogEnvironment) throws -> (
        log: SegmentedLog, replayed: Int
    ) {
        let target = CheckingTarget()
        let log = try LogFixture.payload(0).withUnsafeBytes { payload in
            try SegmentedLog.open(
                environment,
                genesis: {
                    LogGenesis(
                        directoryID: LogFixture.directoryID,
                        frame: LogFixture.contents(0, payload: payload))
                }, target: target
            ).log
        }
        return (log, target.frames)
    }

    @Test func L14_directoryIsPrivateAndLockedOnce() throws {
        try Self.withDirectory { environment in
            let lock = try SegmentedLog.lock(environment)
            #expect(throws: StorageError.locked(path: environment.directory)) {
                _ = try SegmentedLog.lock(environment)
            }
            let (log, _) = try Self.open(environment)
            #expect(Self.mode(environment.directory) == 0o700)
            for name in try environment.fileSystem.list(environment.directory) {
                #expect(Self.mode("\(environment.directory)/\(name)") == 0o600, "\(name)")
            }
            log.abandon()
            lock.release()
            try SegmentedLog.lock(environment).release()
        }
    }

    @Test func L14_symbolicLinkIsNotFollowed() throws {
        try Self.withDirectory { environment in
            try environment.fileSystem.createDirectory(environment.directory)
            let target = environment.directory + "/elsewhere"
            _ = try environment.fileSystem.open(target, .create)
            try #require(symlink(target, environment.directory + "/LOCK") == 0)
            #expect(throws: StorageError.self) { _ = try SegmentedLog.lock(environment) }
        }
    }

    @Test func framesOverSeveralSegmentsAreReplayedAfterAnUncleanEnd() throws {
        try Self.withDirectory { environment in
            try environment.fileSystem.createDirectory(environment.directory)
            var (log, replayed) = try Self.open(environment)
            for round in 0 ..< 3 {
                #expect(replayed == 1 + round * 300)
                for index in replayed ..< replayed + 300 {
                    try LogFixture.payload(index).withUnsafeBytes {
                        try log.write(LogFixture.contents(index, payload: $0))
                    }
                    try log.commit()
                }
                log.abandon()
                (log, replayed) = try Self.open(environment)
            }
            #expect(replayed == 901)
            #expect(try environment.fileSystem.list(environment.directory).count > 4)
            log.abandon()
        }
    }

    @Test func L11_snapshotsAndRemovalsOnTheMachinesOwnDisk() throws {
        try Self.withDirectory { environment in
            try environment.fileSystem.createDirectory(environment.directory)
            var next = 1
            for round in 1 ... 4 {
                let (log, replayed) = try Self.open(environment)
                #expect(replayed == next)
                for index in next ..< next + 300 {
                    try LogFixture.payload(index).withUnsafeBytes {
                        try log.write(LogFixture.contents(index, payload: $0))
                    }
                    try log.commit()
                }
                next += 300
                let position = try log.cut(
                    receivedAt: Int64(next - 1) + 1_000, digest: UInt64(next))
                let writer = try SnapshotWriter(
                    environment, directoryID: log.directoryID, position: position)
                let content = SnapshotContent(frames: next, blocks: 40)
                for index in 0 ..< content.blocks {
                    try LogFixture.write(block: index, of: content, to: writer)
                }
                let file = try writer.finish()
                #expect(Self.mode("\(environment.directory)/\(file.name)") == 0o600)
                let pruning = try SnapshotCatalogue(environment, directoryID: log.directoryID)
                    .prune(after: file, of: SegmentedLogStore(environment))
                #expect(
                    (pruning.segmentsRemoved > 0) == (round > 1)
                        && pruning.snapshotsRemoved == (round > 2 ? 1 : 0))
                var damaged = 0
                let figures = try Scrubber(environment, directoryID: log.directoryID).run(pause: {
                    _ in true
                }) { _ in damaged += 1 }
                #expect(damaged == 0 && (figures?.bytes ?? 0) > file.bytes / 2)
                log.abandon()
            }
            let (log, replayed) = try Self.open(environment)
            #expect(replayed == next)
            log.abandon()
        }
    }
}
