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
        _ table: CallerTable, _ header: [UInt8], token: CallToken? = nil,
        version: AccessVersion? = nil, now: Int64 = 1
    ) -> Bool {
        header.withUnsafeBytes {
            table.isCached(token ?? self.token(), $0, version ?? self.version, now: now)
        }
    }

    @Test func aHeaderIsKnownOnItsConnectionUntilSomethingChanges() throws {
        self.keys.add(1) { $0.expiresAt = 2_000_000 }
        var table = CallerTable()
        let header = KeyTable.header(1)
        #expect(!self.isCached(table, header))
        let grant = try self.grant(1)
        header.withUnsafeBytes { table.cache(grant, self.token(), $0, self.version) }
        #expect(self.isCached(table, header))
        #expect(!self.isCached(table, header, token: self.token(generation: 2)))
        #expect(!self.isCached(table, header, token: self.token(connection: 1)))
        #expect(!self.isCached(table, header, version: AccessVersion(keys: 2, operators: 1)))
        #expect(!self.isCached(table, header, version: AccessVersion(keys: 1, operators: 2)))
        #expect(self.isCached(table, header, now: 1_999_999))
        #expect(!self.isCached(table, header, now: 2_000_000))
        table.forget(connection: 0)
        #expect(!self.isCached(table, header))
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
            #expect(!self.isCached(table, other), "\(index)")
        }
        #expect(!self.isCached(table, Array(header.dropLast())))
        #expect(!self.isCached(table, header + [0]))
        #expect(!self.isCached(table, []))
    }

    @Test func aCallKeepsItsGrantAndAnotherInItsSlotHasNone() throws {
        self.keys.add(1)
        var table = CallerTable()
        let token = self.token(stream: 3)
        self.open(&table, token, try self.grant(1), isStream: false, isCounted: false)
        #expect(table.grant(of: token) { $0.caller.keyName } == KeyTable.name(1))
        var other = token
        other.streamGeneration += 1
        #expect(!table.isKnown(other))
        #expect(!table.isKnown(self.token(stream: 2)))
        #expect(!table.isKnown(self.token(stream: 99)))
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
        #expect(again.isEmpty && table.hasStreams)
        let none = table.takeEnded(isOpen: { _ in false }, isValid: isValid)
        #expect(none.isEmpty && !table.hasStreams)
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

    @Test func streamsAreLookedAtAfterEachChangeAndTwiceASecond() {
        var table = CallerTable()
        let changed = AccessVersion(keys: 2, operators: 1)
        let due = [(self.version, 1), (self.version, 2), (changed, 3), (changed, 4)].map {
            table.isWatchDue($0, nowNanoseconds: $1)
        }
        #expect(due == [true, false, true, false])
        let (early, late) = (
            table.isWatchDue(changed, nowNanoseconds: 500_000_002),
            table.isWatchDue(changed, nowNanoseconds: 500_000_003)
        )
        #expect(!early && late)
    }
}
