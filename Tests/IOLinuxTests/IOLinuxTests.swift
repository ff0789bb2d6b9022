import Foundation
import IOCore
import IOLinux
import Synchronization
import Testing

/// File operations in the way that the log uses them.
@Suite struct LinuxFileTests {
    private static func withFile(_ body: (LinuxFileSystem, String) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent(
            "profiles-files-\(UUID().uuidString)"
        ).path
        let files = LinuxFileSystem()
        try files.createDirectory(root)
        defer { try? FileManager.default.removeItem(atPath: root) }
        try body(files, root + "/file")
    }

    private static func kind(of body: () throws -> Void) -> IOError.Kind? {
        do {
            try body()
            return nil
        } catch {
            return (error as? IOError)?.kind
        }
    }

    @Test func L17_readGoesOnToTheEndOfTheFileAndSaysHowFar() throws {
        try Self.withFile { files, path in
            let file = try files.open(path, .create)
            defer { file.close() }
            let content = (0 ..< 100_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
            try content.withUnsafeBytes { try file.write($0, at: 0) }
            try file.sync()
            #expect(try file.size() == content.count)
            var target = [UInt8](repeating: 0, count: 200_000)
            let count = try target.withUnsafeMutableBytes { try file.read(into: $0, at: 10) }
            #expect(count == content.count - 10)
            #expect(target[..<count] == content[10...])
        }
    }

    @Test func L17_writeThatTheFileSystemCutsShortIsAnError() throws {
        try Self.withFile { files, path in
            let file = try files.open(path, .create)
            defer { file.close() }
            // A write across the largest possible offset: the kernel writes what fits, and the rest
            // must be reported as an error.
            let kind = Self.kind {
                try [UInt8](repeating: 1, count: 8_192).withUnsafeBytes {
                    try file.write($0, at: Int.max - 4_096)
                }
            }
            #expect(kind == .noSpace || kind == .other)
        }
    }

    @Test func errorsAreDistinguished() throws {
        try Self.withFile { files, path in
            #expect(Self.kind { _ = try files.open(path, .update) } == .notFound)
            try files.open(path, .create).close()
            #expect(Self.kind { _ = try files.open(path, .create) } == .exists)
            #expect(try files.freeBytes(path) > 0)
        }
    }
}

/// Threads that wait for each other, and wake-ups between them.
@Suite struct LinuxParkerTests {
    private final class Ball: Sendable {
        private let hitsCell = Atomic<Int>(0)
        var hits: Int { self.hitsCell.load(ordering: .acquiring) }
        func hit() { self.hitsCell.add(1, ordering: .acquiringAndReleasing) }
    }

    @Test func wakeBeforeTheSleepIsNotLost() {
        let parker = LinuxParker()
        parker.wake()
        parker.park(forNanoseconds: nil)
    }

    /// Two threads wake each other in turn, and sleep without a timeout: the test would not end
    /// after a lost wake-up.
    @Test func wakeOfASleeperIsNotLost() {
        let (left, right) = (LinuxParker(), LinuxParker())
        let ball = Ball()
        let thread = LinuxThreadStarter().start(name: "right") {
            for turn in 0 ..< 1_000 {
                while ball.hits < 2 * turn + 1 { right.park(forNanoseconds: nil) }
                ball.hit()
                left.wake()
            }
        }
        for turn in 0 ..< 1_000 {
            ball.hit()
            right.wake()
            while ball.hits < 2 * turn + 2 { left.park(forNanoseconds: nil) }
        }
        thread.join()
        #expect(ball.hits == 2_000)
    }

    @Test func parkEndsAfterItsTimeout() {
        LinuxParker().park(forNanoseconds: 1_000_000)
    }

    @Test func wokenPollerReportsIt() throws {
        let poller = try LinuxNetwork().makePoller()
        #expect(!poller.wait(forNanoseconds: 1_000_000).woken)
        poller.wake()
        #expect(poller.wait(forNanoseconds: nil).woken)
    }
}
