import Bytes
import Testing

@testable import Profiles

/// A key as a test asks for it.
struct KeySpec {
    var project: UInt32 = 1
    var requestID = ""
    var scopes: AccessScopes = .read
    var expiresAt: Int64 = 0
    var updatesPerSecondMax: UInt32 = 0
    var concurrentCallsMax: UInt32 = 0
    var displayName = ""
    var secret: UInt8 = 1

    init(_ secret: UInt8 = 1, change: (inout KeySpec) -> Void = { _ in }) {
        self.secret = secret
        change(&self)
    }

    /// The record, header and padding included.
    func record(_ store: Store) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(.createKey, in: &buffer)
        let secret = [UInt8](repeating: self.secret, count: KeySecret.bytes)
        withBytes(self.requestID) { requestID in
            withBytes(self.displayName) { displayName in
                CreateKeyCommand(
                    project: ProjectID(rawValue: self.project), requestID: requestID,
                    scopes: self.scopes, expiresAt: self.expiresAt,
                    updatesPerSecondMax: self.updatesPerSecondMax,
                    concurrentCallsMax: self.concurrentCallsMax, displayName: displayName,
                    hash: secret.withUnsafeBytes { store.keys.hash(ofSecret: $0) }
                ).write(into: &buffer)
            }
        }
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }
}

extension TrackFixture {
    /// Applies a CreateKey; the name is `nil` if it was rejected.
    @discardableResult
    func createKey(_ spec: KeySpec = KeySpec()) throws -> (header: ResultHeader, name: KeyName?) {
        let result = try self.apply(spec.record(self.store))
        return try result.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            let header = try #require(ResultHeader(from: &reader))
            return (header, KeyResultBody(from: &reader)?.name)
        }
    }

    /// Applies a RevokeKey.
    @discardableResult
    func revokeKey(_ name: KeyName, project: UInt32 = 1, requestID: String = "") throws
        -> ResultHeader
    {
        var buffer = ByteBuffer()
        let start = beginRecord(.revokeKey, in: &buffer)
        withBytes(requestID) {
            RevokeKeyCommand(project: ProjectID(rawValue: project), requestID: $0, name: name)
                .write(into: &buffer)
        }
        endRecord(at: start, operations: 1, in: &buffer)
        let result = try self.apply(Array(buffer.bytes))
        return try result.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            return try #require(ResultHeader(from: &reader))
        }
    }
}

/// Keys as the log makes and revokes them.
@Suite struct KeyTests {
    private static let project = ProjectID(rawValue: 1)

    @Test func createdKeyIsFoundByItsNameWithEverythingAskedFor() throws {
        let fixture = TrackFixture()
        let before = fixture.store.keys.version
        let made = try fixture.createKey(
            KeySpec(7) {
                $0.scopes = [.read, .erase]
                $0.expiresAt = fixture.now + 1_000_000_000
                $0.updatesPerSecondMax = 10
                $0.concurrentCallsMax = 3
                $0.displayName = "Warehouse"
            })
        let name = try #require(made.name)
        let key = try #require(fixture.store.keys.find(name))
        #expect(key.scopes == [.read, .erase] && key.project == Self.project)
        #expect(key.updatesPerSecondMax == 10 && key.concurrentCallsMax == 3)
        #expect(key.createdLSN == made.header.lsn && key.createdAt > 0 && !key.isRevoked)
        #expect(fixture.store.keys.version > before)
        let listed = fixture.store.keys.list(of: Self.project)
        #expect(listed == [ListedKey(key: key, displayName: Array("Warehouse".utf8))])
        let secret = [UInt8](repeating: 7, count: 32)
        #expect(secret.withUnsafeBytes { key.matches(fixture.store.keys.hash(ofSecret: $0)) })
        let other = [UInt8](repeating: 8, count: 32)
        #expect(!other.withUnsafeBytes { key.matches(fixture.store.keys.hash(ofSecret: $0)) })
    }

    @Test func unknownNameGivesAKeyThatNoSecretHas() throws {
        let fixture = TrackFixture()
        let unknown = KeyName(bits: (1, 2))
        #expect(fixture.store.keys.find(unknown) == nil)
        let found = fixture.store.keys.lookUp(unknown)
        #expect(!found.isKnown && found.key.scopes.isEmpty && found.key.hash == .zero)
    }

    @Test func revokedKeyIsListedAndAnotherRevocationChangesNothing() throws {
        let fixture = TrackFixture()
        let name = try #require(try fixture.createKey().name)
        let version = fixture.store.keys.version
        #expect(try fixture.revokeKey(name).rejection == .none)
        let revoked = try #require(fixture.store.keys.find(name))
        #expect(revoked.isRevoked && !revoked.isLive(at: fixture.now))
        #expect(fixture.store.keys.version > version)
        #expect(fixture.store.keys.liveCount(of: Self.project, now: fixture.now) == 0)
        fixture.now += 5_000_000
        #expect(try fixture.revokeKey(name).rejection == .none)
        #expect(fixture.store.keys.find(name) == revoked)
    }

