import Bytes
import Testing

@testable import Profiles

/// One person in parts: what they are, their order, and the one lsn of all of them.
@Suite struct ExportPersonTests {
    private static let day: Int64 = 86_400 * TrackFixture.second

    /// Ann with events, both chains of her ledger, and a suppressed address.
    private static func ann() throws -> TrackFixture {
        let fixture = TrackFixture()
        try fixture.track(.installation("d1", [EventSpec(id: "before")]))
        try fixture.setEmail("Ann@example.org")
        for (id, late) in [("now", 0), ("late", 9), ("later", 3)] as [(String, Int64)] {
            let time = fixture.now - late * TrackFixture.second
            try fixture.track(
                TrackSpec("ann", [EventSpec(id: id, occurredAt: time)]),
                after: TrackFixture.second)
        }
        _ = try fixture.consent([(.email, "", .subscribed), (.sms, "", .subscribed)], by: .user)
        try fixture.suppress("ann@example.org", .manual)
        return fixture
    }

    @Test func partsComeInTheOrderOfTheContractAtOneLSN() throws {
        let fixture = try Self.ann()
        let export = ReadExport(fixture.exporter(of: "ann"), fixture)
        #expect(
            export.texts == [
                "profile ann r5", "event late", "event later", "event now", "entry 6", "entry 7",
                "suppression email Ann@example.org 16",
            ])
        #expect(export.lsns == [fixture.store.appliedLSN] && export.ending == "end")
        #expect(export.parts.allSatisfy { $0.nextPosition == nil && !$0.isRedirected })
        #expect(Set(export.parts.map(\.profileID)) == [fixture.id(of: "ann")])
    }

    @Test func bothChainsOfAMergedPersonComeInOneOrder() throws {
        let fixture = try Self.ann()
        var spec = IdentifySpec()
        (spec.device, spec.person) = ("d2", "")
        try fixture.apply(spec.record)
        let loser = try #require(fixture.read(.installationID, Array("d2".utf8))).id
        let consented = try fixture.consent(
            [(.push, "", .subscribed)], by: .user, kind: .installationID, of: "d2")
        #expect(consented.rejection == .none)
        _ = try fixture.consent([(.push, "", .unsubscribed)], by: .user, after: 1)
        spec.person = "ann"
        try fixture.apply(spec.record)
        let export = ReadExport(fixture.exporter(of: "ann"), fixture)
        let entries = export.texts.filter { $0.hasPrefix("entry") }
        #expect(entries.count == 4 && entries == entries.sorted(by: Self.isLess))
        let reader = ExportReader(
            ProjectID(rawValue: 1),
            loser.binary.withUnsafeBytes {
                OwnedIdentifier(IdentifierView(kind: .profileID, bytes: $0))
            })
        let redirected = ReadExport(reader, fixture)
        #expect(redirected.texts == export.texts)
        #expect(redirected.parts.map(\.isRedirected).filter { $0 }.count == 1)
        #expect(redirected.parts.first?.isRedirected == true)
    }

    private static func isLess(_ left: String, _ right: String) -> Bool {
        (Int(left.dropFirst(6)) ?? 0) < (Int(right.dropFirst(6)) ?? 0)
    }

    @Test func unknownPersonIsNotFound() throws {
        let fixture = try Self.ann()
        #expect(ReadExport(fixture.exporter(of: "bob"), fixture).ending == "not found")
        try fixture.erase("ann")
        #expect(ReadExport(fixture.exporter(of: "ann"), fixture).ending == "not found")
    }

    @Test func whatChangesWhileAPersonIsReadIsNotShown() throws {
        let fixture = try Self.ann()
        let expected = ReadExport(fixture.exporter(of: "ann"), fixture)
        var number = 0
        let export = try ReadExport(fixture.exporter(of: "ann"), fixture) { read in
            guard !read.parts.isEmpty else { return }
            number += 1
            try fixture.track(TrackSpec("ann", [EventSpec(id: "n\(number)")]), after: 1)
            let state: SubscriptionState = number % 2 == 0 ? .subscribed : .unsubscribed
            _ = try fixture.consent([(.email, "", state)], by: .user, after: 1)
            try fixture.suppress("ann@example.org", number % 2 == 0 ? .hardBounce : nil)
        }
        #expect(export.parts == expected.parts && number == export.parts.count)
    }

    @Test func eventsPastTheRetentionAreLeftOut() throws {
        let fixture = try Self.ann()
        fixture.now += 91 * Self.day
        let export = ReadExport(fixture.exporter(of: "ann"), fixture)
        #expect(export.texts.filter { $0.hasPrefix("event") }.isEmpty)
        #expect(export.texts.count == 4)
    }

    // MARK: Large people

    /// About 900 bytes.
    private static func large(_ id: String, at time: Int64? = nil) -> EventSpec {
        let text = String(repeating: "x", count: 60)
        return EventSpec(
            id: id, occurredAt: time, label: String(repeating: "y", count: 200),
            tags: (0 ..< 10).map { "\($0)\(text)" })
    }

    private static func largePerson(events: Int) throws -> TrackFixture {
        let fixture = TrackFixture()
        for number in 0 ..< events {
            try fixture.track(TrackSpec("ann", [Self.large("e\(number)")]), after: 1)
        }
        return fixture
    }

    @Test func eventsThatComeWhileALargePersonIsCopiedAreNotShown() throws {
        let fixture = try Self.largePerson(events: 900)
        let lsn = fixture.store.appliedLSN
        var number = 0
        let export = try ReadExport(fixture.exporter(of: "ann"), fixture) { read in
            guard read.parts.isEmpty, number < 90 else { return }
            for _ in 0 ..< (number == 0 ? 0 : 9) {
                // Some in the middle of those that are still to be copied.
                let event = Self.large("n\(number)", at: fixture.now - 100 - Int64(number))
                try fixture.track(TrackSpec("ann", [event]), after: 1)
            }
            number += 9
        }
        #expect(number > 18, "it was copied in pieces")
        #expect(export.texts.dropFirst() == ArraySlice((0 ..< 900).map { "event e\($0)" }))
        #expect(export.lsns == [lsn])
    }

    @Test func personIsCopiedAgainWhenEventsGoThatWereNotCopied() throws {
        let fixture = try Self.largePerson(events: 1_000)
        var isDone = false
        var calls = 0
        let export = try ReadExport(fixture.exporter(of: "ann"), fixture) { _ in
            calls += 1
            guard calls == 2, !isDone else { return }
            isDone = true
            for number in 1_000 ..< 1_600 {
                try fixture.track(TrackSpec("ann", [Self.large("e\(number)")]), after: 1)
            }
        }
        #expect(isDone && export.ending == "end")
        #expect(export.texts.dropFirst() == ArraySlice((600 ..< 1_600).map { "event e\($0)" }))
        #expect(export.lsns == [fixture.store.appliedLSN])
    }

    @Test func personWhoIsMergedAwayWhileCopiedIsReadWithTheSurvivor() throws {
        let fixture = TrackFixture()
        for number in 0 ..< 900 {
            try fixture.track(.installation("d", [Self.large("e\(number)")]), after: 1)
        }
        try fixture.track(TrackSpec("ann", [EventSpec(id: "own")]), after: 1)
        let id = try #require(fixture.read(.installationID, Array("d".utf8))).id
        let reader = ExportReader(
            ProjectID(rawValue: 1),
            id.binary.withUnsafeBytes {
                OwnedIdentifier(IdentifierView(kind: .profileID, bytes: $0))
            })
        var calls = 0
        let export = try ReadExport(reader, fixture) { _ in
            calls += 1
            guard calls == 2 else { return }
            var spec = IdentifySpec()
            (spec.device, spec.person) = ("d", "ann")
            try fixture.apply(spec.record)
        }
        #expect(export.parts.count == 902 && export.ids == [fixture.id(of: "ann")])
        #expect(export.parts.first?.isRedirected == true)
    }

    @Test func personOverTheBoundIsCopiedOnWhileItIsRead() throws {
        let fixture = try Self.largePerson(events: 1_000)
        let reader = fixture.exporter(of: "ann", copiedBytesMax: 0)
        let export = ReadExport(reader, fixture)
        #expect(export.texts.dropFirst() == ArraySlice((0 ..< 1_000).map { "event e\($0)" }))
        #expect(export.ending == "end")
    }

    @Test func personOverTheBoundWhoChangesWhileReadEndsTheExport() throws {
        let fixture = try Self.largePerson(events: 1_000)
        let reader = fixture.exporter(of: "ann", copiedBytesMax: 0)
        let export = try ReadExport(reader, fixture) { read in
            guard read.parts.count == 2 else { return }
            for number in 1_000 ..< 1_600 {
                try fixture.track(TrackSpec("ann", [Self.large("e\(number)")]), after: 1)
            }
        }
        #expect(export.ending == "changed" && export.parts.count < 1_000)
    }

    /// A ledger that is larger than what is copied at once, and grows meanwhile.
    @Test func largeLedgerIsThatOfTheLSN() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("ann"))
        // Many in a call: each call copies the whole ledger.
        for number in 0 ..< 195 {
            let state: SubscriptionState = number % 2 == 0 ? .subscribed : .unsubscribed
            let choices = (0 ..< 20).map { (Channel.email, "topic\($0)", state) }
            _ = try fixture.consent(choices, by: .user, after: 1)
        }
        let lsn = fixture.store.appliedLSN
        let export = try ReadExport(fixture.exporter(of: "ann"), fixture) { read in
            guard read.parts.isEmpty else { return }
            try #require(fixture.store.appliedLSN < lsn + 100, "a person who is written is read")
            _ = try fixture.consent([(.sms, "", .subscribed)], by: .user, after: 1)
        }
        #expect(fixture.store.appliedLSN > lsn + 1, "it was copied in pieces")
        let entries = export.texts.filter { $0.hasPrefix("entry") }
        let first = export.lsns.first ?? 0
        #expect(export.lsns.count == 1 && entries.last == "entry \(first)")
        #expect(entries.count == 3_900 + Int(first - lsn))
        #expect(!entries.contains { $0.hasSuffix("broken") })
    }
}
