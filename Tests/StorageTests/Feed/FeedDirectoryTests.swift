import Foundation
import IOCore
import IOLinux
import Testing

@testable import Storage

/// The directory of the feed on a real disk: private, in the locked directory, and never a link.
@Suite struct FeedDirectoryTests {
    /// A data directory that is locked, and a feed in it.
    private final class World {
        let path: String
        let files = LinuxFileSystem()
        let feed: Feed
        let writer: FeedWriter
        private let lock: any DirectoryLock

        /// - Parameter prepare: Called with the path of the empty directory, before it is locked.
        init(_ prepare: (String) throws -> Void = { _ in }) throws {
            let root = FileManager.default.temporaryDirectory.appendingPathComponent(
                "feed-\(UInt64.random(in: 0 ... .max))")
            self.path = root.appendingPathComponent("data").path
            try FileManager.default.createDirectory(
                atPath: self.path, withIntermediateDirectories: true)
            try prepare(self.path)
            self.lock = try self.files.lockDirectory(self.path)
            self.feed = Feed(
                FeedFiles(self.files, in: self.path), options: FeedFixture.options(),
                logWaker: CountingWaker(), waker: CountingWaker())
            self.writer = FeedWriter(self.feed, clock: LinuxClock(), onEvent: { _ in })
        }

        deinit {
            self.lock.release()
            try? FileManager.default.removeItem(
                at: URL(fileURLWithPath: self.path).deletingLastPathComponent())
        }

        func run(_ indices: Range<Int>) {
            for index in indices {
                FeedFixture.append(index, to: self.feed, clock: LinuxClock().wallMicroseconds())
            }
            while self.writer.step(all: true) == .now {}
        }
    }

    private static func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return attributes[.posixPermissions] as? Int ?? 0
    }

    private static func names(_ path: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? []
    }

    @Test func directoryAndFilesAreTheirOwnersAlone() throws {
        let world = try World()
        world.writer.open(directoryID: FeedFixture.directoryID, behind: 0)
        world.run(0 ..< 20)
        #expect(try Self.mode("\(world.path)/feed") == 0o700)
        let names = Self.names("\(world.path)/feed")
        #expect(names.count > 1)
        for name in names { #expect(try Self.mode("\(world.path)/feed/\(name)") == 0o600) }
        #expect(FeedFixture.complaint(world.feed, frames: 20) == nil)
    }

    @Test func linkInThePlaceOfTheDirectoryIsNotFollowed() throws {
        var elsewhere = ""
        let world = try World { path in
            elsewhere = "\(path)-elsewhere"
            try FileManager.default.createDirectory(
                atPath: elsewhere, withIntermediateDirectories: false)
            try FileManager.default.createSymbolicLink(
                atPath: "\(path)/feed", withDestinationPath: elsewhere)
        }
        world.writer.open(directoryID: FeedFixture.directoryID, behind: 0)
        world.run(0 ..< 20)
        #expect(Self.names(elsewhere) == [])
        #expect(world.feed.metrics.failures > 0)
        #expect(FeedFixture.complaint(world.feed, frames: 20) == nil, "it goes on in memory")
    }

    @Test func directoryThatTakesTheLockedOnesPathGetsNoFeed() throws {
        let world = try World()
        try FileManager.default.moveItem(atPath: world.path, toPath: "\(world.path)-moved")
        try FileManager.default.createDirectory(
            atPath: world.path, withIntermediateDirectories: false)
        world.writer.open(directoryID: FeedFixture.directoryID, behind: 0)
        world.run(0 ..< 20)
        #expect(Self.names(world.path) == [])
        #expect(Self.names("\(world.path)-moved/feed").count > 1)
        #expect(FeedFixture.complaint(world.feed, frames: 20) == nil)
    }
}
