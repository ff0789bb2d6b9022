import Bytes
import Testing

@testable import Profiles

/// Addresses in another spelling than the one that a profile has: look-ups, suppressions, consent.
@Suite struct AddressStoreTests {
    private static let project = ProjectID(rawValue: 1)

    /// The addresses, as shown, of the profiles that a lookup finds.
    private static func lookup(_ store: Store, _ email: String, now: Int64) -> [String] {
        var buffer = ByteBuffer()
        let images = withBytes(email) {
            store.lookupProfiles(
                project: Self.project, channel: .email, address: $0, now: now, into: &buffer)
        }
        return (images?.profiles ?? []).compactMap { found in
            found.flatMap { images?.image($0, in: buffer.bytes).address(.email) }.map {
                String(decoding: $0, as: UTF8.self)
            }
        }
    }

    private static func reason(_ store: Store, now: Int64) -> SendableReason? {
        var buffer = ByteBuffer()
        withBytes("ann") {
            _ = store.read(
                project: Self.project, identifier: IdentifierView(kind: .customID, bytes: $0),
                now: now, into: &buffer)
        }
        return ProfileImage(buffer.bytes).map {
            store.checkSendable(
                $0, project: Self.project, channel: .email, topic: .none,
                messageClass: .transactional
            ).reason
        }
    }

    /// The record that the service makes of a command about an address; with `isFormer` the one
    /// that a release of rules version 1 made.
    private static func suppression(
        _ store: Store, _ kind: RecordKind, _ email: String, isFormer: Bool = false
    ) -> [UInt8] {
        let (address, former) = withBytes(email) {
            (
                store.addressHash(Self.project, .email, $0),
                store.formerAddressHash(Self.project, .email, $0)
            )
        }
        var buffer = ByteBuffer()
        let start = beginRecord(kind, in: &buffer)
        SuppressionCommand(
            project: Self.project, reason: kind == .addSuppression ? .hardBounce : nil,
            address: isFormer ? former ?? address : address,
            formerAddress: isFormer ? nil : former, requestID: .none
        ).write(into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }

    /// A copy of a store by its log, whose results and state must be the same.
    private static func copy(_ fixture: TrackFixture) throws -> Store {
        let replayed = Store(genesis: TrackFixture.genesis())
        for entry in fixture.log {
            let result = try TrackFixture.apply(
                entry.record, to: replayed, firstLSN: entry.firstLSN, receivedAt: entry.receivedAt)
            #expect(result == entry.result)
        }
        #expect(replayed.digest() == fixture.store.digest())
        return replayed
    }

    @Test(arguments: [
        ("JOSÉ@BÜCHER.example", "jose\u{301}@xn--bcher-kva.example"),
        ("jose\u{301}@xn--bcher-kva.example", "JOSÉ@BÜCHER.example"),
        ("ΝΙΚΟΣ@example.com", "νικος@example.com"),
        ("k@example.com", "\u{212A}@example.com"),
    ])
    func addressIsFoundInAnotherSpellingAndShownAsWritten(written: String, other: String) throws {
        let fixture = TrackFixture()
        try fixture.setEmail(written)
        try fixture.apply(Self.suppression(fixture.store, .addSuppression, other))
        for store in [fixture.store, try Self.copy(fixture)] {
            #expect(
                Self.lookup(store, other, now: fixture.now).map { Array($0.utf8) }
                    == [Array(written.utf8)])
            #expect(Self.reason(store, now: fixture.now) == .hardBounce)
        }
        try fixture.setEmail("other@example.com")
        #expect(Self.lookup(fixture.store, other, now: fixture.now) == [])
        #expect(Self.reason(fixture.store, now: fixture.now) == .ok)
        try fixture.setEmail(written)
        try fixture.apply(Self.suppression(fixture.store, .removeSuppression, written))
        for store in [fixture.store, try Self.copy(fixture)] {
            #expect(Self.reason(store, now: fixture.now) == .ok)
        }
    }

    @Test func suppressionOfAFormerReleaseHoldsAndMovesToTheKeyOfToday() throws {
        let fixture = TrackFixture()
        let store = fixture.store
        try fixture.setEmail("JOSÉ@example.com")
        try fixture.apply(
            Self.suppression(store, .addSuppression, "JOSÉ@example.com", isFormer: true))
        #expect(Self.reason(store, now: fixture.now) == .hardBounce)
        try fixture.setEmail("josé@example.com")
        #expect(Self.reason(store, now: fixture.now) == .ok, "the former key is of one spelling")
        // The next command in that spelling moves what was kept.
        try fixture.apply(Self.suppression(store, .addSuppression, "JOSÉ@example.com"))
        #expect(store.suppressions.count == 1)
        #expect(Self.reason(store, now: fixture.now) == .hardBounce)
        try fixture.apply(Self.suppression(store, .removeSuppression, "josé@example.com"))
        #expect(store.suppressions.count == 0)
        _ = try Self.copy(fixture)
    }

    @Test func suppressionOfAFormerReleaseIsRemovedInItsOwnSpelling() throws {
        let fixture = TrackFixture()
        let store = fixture.store
        try fixture.setEmail("JOSÉ@example.com")
        try fixture.apply(
            Self.suppression(store, .addSuppression, "JOSÉ@example.com", isFormer: true))
        let result = try fixture.apply(
            Self.suppression(store, .removeSuppression, "JOSÉ@example.com"))
        #expect(result.last == 1, "it existed")
        #expect(store.suppressions.count == 0 && Self.reason(store, now: fixture.now) == .ok)
        _ = try Self.copy(fixture)
    }

    @Test func suppressionOfALowerCaseOrAnALabelHasTheSameKeyAsBefore() throws {
        let store = TrackFixture().store
        for email in ["josé@example.com", "Ann@XN--bcher-KVA.example", "ann@example.com"] {
            #expect(withBytes(email) { store.formerAddressHash(Self.project, .email, $0) } == nil)
        }
        #expect(
            withBytes("+4930") { store.formerAddressHash(Self.project, .sms, $0) } == nil)
    }

    @Test func commandForAnAsciiAddressTakesNoMoreBytes() throws {
        let store = TrackFixture().store
        let bytes = ["ann@example.com", "josé@example.com", "JOSÉ@example.com"].map {
            Self.suppression(store, .addSuppression, $0).count
        }
        #expect(bytes[0] == bytes[1] && bytes[2] == bytes[0] + 16)
    }

    @Test(arguments: [(UInt32(1), SubscriptionState.unset), (UInt32(2), .subscribed)])
    func anotherSpellingIsAnotherAddressByTheRulesOfItsFrameOnly(
        version: UInt32, state: SubscriptionState
    ) throws {
        let fixture = TrackFixture()
        fixture.store.project.options.resetConsentOnAddressChange = true
        try fixture.setEmail("JOSÉ@BÜCHER.example")
        _ = try fixture.consent([(.email, "", .subscribed)], by: .user)
        fixture.rulesVersion = version
        try fixture.setEmail("josé@xn--bcher-kva.example")
        #expect(fixture.subscriptions("ann").map(\.state) == [state])
        fixture.rulesVersion = 2
        try fixture.setEmail("jose@xn--bcher-kva.example")
        #expect(fixture.subscriptions("ann").map(\.state) == [.unset])
    }
}
