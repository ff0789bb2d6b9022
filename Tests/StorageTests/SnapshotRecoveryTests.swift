import IOSimulation
import Storage
import Testing

/// Which snapshot and which part of the log a start reads (L12).
@Suite struct SnapshotRecoveryTests {
    /// Frames, a snapshot after `first` of them, more frames, a snapshot after `second`, and more.
    private static func written(first: Int, second: Int, last: Int) throws -> LogFixture {
        let fixture = LogFixture()
        try fixture.open()
        for index in 1 ..< last {
            if index == first || index == second {
                let snapshot = try fixture.writeSnapshot(after: index)
                _ = try fixture.catalogue.prune(after: snapshot)
            }
            try fixture.write(index)
        }
        fixture.disk.killProcess()
        return fixture
    }

    @Test func L12_newestSnapshotAndTheLogBehindItAreLoaded() throws {
        let fixture = try Self.written(first: 40, second: 80, last: 100)
        let again = LogFixture(fixture.disk)
        try again.open()
        #expect(again.replayed == 100)
        #expect(again.target.framesLoaded == 80)
        #expect(again.report.frames == 20)
        #expect(again.report.snapshot?.position.lsn == 240)
        #expect(again.report.snapshot?.blocks == UInt64(SnapshotContent.blocks))
        #expect(!again.files.contains { $0.path == "d/0000000000000001.log" }, "what lies before the older snapshot is gone")
    }

    @Test func L12_damagedSnapshotFallsBackToTheOlderOne() throws {
        let fixture = try Self.written(first: 40, second: 80, last: 100)
        var files = fixture.files
        let newest = try #require(files.lastIndex { $0.path.hasSuffix(".snapshot") })
        files[newest].content[files[newest].content.count / 2] ^= 1
        let again = LogFixture(SimulatedDisk(DiskState(files: files)))
        try again.open()
        #expect(again.replayed == 100)
        #expect(again.target.framesLoaded == 40 && again.target.abandoned == 1)
        #expect(again.report.snapshotsSkipped.map(\.name) == ["00000000000000f0.snapshot"])
    }
}
