import Bytes
import Testing

@testable import Profiles

@Suite struct GenesisTests {
    static func encoded(_ genesis: Genesis) -> [UInt8] {
        var buffer = ByteBuffer()
        genesis.encode(into: &buffer)
        return Array(buffer.bytes)
    }

    static func decoded(_ bytes: [UInt8]) throws -> Genesis {
        try bytes.withUnsafeBytes { try Genesis(decoding: $0) }
    }

    @Test func encodedGenesisDecodesToItself() throws {
        var limits = StoreLimits()
        for (index, number) in StoreLimits.Number.allCases.enumerated() {
            limits[number] = UInt64(100 + index)
        }
        let genesis = TrackFixture.genesis(limits)
        #expect(try Self.decoded(Self.encoded(genesis)) == genesis)
    }

    @Test func limitThatAnOlderReleaseDidNotWriteHasItsDefault() throws {
        var limits = StoreLimits()
        (limits.blockSeconds, limits.blocksPerProject, limits.projectsMax) = (5, 5, 5)
        var bytes = Self.encoded(TrackFixture.genesis(limits))
        // The last three limits are taken out again: their count and 10 bytes each.
        let countOffset = 16 + 16 + 16
        bytes[countOffset] -= 3
        #expect(try Self.decoded(Array(bytes.dropLast(30))).limits == StoreLimits())
    }

    @Test func everyProperPrefixIsMalformed() throws {
        let bytes = Self.encoded(TrackFixture.genesis())
        for count in 0 ..< bytes.count {
            #expect(throws: GenesisError.malformed) { try Self.decoded(Array(bytes[..<count])) }
        }
        #expect(throws: GenesisError.malformed) { try Self.decoded(bytes + [0]) }
    }

    @Test func unknownLimitIsRejected() throws {
        var bytes = Self.encoded(TrackFixture.genesis())
        bytes[bytes.count - 10] = 77
        #expect(throws: GenesisError.unknownLimit(77)) { try Self.decoded(bytes) }
    }

    @Test func limitOutOfRangeOrOutOfOrderIsRejected() throws {
        var limits = StoreLimits()
        limits.eventsPerProfile = 65_536
        #expect(throws: GenesisError.limitOutOfRange(1)) {
            try Self.decoded(Self.encoded(TrackFixture.genesis(limits)))
        }
        var bytes = Self.encoded(TrackFixture.genesis())
        bytes[bytes.count - 10] = 9
        #expect(throws: GenesisError.malformed) { try Self.decoded(bytes) }
    }

    @Test func genesisRecordIsTakenOnceAndOnlyIfItIsTheStores() throws {
        let fixture = TrackFixture()
        #expect(throws: ApplyError.foreignGenesis(lsn: 1)) {
            var other = TrackFixture.genesis()
            other.secret.k0 = 0
            try fixture.apply(Self.record(other))
        }
        try fixture.apply(Self.record(TrackFixture.genesis()))
        #expect(fixture.store.appliedLSN == 1)
        #expect(throws: ApplyError.foreignGenesis(lsn: 2)) {
            try fixture.apply(Self.record(TrackFixture.genesis()))
        }
    }

    static func record(_ genesis: Genesis) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(.genesis, in: &buffer)
        genesis.encode(into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }
}
