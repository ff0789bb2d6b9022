import Bytes
import Testing

@testable import Profiles

/// The checks that every command shares, and their order.
@Suite struct BeginTests {
    private func record(_ project: UInt32, requestID: String = "", name: String = "ann") -> [UInt8]
    {
        TrackSpec(name).with {
            $0.project = project
            $0.requestID = requestID
        }.record
    }

    private func rejection(_ fixture: TrackFixture, _ record: [UInt8]) throws -> Rejection {
        try fixture.outcome(record).rejection
    }

    @Test func projectIsCheckedBeforeTheRequestIDAndTheBlocks() throws {
        let fixture = TrackFixture()
        #expect(try self.rejection(fixture, self.record(1, requestID: "r")) == .none)
        try fixture.erase("ann")
        #expect(try self.rejection(fixture, self.record(2, requestID: "r")) == .projectNotFound)
        #expect(try self.rejection(fixture, self.record(1)) == .identifierErased)
    }

    @Test func blockedIdentifierIsReportedBeforeAReplay() throws {
        let fixture = TrackFixture()
        #expect(try self.rejection(fixture, self.record(1, requestID: "r", name: "bob")) == .none)
        try fixture.track()
        try fixture.erase("ann")
        let blocked = try fixture.outcome(self.record(1, requestID: "r"))
        // Not `.requestIDReused`, although the id belongs to another message.
        #expect(blocked.rejection == .identifierErased && blocked.detail > 0)
    }

    @Test func replayComesBeforeWhatDependsOnTheState() throws {
        let fixture = TrackFixture()
        let spec = TrackSpec().with {
            $0.requestID = "r"
            $0.expectedRevision = 0
        }
        let first = try fixture.track(spec)
        let again = try fixture.track(spec)
        #expect(first.rejection == .none && again.isReplayed && again.lsn == first.lsn)
        let other = try fixture.track(spec.with { $0.events = [EventSpec(name: "other")] })
        #expect(other.rejection == .requestIDReused)
    }

    @Test func rejectedCallDoesNotUseItsRequestIDUp() throws {
        let fixture = TrackFixture()
        let missing = TrackSpec().with {
            $0.requestID = "r"
            $0.flags = .mustExist
        }
        #expect(try fixture.track(missing).rejection == .profileNotFound)
        try fixture.track()
        #expect(try fixture.track(missing).rejection == .none)
    }
}
