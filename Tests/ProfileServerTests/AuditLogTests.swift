import Bytes
import Foundation
import GRPCTransport
import IOCore
import IOLinux
import ProfileService
import Profiles
import Testing

@testable import ProfileServer

@Suite struct AuditLogTests {
    private static let second: UInt64 = 1_000_000_000
    private static let method = RPCTable.all.firstIndex { $0.name == "CreateKey" }!

    private func record(
        lsn: UInt64 = 7, project: String = "shop", peer: String = "127.0.0.1:5",
        isDenial: Bool = false
    ) -> AuditRecord {
        AuditRecord(
            timeMicroseconds: 1_772_323_199_000_001, keyName: KeyName(bits: (1, 2)), peer: peer,
            method: Self.method, project: project, code: .permissionDenied, reason: "scope",
            lsn: lsn, isDenial: isDenial)
    }

    private func text(_ record: AuditRecord) -> String {
        var line = ByteBuffer()
        AuditLine().append(record, to: &line)
        return String(decoding: line.bytes, as: UTF8.self)
    }

    @Test func lineHasEveryMember() {
        #expect(
            self.text(self.record())
                == #"{"time":"2026-02-28T23:59:59.000001Z","key":"1000000020000000","#
                + #""peer":"127.0.0.1:5","method":"profiles.v1.Admin/CreateKey","#
                + #""project":"shop","code":"PERMISSION_DENIED","reason":"scope","lsn":7,"#
                + #""trace":null}"# + "\n")
        var unknown = self.record()
        unknown.keyName = nil
        #expect(self.text(unknown).contains(#""key":null,"#))
        unknown.trace = TraceID(high: 1, low: 2)
        #expect(
            self.text(unknown).hasSuffix(
                #","trace":"00000000000000010000000000000002"}"# + "\n"))
    }

    /// S12, and the bound of a pipe's atomic write.
    @Test func anyTextStaysInItsMemberAndTheLineIsBounded() throws {
        let hostile = String(repeating: "\u{1}\n\u{2028}\"}", count: 100)
        let text = self.text(self.record(project: hostile, peer: hostile))
        #expect(text.utf8.filter { $0 == 0x0A }.count == 1 && text.utf8.count <= Log.lineBytesMax)
        let decoded = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        #expect(decoded?.count == 9)
    }

    // MARK: The file

    private struct Folder: ~Copyable {
        let url = FileManager.default.temporaryDirectory.appending(
            path: "audit-\(UUID().uuidString)")

        init() throws {
            try FileManager.default.createDirectory(at: self.url, withIntermediateDirectories: true)
        }

        deinit { try? FileManager.default.removeItem(at: self.url) }

        func path(_ name: String) -> String { self.url.appending(path: name).path }

        func lines(_ name: String) -> [Substring] {
            ((try? String(contentsOfFile: self.path(name), encoding: .utf8)) ?? "")
                .split(separator: "\n")
        }
    }

    private func start(
        _ path: String, clock: any Clock = FakeClock()
    ) throws -> (AuditLog, any RunningThread) {
        let log = try AuditLog(
            path: path, clock: clock,
            log: Log(level: .error, clock: FakeClock(), sink: { _ in }))
        return (log, LinuxThreadStarter().start(name: "audit-lines") { log.run() })
    }

    private func wait(for condition: () -> Bool) -> Bool {
        for _ in 0 ..< 2_000 {
            if condition() { return true }
            usleep(5_000)
        }
        return false
    }

    @Test func fileIsCreatedForItsOwnerAndAppendedTo() throws {
        let folder = try Folder()
        for lsn in UInt64(1) ... 2 {
            let (log, thread) = try self.start(folder.path("a"))
            log.record(self.record(lsn: lsn))
            #expect(log.finish(withinNanoseconds: 60 * Self.second))
            thread.join()
        }
        let attributes = try FileManager.default.attributesOfItem(atPath: folder.path("a"))
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        #expect(folder.lines("a").count == 2)
    }

    @Test func linkIsNotFollowed() throws {
        let folder = try Folder()
        try FileManager.default.createSymbolicLink(
            atPath: folder.path("link"), withDestinationPath: folder.path("target"))
        let error = #expect(throws: IOError.self) { try LinuxAppendFile(folder.path("link")) }
        #expect(error?.code == ELOOP)
        let checked = #expect(throws: IOError.self) {
            try LinuxAppendFile.check(folder.path("link"))
        }
        #expect(checked == error)
        #expect(!FileManager.default.fileExists(atPath: folder.path("target")))
        #expect(throws: IOError.self) { try LinuxAppendFile(folder.url.path) }
        #expect(throws: IOError.self) { try LinuxAppendFile.check(folder.url.path) }
    }