    @Test func keyOfAnotherProjectIsUnknown() throws {
        let fixture = TrackFixture()
        let name = try #require(
            try fixture.createKey(
                KeySpec {
                    $0.project = 0
                    $0.scopes = .operator
                }
            ).name)
        #expect(fixture.store.keys.find(name)?.isOperator == true)
        #expect(try fixture.revokeKey(name, project: 1).rejection == .keyNotFound)
        #expect(try fixture.revokeKey(KeyName(bits: (9, 9))).rejection == .keyNotFound)
        #expect(fixture.store.keys.find(name)?.isRevoked == false)
        #expect(fixture.store.keys.list(of: Self.project).isEmpty)
        #expect(try fixture.revokeKey(name, project: 0).rejection == .none)
    }

    /// Each attempt has a new secret, and the first one's is lost with its response.
    @Test func retryGetsTheNameOfTheFirstAttemptAndMakesNoKey() throws {
        let fixture = TrackFixture()
        let first = try fixture.createKey(KeySpec(1) { $0.requestID = "r" })
        let second = try fixture.createKey(KeySpec(2) { $0.requestID = "r" })
        #expect(second.header.isReplayed && second.name == first.name)
        #expect(fixture.store.keys.list(of: Self.project).count == 1)
        let other = try fixture.createKey(
            KeySpec(3) {
                $0.requestID = "r"
                $0.scopes = .write
            })
        #expect(other.header.rejection == .requestIDReused)
    }

    @Test func hundredLiveKeysAreAllowedAndRevokedOrExpiredOnesDoNotCount() throws {
        let fixture = TrackFixture()
        var names: [KeyName] = []
        for number in 0 ..< KeyStore.liveKeysMax {
            let spec = KeySpec(UInt8(number)) {
                if number == 1 { $0.expiresAt = fixture.now + 60_000_000 }
            }
            names.append(try #require(try fixture.createKey(spec).name))
        }
        let over = try fixture.createKey()
        #expect(over.header.rejection == .limitExceeded && over.header.detail == 100)
        try fixture.revokeKey(names[0])
        #expect(try fixture.createKey().header.rejection == .none)
        #expect(try fixture.createKey().header.rejection == .limitExceeded)
        fixture.now += 120_000_000
        #expect(try fixture.createKey().header.rejection == .none)
        #expect(Set(names.map(\.description)).count == names.count)
        #expect(fixture.store.keys.liveCount(of: Self.project, now: fixture.now) == 100)
    }

    @Test func keysThatEndedFirstAreDroppedOverTheBound() throws {
        let fixture = TrackFixture()
        let early = try #require(try fixture.createKey().name)
        let late = try #require(try fixture.createKey().name)
        // Of two keys the one that was made later ends first.
        try fixture.revokeKey(late)
        fixture.now += 1_000_000
        try fixture.revokeKey(early)
        for _ in 2 ..< KeyStore.endedKeysMax {
            fixture.now += 1_000_000
            try fixture.revokeKey(try #require(try fixture.createKey().name))
        }
        #expect(fixture.store.keys.list(of: Self.project).count == KeyStore.endedKeysMax)
        fixture.now += 1_000_000
        try fixture.revokeKey(try #require(try fixture.createKey().name))
        #expect(fixture.store.keys.find(late) == nil && fixture.store.keys.find(early) != nil)
        #expect(fixture.store.keys.list(of: Self.project).count == KeyStore.endedKeysMax)
        #expect(try fixture.revokeKey(late).rejection == .keyNotFound)
    }

    /// A service that makes and revokes keys for ever has the memory of the bounds.
    @Test func numbersAreUsedAgain() throws {
        let fixture = TrackFixture()
        var numbers: Set<UInt32> = []
        for _ in 0 ..< 3 * KeyStore.endedKeysMax {
            let name = try #require(try fixture.createKey().name)
            numbers.insert(try #require(fixture.store.keys.find(name)).number)
            try fixture.revokeKey(name)
        }
        #expect(numbers.count <= KeyStore.endedKeysMax + 1)
    }

    @Test func keysOfAProjectThatGoesAreGone() throws {
        let fixture = TrackFixture()
        let name = try #require(try fixture.createKey().name)
        let version = fixture.store.keys.version
        fixture.store.keys.dropAll(of: Self.project)
        #expect(fixture.store.keys.find(name) == nil && fixture.store.keys.count == 0)
        #expect(fixture.store.keys.list(of: Self.project).isEmpty)
        #expect(fixture.store.keys.version > version)
        #expect(try fixture.createKey().header.rejection == .none)
    }

    @Test func malformedRecordIsRejectedAndChangesNothing() throws {
        let fixture = TrackFixture()
        let digest = fixture.store.digest()
        for change: (inout KeySpec) -> Void in [
            { $0.scopes = [] }, { $0.scopes = .operator },
            { $0.scopes = AccessScopes(rawValue: 32) },
            { $0.project = 0 }, { $0.expiresAt = -1 },
            { $0.displayName = String(repeating: "x", count: 401) },
            { $0.requestID = String(repeating: "x", count: 128) },
        ] {
            #expect(throws: ApplyError.self) { try fixture.createKey(KeySpec(1, change: change)) }
        }
        let whole = KeySpec().record(fixture.store)
        for count in RecordFormat.headerBytes ..< whole.count - 8 {
            var cut = ByteBuffer()
            let start = beginRecord(.createKey, in: &cut)
            whole[RecordFormat.headerBytes ..< count].withUnsafeBytes { cut.append($0) }
            endRecord(at: start, operations: 1, in: &cut)
            #expect(throws: ApplyError.self) { try fixture.apply(Array(cut.bytes)) }
        }
        #expect(fixture.store.digest() == digest)
    }
}
