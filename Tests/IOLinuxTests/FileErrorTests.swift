import Foundation
import Glibc
import IOCore
import IOLinux
import Testing

/// What an operator reads when a file fails.
@Suite struct FileErrorTests {
    @Test func anErrorNamesTheFileAsItIsCalledNow() throws {
        let root = FileManager.default.temporaryDirectory.resolvingSymlinksInPath()
            .appendingPathComponent("profiles-file-\(UUID().uuidString)").path
        try #require(mkdir(root, 0o700) == 0)
        defer { try? FileManager.default.removeItem(atPath: root) }
        let files = LinuxFileSystem()
        try files.open(root + "/segment.tmp", .create).close()
        let file = try files.open(root + "/segment.tmp", .read)
        defer { file.close() }
        try #require(rename(root + "/segment.tmp", root + "/segment") == 0)
        do throws(IOError) {
            try file.truncate(to: 1)
            Issue.record("a file that is open for reading was changed")
        } catch {
            #expect(error.subject == root + "/segment" && error.code == EINVAL)
        }
    }
}