    @Test func checkCreatesNothing() throws {
        let folder = try Folder()
        try LinuxAppendFile.check(folder.path("a"))
        #expect(!FileManager.default.fileExists(atPath: folder.path("a")))
        let missing = #expect(throws: IOError.self) {
            try LinuxAppendFile.check(folder.path("none/a"))
        }
        #expect(missing?.kind == .notFound)
        _ = try LinuxAppendFile(folder.path("a"))
        try LinuxAppendFile.check(folder.path("a"))
    }

    @Test func rotatedFileIsOpenedAgain() throws {
        let folder = try Folder()
        let (log, thread) = try self.start(folder.path("a"))
        log.record(self.record(lsn: 1))
        #expect(self.wait { folder.lines("a").count == 1 })
        try FileManager.default.moveItem(atPath: folder.path("a"), toPath: folder.path("a.1"))
        log.reopen()
        #expect(self.wait { FileManager.default.fileExists(atPath: folder.path("a")) })
        log.record(self.record(lsn: 2))
        #expect(log.finish(withinNanoseconds: 60 * Self.second))
        thread.join()
        #expect(folder.lines("a").count == 1 && folder.lines("a.1").count == 1)
    }

    /// A file that cannot be opened again leaves the one before.
    @Test func failedReopeningLosesNothing() throws {
        let folder = try Folder()
        let (log, thread) = try self.start(folder.path("a"))
        try FileManager.default.moveItem(atPath: folder.path("a"), toPath: folder.path("b"))
        try FileManager.default.createDirectory(
            atPath: folder.path("a"), withIntermediateDirectories: false)
        log.reopen()
        log.record(self.record())
        #expect(log.finish(withinNanoseconds: 60 * Self.second))
        thread.join()
        #expect(folder.lines("b").count == 1)
    }

    /// Nobody reads the FIFO, and then somebody does.
    @Test func unreadFIFOHoldsNothingUpAndTheLossIsReported() throws {
        let folder = try Folder()
        #expect(mkfifo(folder.path("fifo"), 0o600) == 0)
        let (log, thread) = try self.start(folder.path("fifo"))
        // Returns although nobody reads: that is the promise.
        while log.queue.dropped < 5 { log.record(self.record()) }
        let dropped = log.queue.dropped
        let reader = open(folder.path("fifo"), O_RDONLY | O_NONBLOCK)
        var text = ""
        let hasReport = self.wait {
            var chunk = [UInt8](repeating: 0, count: 65_536)
            let count = read(reader, &chunk, chunk.count)
            if count > 0 { text += String(decoding: chunk[..<count], as: UTF8.self) }
            return text.contains("lines_lost")
        }
        close(reader)
        #expect(hasReport && text.contains("\"lines_lost\":\(dropped)}"))
        for line in text.split(separator: "\n") {
            #expect((try? JSONSerialization.jsonObject(with: Data(line.utf8))) != nil)
        }
        _ = log.finish(withinNanoseconds: Self.second)
        thread.join()
    }

    // MARK: Refused accesses

    @Test func moreRefusedAccessesThanASecondShowsAreCountedInOneLine() throws {
        let folder = try Folder()
        let clock = FakeClock()
        let (log, thread) = try self.start(folder.path("a"), clock: clock)
        for _ in 0 ..< 150 { log.record(self.record(isDenial: true)) }
        log.record(self.record(lsn: 8))
        #expect(self.wait { folder.lines("a").count == 101 })
        #expect(folder.lines("a").last?.contains(#""lsn":8,"#) == true)
        clock.advance(seconds: 1)
        // The writer says so although nothing else comes.
        #expect(self.wait { folder.lines("a").count == 102 })
        #expect(folder.lines("a").last?.hasSuffix(#","refused_more":50}"#) == true)
        for _ in 0 ..< 103 { log.record(self.record(isDenial: true)) }
        #expect(log.finish(withinNanoseconds: 60 * Self.second))
        thread.join()
        #expect(folder.lines("a").count == 203)
        #expect(folder.lines("a").last?.hasSuffix(#","refused_more":3}"#) == true)
    }

    /// Nobody writes lines here: what is added stays.
    @Test func refusedAccessesLeaveHalfOfTheQueueToOthers() throws {
        let folder = try Folder()
        let clock = FakeClock()
        let log = try AuditLog(
            path: folder.path("a"), clock: clock,
            log: Log(level: .error, clock: clock, sink: { _ in }))
        while log.queue.dropped == 0 {
            log.record(self.record(isDenial: true))
            clock.advance(nanoseconds: 20_000_000)
        }
        let lines = AuditLog.denialBytesMax / self.text(self.record()).utf8.count
        for _ in 0 ..< lines { log.record(self.record()) }
        #expect(log.queue.dropped == 1)
        while log.queue.dropped == 1 { log.record(self.record()) }
    }

    @Test func fullDiskHoldsNothingUp() throws {
        let (log, thread) = try self.start("/dev/full")
        while log.queue.dropped < 5 { log.record(self.record()) }
        // Nothing was lost yet but what did not fit the queue; the end gives the rest up.
        #expect(log.finish(withinNanoseconds: 60 * Self.second))
        thread.join()
        #expect(log.queue.dropped > 500)
    }
}
