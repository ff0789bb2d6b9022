import Bytes
import GRPCTransport
import Profiles
import Testing

@testable import ProfileService

/// What is remembered of connections and calls, and when it no longer counts.
@Suite struct CallerTableTests {
    private let keys = KeyTable()
    private let access = AccessControl(operatorKeys: [])
    private let version = AccessVersion(keys: 1, operators: 1)

    private func token(connection: UInt32 = 0, generation: UInt32 = 1, stream: Int = 0) -> CallToken
    {
        CallToken(
            loop: 0, connectionSlot: connection, connectionGeneration: generation,
            streamSlot: UInt32(stream), streamGeneration: 1)
    }

    private func grant(_ number: UInt8) throws -> Grant {
        try #require(self.access.logIn(KeyTable.header(number), self.keys).grant)
    }

    private func open(
        _ table: inout CallerTable, _ token: CallToken, _ grant: Grant, isStream: Bool,
        isCounted: Bool = false
    ) {
        KeyTable.header(1).withUnsafeBytes { table.cache(grant, token, $0, self.version) }
        table.open(token, method: 0, isStream: isStream, isCounted: isCounted)
    }

    private func isCached(
        _ table: borrowing CallerTable, _ header: [UInt8], token: CallToken? = nil,
        version: AccessVersion? = nil, now: Int64 = 1
    ) -> Bool {
        header.withUnsafeBytes {
            table.isCached(token ?? self.token(), $0, version ?? self.version, now: now)
        }
    }

    private func isKnown(_ table: borrowing CallerTable, _ token: CallToken) -> Bool {
        table.isKnown(token)
    }

    /// S2: what a certificate allows is never what a header gets, nor the other way round.
    @Test func aCertificateIsKnownOnItsConnectionAndIsNoHeader() throws {
        self.keys.add(1) { $0.expiresAt = 2_000_000 }
        var table = CallerTable()
        var grant = try self.grant(1)
        let header = KeyTable.header(1)
        header.withUnsafeBytes { table.cache(grant, self.token(), $0, self.version) }
        let isHeaderCertificate = table.isCertificateCached(self.token(), self.version, now: 1)
        #expect(!isHeaderCertificate)
        grant.certificate = SHA256Digest(words: (1, 2, 3, 4))
        table.cacheCertificate(grant, self.token(), self.version)
        let changed = AccessVersion(keys: 1, operators: 2)
        let known = [
            table.isCertificateCached(self.token(), self.version, now: 1_999_999),
            table.isCertificateCached(self.token(), self.version, now: 2_000_000),
            table.isCertificateCached(self.token(), changed, now: 1),
            table.isCertificateCached(self.token(generation: 2), self.version, now: 1),
            table.isCertificateCached(self.token(connection: 1), self.version, now: 1),
            self.isCached(table, header),
            header.withUnsafeBytes { table.outdated(self.token(), $0) != nil },
        ]
        #expect(known == [true, false, false, false, false, false, false])
    }

    @Test func aHeaderIsKnownOnItsConnectionUntilSomethingChanges() throws {
        self.keys.add(1) { $0.expiresAt = 2_000_000 }
        var table = CallerTable()
        let header = KeyTable.header(1)
        let isKnownBefore = self.isCached(table, header)
        #expect(!isKnownBefore)
        let grant = try self.grant(1)
        header.withUnsafeBytes { table.cache(grant, self.token(), $0, self.version) }
        let known = [
            self.isCached(table, header),
            self.isCached(table, header, token: self.token(generation: 2)),
            self.isCached(table, header, token: self.token(connection: 1)),
            self.isCached(table, header, version: AccessVersion(keys: 2, operators: 1)),
            self.isCached(table, header, version: AccessVersion(keys: 1, operators: 2)),
            self.isCached(table, header, now: 1_999_999),
            self.isCached(table, header, now: 2_000_000),
        ]
        #expect(known == [true, false, false, false, false, true, false])
        table.forget(connection: 0)
        let isKnownAfter = self.isCached(table, header)
        #expect(!isKnownAfter)
    }

    @Test func everyByteOfTheHeaderCounts() throws {
        self.keys.add(1)
        var table = CallerTable()
        let header = KeyTable.header(1)
        let grant = try self.grant(1)
        header.withUnsafeBytes { table.cache(grant, self.token(), $0, self.version) }
        for index in header.indices {
            var other = header
            other[index] ^= 1
            let isKnown = self.isCached(table, other)
            #expect(!isKnown, "\(index)")
        }
        let others = [
            self.isCached(table, Array(header.dropLast())), self.isCached(table, header + [0]),
            self.isCached(table, []),
        ]
        #expect(others == [false, false, false])
    }

