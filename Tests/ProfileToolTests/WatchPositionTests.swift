import ProfileTool
import Testing

/// Where a watch resumes, and what it then leaves out.
@Suite struct WatchPositionTests {
    /// Whether each of the changes, an lsn and a byte, is to be shown.
    private func pass(_ position: inout WatchPosition, _ changes: (UInt64, UInt8)...) -> [Bool] {
        changes.map { position.pass(change: $0.0, bytes: [$0.1]) }
    }

    @Test func heartbeatMovesBehindItselfAndNeverBack() {
        var position = WatchPosition(first: 0)
        position.pass(heartbeat: 41)
        #expect(position.next == 42)
        position.pass(heartbeat: 40)
        #expect(position.next == 42)
        position.pass(heartbeat: .max)
        #expect(position.next == 42)
    }

    @Test func changesOfOneLSNThatComeAgainAreShownOnce() {
        var position = WatchPosition(first: 5)
        #expect(self.pass(&position, (7, 1), (7, 2)) == [true, true] && position.next == 7)
        position.resume()
        // The heartbeat of a resumed call says only where it begins.
        position.pass(heartbeat: 6)
        let again = self.pass(&position, (7, 1), (7, 2), (7, 3), (8, 1))
        #expect(again == [false, false, true, true] && position.next == 8)
    }

    /// The first change of the lsn does not come again, since its person has been erased.
    @Test func changeThatDoesNotComeAgainHidesNoOther() {
        var position = WatchPosition(first: 0)
        #expect(self.pass(&position, (7, 1)) == [true])
        position.resume()
        #expect(self.pass(&position, (7, 2)) == [true])
        position.resume()
        #expect(self.pass(&position, (7, 2), (7, 3)) == [false, true])
    }

    @Test func equalChangesOfOneCallAreAllShown() {
        var position = WatchPosition(first: 0)
        #expect(self.pass(&position, (7, 1), (7, 1)) == [true, true])
    }

    @Test func olderChangesThanAskedForAreLeftOut() {
        var position = WatchPosition(first: 0)
        position.pass(heartbeat: 9)
        #expect(self.pass(&position, (9, 1), (10, 1)) == [false, true])
    }
}
