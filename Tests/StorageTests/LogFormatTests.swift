import CCRC32C
import Foundation
import IOSimulation
import Storage
import Testing

/// The format as documented and as once written: neither the page nor the golden files may drift
/// from the code.
@Suite struct LogFormatTests {
    /// The bytes of the example in docs/formats/log.md.
    private static func documentedExample() throws -> [UInt8] {
        try DocumentedExample.bytes(of: "log.md")
    }

    @Test func documentedExampleIsReadAsThePageSays() throws {
        let disk = SimulatedDisk(
            DiskState(files: [("d/0000000000000001.log", try Self.documentedExample())]))
        var options = LogOptions()
        options.segmentBytes = 256
        var seen = 0
        let (log, report) = try SegmentedLog.open(
            LogEnvironment(
                directory: "d", fileSystem: disk, clock: LogFixture.clock, options: options),
            genesis: { preconditionFailure("there is a log") },
            target: FrameTarget { frame in
                seen += 1
                return Array(frame.payload) == Array("hello".utf8) && frame.firstLSN == 1
                    && frame.operationCount == 1
                    && frame.receivedAt == 1_700_000_000_000_000
                    && frame.rulesVersion == 1 && frame.results == ResultsMark(lsn: 0, digest: 0)
                    && frame.number == 1
            })
        #expect(seen == 1)
        #expect(log.nextFrameNumber == 3, "the seal is frame 2")
        #expect(report.framesCopied == 0 && report.tornTail == nil)
    }

    @Test func documentedExampleIsWhatIsWritten() throws {
        let disk = SimulatedDisk()
        var options = LogOptions()
        options.segmentBytes = 216
        try Array("hello".utf8).withUnsafeBytes { payload in
            let (log, _) = try SegmentedLog.open(
                LogEnvironment(
                    directory: "d", fileSystem: disk, clock: LogFixture.clock, options: options),
                genesis: {
                    LogGenesis(
                        directoryID: LogFixture.directoryID,
                        frame: LogFrame(
                            firstLSN: 1, operationCount: 1, receivedAt: 1_700_000_000_000_000,
                            rulesVersion: 1,
                            results: ResultsMark(lsn: 0, digest: 0), payload: payload))
                }, target: FrameTarget { _ in true })
            try log.seal(digest: 0x0102_0304_0506_0708)
        }
        let segments = disk.snapshot.files.filter { $0.path.hasSuffix(".log") }
        #expect(try segments.map(\.content) == [Self.documentedExample()])
    }

    @Test func L15_goldenLogOfVersion1IsReplayed() throws {
        // Twice killed, sealed once, three segments of which one is superseded. Never written by a
        // test.
        let folder = try #require(Bundle.module.url(forResource: "Golden", withExtension: nil))
            .appendingPathComponent("log-v1")
        let files = try ["1", "2", "3"].map { digit in
            let name = "000000000000000\(digit).log"
            return ("d/\(name)", [UInt8](try Data(contentsOf: folder.appendingPathComponent(name))))
        }
        let fixture = LogFixture(SimulatedDisk(DiskState(files: files)))
        try fixture.open()
        #expect(fixture.replayed == 19)
        #expect(fixture.report.operations == 57)
        #expect(fixture.report.tornTail == nil)
    }

    @Test func checksumsAreThoseOfTheStandard() {
        // RFC 3720, appendix B.4, and the usual check value.
        func crc(_ bytes: [UInt8]) -> UInt32 {
            bytes.withUnsafeBytes { profiles_crc32c(0, $0.baseAddress, $0.count) }
        }
        #expect(crc([]) == 0)
        #expect(crc(Array("123456789".utf8)) == 0xE306_9283)
        #expect(crc([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(crc([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(crc(Array(0 ..< 32)) == 0x46DD_794E)
        #expect(crc((0 ..< 32).reversed()) == 0x113F_DB5C)
    }
}