    @Test func aCallKeepsItsGrantAndAnotherInItsSlotHasNone() throws {
        self.keys.add(1)
        var table = CallerTable()
        let token = self.token(stream: 3)
        self.open(&table, token, try self.grant(1), isStream: false, isCounted: false)
        let name = table.grant(of: token) { $0.caller.keyName }
        #expect(name == KeyTable.name(1))
        var other = token
        other.streamGeneration += 1
        let others = [
            self.isKnown(table, other), self.isKnown(table, self.token(stream: 2)),
            self.isKnown(table, self.token(stream: 99)),
        ]
        #expect(others == [false, false, false])
    }

    @Test func aCountedCallEndsOnce() throws {
        self.keys.add(1)
        var table = CallerTable()
        let grant = try self.grant(1)
        #expect(grant.usage.beginCall(maximum: 2) && grant.usage.beginCall(maximum: 2))
        self.open(&table, self.token(stream: 0), grant, isStream: false, isCounted: true)
        table.end(self.token(stream: 0))
        table.end(self.token(stream: 0))
        #expect(grant.usage.beginCall(maximum: 2))
        #expect(!grant.usage.beginCall(maximum: 2), "one end frees one call")
    }

    // MARK: Streams

    @Test func streamsWithoutAValidGrantAreTakenOutOnce() throws {
        self.keys.add(1)
        self.keys.add(2)
        var table = CallerTable()
        let (one, two) = (try self.grant(1), try self.grant(2))
        self.open(&table, self.token(stream: 0), one, isStream: true, isCounted: false)
        self.open(&table, self.token(stream: 1), two, isStream: true, isCounted: false)
        self.open(&table, self.token(stream: 2), two, isStream: false, isCounted: false)
        self.open(&table, self.token(stream: 3), two, isStream: true, isCounted: false)
        func isValid(_ grant: Grant) -> Bool { grant.caller.keyName != KeyTable.name(2) }
        // The one in slot 3 has ended by itself.
        let ended = table.takeEnded(isOpen: { $0.slot != 3 }, isValid: isValid)
        #expect(ended.map(\.slot) == [1], "unary calls go on")
        let again = table.takeEnded(isOpen: { _ in true }, isValid: isValid)
        var hasStreams = table.hasStreams
        #expect(again.isEmpty && hasStreams)
        let none = table.takeEnded(isOpen: { _ in false }, isValid: isValid)
        hasStreams = table.hasStreams
        #expect(none.isEmpty && !hasStreams)
    }

    @Test func aUnaryCallInTheSlotOfAFormerStreamIsNotWatched() throws {
        self.keys.add(1)
        var table = CallerTable()
        self.open(
            &table, self.token(stream: 0), try self.grant(1), isStream: true, isCounted: false)
        var next = self.token(stream: 0)
        next.streamGeneration += 1
        self.open(&table, next, try self.grant(1), isStream: false, isCounted: false)
        let ended = table.takeEnded(isOpen: { _ in true }, isValid: { _ in false })
        #expect(ended.isEmpty)
        // And a stream after it is watched again, once.
        next.streamGeneration += 1
        self.open(&table, next, try self.grant(1), isStream: true, isCounted: false)
        let later = table.takeEnded(isOpen: { _ in true }, isValid: { _ in false })
        #expect(later == [next])
    }

    @Test func aCallIsFreshUntilKeysChangeOrItsOwnExpires() throws {
        self.keys.add(1) { $0.expiresAt = 2_000_000 }
        var table = CallerTable()
        let (token, changed) = (self.token(), AccessVersion(keys: 2, operators: 1))
        self.open(&table, token, try self.grant(1), isStream: false)
        let before = [1_999_999, 2_000_000].map { table.isFresh(token, self.version, now: $0) }
        #expect(before == [true, false])
        let stale = table.isFresh(token, changed, now: 1)
        table.renew(token, changed)
        let renewed = table.isFresh(token, changed, now: 1)
        #expect(!stale && renewed)
        let stream = self.token(stream: 1)
        self.open(&table, stream, try self.grant(1), isStream: true)
        let isStreamFresh = table.isFresh(stream, changed, now: 3_000_000)
        #expect(isStreamFresh, "streams are watched")
    }

    @Test func streamsAreLookedAtTwiceASecondAndTenTimesWhileKeysChange() {
        var table = CallerTable()
        let changed = AccessVersion(keys: 2, operators: 1)
        let looks: [(AccessVersion, UInt64)] = [
            (self.version, 100), (self.version, 101), (changed, 199), (changed, 200),
            (changed, 699), (changed, 700),
        ]
        let due = looks.map { table.isWatchDue($0, nowNanoseconds: $1 * 1_000_000) }
        #expect(due == [true, false, false, true, false, true])
    }
}
