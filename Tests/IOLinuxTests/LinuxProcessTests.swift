import Foundation
import Glibc
import IOCore
import IOLinux
import Synchronization
import Testing

/// A folder that exists for one test.
private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("profiles-process-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder.path)
}

/// Writes files by their paths below `root`.
private func write(_ files: [String: String], below root: String) throws {
    for (path, text) in files {
        let url = URL(fileURLWithPath: root + "/" + path)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
    }
}

@Suite struct ControlGroupsTests {
    @Test(
        arguments: [
            ("200000 100000\n", 2), ("150000 100000\n", 2), ("10000 100000\n", 1),
            ("max 100000\n", nil), ("", nil), ("0 100000\n", nil), ("x y\n", nil),
        ] as [(String, Int?)])
    func quotaOfVersion2IsRoundedUp(text: String, cores: Int?) throws {
        try withFolder { root in
            try write(["cpu.max": text], below: root)
            #expect(ControlGroups(root: root, membership: "0::/\n").cores == cores)
        }
    }

    @Test func everyParentLimits() throws {
        try withFolder { root in
            try write(
                [
                    "a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n",
                    "a/memory.max": "1000\n", "a/b/memory.max": "2000\n",
                    "other/cpu.max": "100000 100000\n", "other/memory.max": "1\n",
                ], below: root)
            let groups = ControlGroups(root: root, membership: "0::/a/b\n")
            #expect(groups.cores == 3 && groups.memoryBytes == 1_000)
            // The path of the host, seen inside a container, where it does not exist.
            let foreign = ControlGroups(root: root, membership: "0::/../x/y\n")
            #expect(foreign.cores == nil && foreign.memoryBytes == nil)
        }
    }

    @Test func version1HasOneHierarchyPerController() throws {
        try withFolder { root in
            try write(
                [
                    "cpu/docker/1/cpu.cfs_quota_us": "250000\n",
                    "cpu/docker/1/cpu.cfs_period_us": "100000\n",
                    "cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n",
                    "memory/memory.limit_in_bytes": "9223372036854771712\n",
                    "memory/docker/1/memory.limit_in_bytes": "4096\n",
                ], below: root)
            let membership = "4:memory:/docker/1\n2:cpu,cpuacct:/docker/1\n1:name=systemd:/\n"
            let groups = ControlGroups(root: root, membership: membership)
            #expect(groups.cores == 3 && groups.memoryBytes == 4_096)
        }
    }

    @Test func withoutControlGroupsThereIsNoLimit() throws {
        try withFolder { root in
            let groups = ControlGroups(root: root, membership: "")
            #expect(groups.cores == nil && groups.memoryBytes == nil)
        }
        #expect(LinuxProcess.cores >= 1 && LinuxProcess.memoryBytes > 0)
    }
}

@Suite struct LinuxInputTests {
    @Test func fileIsReadToItsEndButNotBeyondTheLimit() throws {
        try withFolder { root in
            let text = String(repeating: "0123456789", count: 10_000)
            try write(["file": text], below: root)
            #expect(try LinuxInput.read(root + "/file", bytesMax: .max) == Array(text.utf8))
            #expect(
                try LinuxInput.read(root + "/file", bytesMax: 17) == Array(text.utf8.prefix(17)))
            try FileManager.default.createSymbolicLink(
                atPath: root + "/link", withDestinationPath: "file")
            #expect(try LinuxInput.read(root + "/link", bytesMax: 20_000).count == 20_000)
        }
    }

    @Test func directoryAndMissingFileAreErrors() throws {
        try withFolder { root in
            let directory = #expect(throws: IOError.self) {
                try LinuxInput.read(root, bytesMax: 1)
            }
            #expect(directory?.code == EISDIR)
            let missing = #expect(throws: IOError.self) {
                try LinuxInput.read(root + "/no", bytesMax: 1)
            }
            #expect(missing?.kind == .notFound)
        }
    }

    @Test func fileWhoseSizeIsUnknownIsRead() throws {
        #expect(try !LinuxInput.read("/proc/self/status", bytesMax: 1 << 16).isEmpty)
    }
}

@Suite struct LinuxOutputTests {
    /// How long a writer may rest before its test fails, in milliseconds: a thousand times what it
    /// takes.
    private static let patienceMilliseconds: Int32 = 10_000

    private func withPipe(_ body: (_ read: Int32, _ write: Int32) throws -> Void) rethrows {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        // Without it a write to a closed pipe ends the process of the tests.
        signal(SIGPIPE, SIG_IGN)
        try body(ends[0], ends[1])
        for end in ends { close(end) }
    }

    private func setNonBlocking(_ descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }

    @Test func slowReaderOfANonBlockingPipeGetsEverything() throws {
        try self.withPipe { read, write in
            self.setNonBlocking(write)
            let text = String(repeating: "0123456789", count: 50_000)
            let thread = LinuxThreadStarter().start(name: "writer") {
                #expect(LinuxOutput(descriptor: write).write(text) == .written)
            }
            var received: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 999)
            while received.count < text.utf8.count {
                // A writer that abandons the text would leave this waiting for ever.
                var watched = pollfd(fd: read, events: Int16(POLLIN), revents: 0)
                guard poll(&watched, 1, Self.patienceMilliseconds) == 1 else { break }
                let count = Glibc.read(read, &chunk, chunk.count)
                guard count > 0 else { break }
                received += chunk[..<count]
            }
            // A writer that still waits is not waited for; it ends with the pipe.
            try #require(received.count == text.utf8.count)
            thread.join()
            #expect(String(decoding: received, as: UTF8.self) == text)
        }
    }

    @Test func fullPipeIsAbandonedAfterTheTime() {
        self.withPipe { read, write in
            self.setNonBlocking(write)
            let text = String(repeating: "x", count: 1 << 20)
            let isDone = Done()
            let thread = LinuxThreadStarter().start(name: "writer") {
                let output = LinuxOutput(descriptor: write)
                #expect(output.write(text, waitingAtMost: 10) == .timedOut)
                isDone.flag.store(true, ordering: .releasing)
            }
            isDone.wait(atMostMilliseconds: Self.patienceMilliseconds) {}
            // One that does not abandon it gets its text through, which is another outcome.
            self.setNonBlocking(read)
            var chunk = [UInt8](repeating: 0, count: 1 << 16)
            isDone.wait(atMostMilliseconds: Self.patienceMilliseconds) {
                while Glibc.read(read, &chunk, chunk.count) > 0 {}
            }
            // One that still waits is not waited for.
            guard isDone.isSet else {
                Issue.record("the writer waits for ever")
                return
            }
            thread.join()
        }
    }

    private final class Done: Sendable {
        let flag = Atomic<Bool>(false)
        var isSet: Bool { self.flag.load(ordering: .acquiring) }

        /// Calls `body` every 10 ms until it is set.
        func wait(atMostMilliseconds milliseconds: Int32, _ body: () -> Void) {
            for _ in 0 ..< milliseconds / 10 where !self.isSet {
                body()
                poll(nil, 0, 10)
            }
        }
    }

    @Test func readerThatHasGoneLosesTheText() {
        self.withPipe { read, write in
            close(read)
            #expect(LinuxOutput(descriptor: write).write("x") == .lost)
            #expect(LinuxOutput(descriptor: 1_000_000).write("x") == .lost)
        }
    }
}
