import Bytes
import Testing

@testable import Profiles

/// Rules that version 2 sharpened, through `apply`: new frames follow them, frames of version 1
/// keep the outcome that they had.
@Suite struct SharpenedRulesTests {
    /// Applies a record by the rules of a version.
    private static func apply(_ record: [UInt8], to fixture: TrackFixture, version: UInt32) throws {
        var results = ByteBuffer()
        try record.withUnsafeBytes { bytes in
            guard let view = RecordView(bytes) else { throw ApplyError.malformed(lsn: 0) }
            try fixture.store.apply(
                view, firstLSN: fixture.lsn + 1, receivedAt: fixture.now, rulesVersion: version,
                results: &results)
        }
        fixture.lsn = fixture.store.appliedLSN
        fixture.now += 1
    }

    private func draft(_ fixture: TrackFixture, _ customID: String) throws -> AttributeDraft {
        let project = ProjectID(rawValue: 1)
        let found = withBytes(customID) { bytes in
            let identifier = IdentifierView(kind: .customID, bytes: bytes)
            let hash = fixture.store.hash.identifier(project, identifier)
            return fixture.store.identities.find(project, identifier, hash: hash)
        }
        let profile = try #require(found).profile
        return fixture.store.attributeDraft(fixture.store.pool.header(profile).pointee)
    }

    private func elements(_ draft: AttributeDraft) -> [[String]] {
        draft.entries.map { $0.elements.map { String(decoding: $0.text, as: UTF8.self) } }
    }

    // MARK: Lists

    @Test(arguments: [(1, []), (2, [["a", "b"]])] as [(UInt32, [[String]])])
    func removesFromAListThatWasNeverThereDoNotHideTheOtherSidesList(
        version: UInt32, expected: [[String]]
    ) throws {
        let fixture = TrackFixture()
        let remove = IdentifySpec(person: "ann", patch: [("l", .remove, 0, ["a", "z"])])
        let add = IdentifySpec(device: "d", patch: [("l", .add, 0, ["a", "b"])])
        let merge = IdentifySpec(device: "d", person: "ann")
        for spec in [remove, add, merge] {
            try Self.apply(spec.record, to: fixture, version: version)
        }
        let draft = try self.draft(fixture, "ann")
        #expect(self.elements(draft).filter { !$0.isEmpty } == expected)
        guard version > 1 else { return }
        // The remove of what the list does not have is still remembered.
        let removed = draft.entries[0].removed.map { String(decoding: $0.text, as: UTF8.self) }
        #expect(removed == ["z"])
    }

    @Test func removesOfTheLoserTakeNothingOutOfTheSurvivorsList() throws {
        let fixture = TrackFixture()
        fixture.store.project.options.latestWins = true
        let specs = [
            IdentifySpec(person: "ann", patch: [("l", .set, 0, ["a", "b"])]),
            IdentifySpec(device: "d", patch: [("l", .remove, 0, ["a"])]),
            IdentifySpec(device: "d", person: "ann"),
        ]
        for spec in specs { try Self.apply(spec.record, to: fixture, version: 2) }
        #expect(self.elements(try self.draft(fixture, "ann")) == [["a", "b"]])
    }

    @Test(arguments: [(1, 0), (2, 1)] as [(UInt32, Int)])
    func setOfAListIsStaleIfANewerRemoveKeepsAnElementOut(version: UInt32, stale: Int) throws {
        var draft = AttributeDraft()
        let fixture = TrackFixture()
        let names = fixture.store.project.names
        var texts: [UnsafeMutableRawBufferPointer] = []
        defer { for text in texts { text.deallocate() } }
        func apply(_ action: PatchAction, _ list: [String], at time: Int64) -> PatchOutcome {
            let spec = IdentifySpec(person: "p", patch: [("l", action, 0, list)])
            var buffer = ByteBuffer()
            spec.write(into: &buffer)
            var reader = ByteReader(buffer.bytes)
            _ = IdentifyHeader(from: &reader)
            let bytes = [UInt8](UnsafeRawBufferPointer(rebasing: buffer.bytes[reader.offset...]))
            // Texts are borrowed by the draft: they must outlive it.
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
            copy.copyBytes(from: bytes)
            texts.append(copy)
            return draft.apply(
                UnsafeRawBufferPointer(copy),
                stamp: AttributeStamp(
                    time: time, lsn: UInt64(time), origin: 0, platform: 0, sourceName: .none),
                names: names, limits: AttributeLimits(customMax: 50, namesMax: 100),
                isIdentified: true, isLenient: false, rules: Rules(version: version))
        }
        _ = apply(.add, ["a", "b"], at: 1)
        _ = apply(.remove, ["a"], at: 9)
        let outcome = apply(.set, ["a", "c"], at: 5)
        #expect(outcome.stale.count == stale && outcome.isVisible)
        #expect(self.elements(draft) == [["c"]])
        let clean = apply(.set, ["d"], at: 10)
        #expect(clean.stale.isEmpty)
    }

