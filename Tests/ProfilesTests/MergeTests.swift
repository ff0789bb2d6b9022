import Bytes
import Testing

@testable import Profiles

/// What a profile is known by after many merges.
@Suite struct MergeTests {
    @Test func aliasesOverTheBoundAreNotListedButLeadToTheSurvivor() throws {
        let fixture = TrackFixture()
        let merges = IdentityDraft.aliasesMax + 5
        var first: [UInt8] = []
        try fixture.apply(IdentifySpec(person: "ann").record)
        for number in 0 ..< merges {
            fixture.now += 1_000
            let device = "device-\(number)"
            let track = try fixture.track(.installation(device))
            if number == 0 { first = track.profileID.binary }
            try fixture.apply(IdentifySpec(device: device, person: "ann").record)
        }
        var buffer = ByteBuffer()
        let outcome = first.withUnsafeBytes {
            fixture.store.read(
                project: ProjectID(rawValue: 1),
                identifier: IdentifierView(kind: .profileID, bytes: $0), now: fixture.now,
                into: &buffer)
        }
        #expect(outcome.finding == .found(redirected: true))
        var lists = try #require(ProfileImage(buffer.bytes)).lists
        let installations = lists.readVarint()
        #expect(installations == fixture.store.genesis.limits.installationsPerProfile)
        for _ in 0 ..< installations {
            _ = lists.readPrefixed()
            _ = (lists.read(UInt8.self), lists.read(Int64.self), lists.read(Int64.self))
        }
        let aliases = lists.readVarint()
        #expect(aliases == UInt64(IdentityDraft.aliasesMax))
        #expect(fixture.store.profileCount == 1)
    }
}
