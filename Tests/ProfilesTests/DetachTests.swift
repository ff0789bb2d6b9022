import Testing

@testable import Profiles

/// A device leaves a profile.
@Suite struct DetachTests {
    @Test func deviceMovesToAFreshProfileWithItsPlatformAndItsPastStays() throws {
        let fixture = TrackFixture()
        try fixture.track(.installation("d"))
        try fixture.identify("ann", device: "d")
        try fixture.identify("ann", device: "e")
        let before = try #require(fixture.read("ann"))
        let response = try fixture.detach("d")
        #expect(response.rejection == .none && response.otherID == before.id)
        #expect(response.profileID != before.id && response.revision == 1)
        let left = try #require(fixture.read("ann"))
        #expect(left.installations.map(\.id) == ["e"] && left.revision == before.revision + 1)
        #expect(left.counters == before.counters)
        let fresh = try #require(fixture.read(.installationID, Array("d".utf8)))
        #expect(fresh.id == response.profileID && fresh.state == .anonymous)
        #expect(fresh.counters.isEmpty && fresh.createdAt == fixture.now)
        let device = try #require(fresh.installations.first)
        #expect(device.platform == before.installations[0].platform)
        #expect(device.attachedAt == fixture.now)
        #expect(device.lastSeenAt == before.installations[0].lastSeenAt)
    }

    @Test func eventFromBeforeTheDetachmentIsThePersons() throws {
        let fixture = TrackFixture()
        try fixture.identify("ann", device: "d")
        let then = fixture.now + 10
        try fixture.detach("d")
        let late = try fixture.track(
            .installation("d", [EventSpec(occurredAt: then)]), after: 1_000)
        #expect(late.events[0].holder == fixture.id(.person("ann")))
        let present = try fixture.track(.installation("d"), after: 1_000)
        #expect(present.profileID == fixture.id(.device("d")))
        #expect(fixture.counts(.person("ann")) == ["visit": 1])
    }

    @Test func aloneOnAnAnonymousProfileNothingChanges() throws {
        let fixture = TrackFixture()
        try fixture.track(.installation("d"))
        let before = try #require(fixture.parts(.device("d")))
        let response = try fixture.detach("d")
        #expect(response.profileID == response.otherID && response.revision == 1)
        #expect(fixture.parts(.device("d")) == before && fixture.store.profileCount == 1)
    }

    @Test func unknownDeviceIsNotFoundAndARetryIsReplayed() throws {
        let fixture = TrackFixture()
        #expect(try fixture.detach("d").rejection == .profileNotFound)
        try fixture.identify("ann", device: "d")
        let first = try fixture.detach("d", requestID: "r")
        let again = try fixture.detach("d", requestID: "r")
        #expect(again.isReplayed && again.profileID == first.profileID)
        #expect(try fixture.detach("e", requestID: "r").rejection == .requestIDReused)
        #expect(fixture.store.profileCount == 2)
        try fixture.erase("ann")
        // The response names her profile, too.
        #expect(try fixture.detach("d", requestID: "r").rejection == .identifierErased)
    }
}