    @Test func listOfNothingLeavesNoStampThatNoMessageCanHave() throws {
        let fixture = TrackFixture()
        let spec = IdentifySpec(person: "ann", patch: [("l", .add, 0, [])])
        try Self.apply(spec.record, to: fixture, version: 2)
        #expect(try self.draft(fixture, "ann").entries.isEmpty)
        // Version 1 stored it, and its directories are still read.
        try Self.apply(spec.record, to: fixture, version: 1)
        #expect(try self.draft(fixture, "ann").entries.first?.stamp.isNever == true)
        var image = ByteBuffer()
        let outcome = withBytes("ann") {
            fixture.store.read(
                project: ProjectID(rawValue: 1),
                identifier: IdentifierView(kind: .customID, bytes: $0), now: fixture.now,
                into: &image)
        }
        #expect(outcome.finding == .found(redirected: false))
        var lists = try #require(ProfileImage(image.bytes)).lists
        #expect(lists.readVarint() == 0 && lists.readVarint() == 0 && lists.readVarint() == 0)
        #expect(lists.readVarint() == 1)
        _ = lists.readPrefixed()
        #expect(PackedValue.skip(&lists, depth: 1))
        #expect(lists.read(Int64.self) == Store.earliestTime)
    }

    // MARK: Devices

    @Test func platformIsThatOfTheLastCallThatNamedAnAppOrAWebsite() throws {
        let fixture = TrackFixture()
        func device() throws -> ProfileResponse.Installation {
            try #require(fixture.read(.installationID, Array("d".utf8))?.installations.first)
        }
        func track(_ platform: Platform, id: String = "") throws -> UInt64 {
            try fixture.track(
                TrackSpec.installation("d", [EventSpec(id: id)]).with { $0.platform = platform },
                after: 1
            ).revision
        }
        #expect(try track(.api, id: "e") == 1)
        #expect(try device().platform == Platform.unspecified.rawValue)
        #expect(try track(.appIOS, id: "e") == 2, "a duplicate, but another platform is visible")
        #expect(try device().platform == Platform.appIOS.rawValue)
        #expect(try track(.appIOS, id: "e") == 2)
        #expect(try track(.imported, id: "e") == 2)
        #expect(try track(.appAndroid) == 3, "one call, one revision")
        #expect(try device().platform == Platform.appAndroid.rawValue)
        // The Identify of the fixture names the web.
        try fixture.apply(IdentifySpec(device: "d").record)
        #expect(try device().platform == Platform.web.rawValue)
        #expect(fixture.read(.installationID, Array("d".utf8))?.revision == 4)
        try fixture.apply(IdentifySpec(device: "d").record)
        #expect(fixture.read(.installationID, Array("d".utf8))?.revision == 4)
    }

    @Test func frameOfVersion1KeepsThePlatformOfTheFirstCall() throws {
        let fixture = TrackFixture()
        for platform in [Platform.api, .appIOS] {
            let spec = TrackSpec.installation("d").with { $0.platform = platform }
            try Self.apply(spec.record, to: fixture, version: 1)
        }
        let profile = fixture.read(.installationID, Array("d".utf8))
        #expect(profile?.installations.first?.platform == Platform.api.rawValue)
    }

    // MARK: Request ids

    @Test(arguments: [(nil, 5), (5, nil), (5, 9), (5, 5)] as [(Int64?, Int64?)])
    func retryWithAnotherTimeOfSendingIsReplayed(first: Int64?, second: Int64?) throws {
        let fixture = TrackFixture()
        let spec = TrackSpec().with { $0.requestID = "r" }
        let done = try fixture.track(spec.with { $0.sentAt = first })
        let again = try fixture.track(spec.with { $0.sentAt = second }, after: 1)
        #expect(again.isReplayed && again.lsn == done.lsn)
        let other = try fixture.track(
            spec.with {
                $0.sentAt = second
                $0.events = [EventSpec(name: "other")]
            })
        #expect(other.rejection == .requestIDReused)
    }

    @Test func retryOfACallOfVersion1IsReplayed() throws {
        let fixture = TrackFixture()
        let spec = TrackSpec().with {
            $0.requestID = "r"
            $0.sentAt = 5
        }
        try Self.apply(spec.record, to: fixture, version: 1)
        #expect(try fixture.track(spec).isReplayed)
    }

    @Test func retryOfABatchIsReplayedWhateverItsItemsSayOfSending() throws {
        let fixture = TrackFixture()
        func record(_ sentAt: [Int64?]) -> [UInt8] {
            fixture.batch(
                sentAt.map { at in TrackSpec("bob").with { $0.sentAt = at } }, requestID: "b")
        }
        try fixture.apply(record([1, nil]))
        for retry in [[1, nil], [nil, nil], [7, 8]] as [[Int64?]] {
            let result = try fixture.apply(record(retry))
            #expect(
                result.withUnsafeBytes { bytes -> Bool in
                    var reader = ByteReader(bytes)
                    return ResultHeader(from: &reader)?.flags.contains(.replayed) ?? false
                })
        }
    }

    @Test func horizonShrinksWhenTheLimitDropsYoungRequestIDs() throws {
        var limits = StoreLimits()
        limits.requestIDsPerProject = 3
        let fixture = TrackFixture(limits: limits)
        for number in 0 ..< 3 {
            try fixture.track(
                TrackSpec().with { $0.requestID = "r\(number)" }, after: TrackFixture.second)
        }
        #expect(fixture.store.requestIDHorizonSeconds == Double(limits.requestIDSeconds))
        try fixture.track(
            TrackSpec().with { $0.requestID = "r3" }, after: TrackFixture.second)
        #expect(fixture.store.requestIDHorizonSeconds == 3)
    }
}
