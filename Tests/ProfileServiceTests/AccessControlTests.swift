import Bytes
import Profiles
import Testing

@testable import ProfileService

/// What a header allows, and for how long.
@Suite struct AccessControlTests {
    private let keys = KeyTable()
    private let access = AccessControl(operatorKeys: [KeyTable.operatorKey(200)])

    @Test func aKeyGivesItsProjectAndScopesAndNothingElse() throws {
        self.keys.add(1, scopes: [.read, .write], project: 2)
        let grant = try #require(self.access.logIn(KeyTable.header(1), self.keys).grant)
        #expect(grant.caller.keyName == KeyTable.name(1))
        #expect(grant.caller.project == ProjectID(rawValue: 2))
        #expect(grant.caller.scopes == [.read, .write] && !grant.caller.isOperator)
        #expect(Array("other".utf8).withUnsafeBytes { grant.projectName.equals($0) })
        for name in ["othe", "others", "default", ""] {
            #expect(Array(name.utf8).withUnsafeBytes { !grant.projectName.equals($0) }, "\(name)")
        }
    }

    @Test func anOperatorsKeyAllowsEverything() throws {
        let grant = try #require(self.access.logIn(KeyTable.header(200), self.keys).grant)
        #expect(grant.caller.isOperator && grant.expiresAt == .max)
        for permission in [
            RPCPermission.read, .write, .erase, .export, .admin, .operatorOnly,
        ] { #expect(grant.caller.allows(anyOf: permission.scopes)) }
    }

    @Test func scopesDoNotIncludeOneAnother() {
        let all: [(AccessScopes, RPCPermission)] = [
            (.read, .read), (.write, .write), (.erase, .erase), (.export, .export),
            (.admin, .admin),
        ]
        for (scope, _) in all {
            let caller = Caller(
                keyName: KeyTable.name(1), project: ProjectID(rawValue: 1), scopes: scope)
            for (other, permission) in all {
                #expect(caller.allows(anyOf: permission.scopes) == (scope == other))
            }
            #expect(!caller.allows(anyOf: RPCPermission.operatorOnly.scopes))
        }
    }

    /// Of a project's key, and of an operator's.
    @Test(arguments: [1, 200] as [UInt8])
    func everyBitOfTheSecretCounts(number: UInt8) {
        self.keys.add(1)
        for bit in 0 ..< 256 {
            var secret = [UInt8](repeating: number, count: 32)
            secret[bit / 8] ^= 1 << UInt8(bit % 8)
            var buffer = ByteBuffer()
            secret.withUnsafeBytes {
                KeyText.write(KeyTable.name(number), secret: $0, into: &buffer)
            }
            let header = Array("Bearer ".utf8) + Array(buffer.bytes)
            #expect(self.access.logIn(header, self.keys).failure == .mismatch, "\(bit)")
        }
        // Hashes of which one word alone differs.
        for word in 0 ..< 4 {
            var other = KeyTable.operatorKey(number).hash
            switch word {
            case 0: other.words.0 ^= 1
            case 1: other.words.1 ^= 1
            case 2: other.words.2 ^= 1
            default: other.words.3 ^= 1
            }
            #expect(!KeyTable.operatorKey(number).matches(other), "\(word)")
        }
    }

    @Test func whatIsNoKeyIsMalformed() {
        self.keys.add(1)
        let good = KeyTable.header(1)
        #expect(self.access.logIn([], self.keys).failure == .missing)
        for length in 1 ..< good.count {
            #expect(self.access.logIn(Array(good[..<length]), self.keys).failure == .malformed)
        }
        #expect(self.access.logIn(good + [65], self.keys).failure == .malformed)
        let basic = Array("Basic  ".utf8) + good[7...]
        #expect(self.access.logIn(basic, self.keys).failure == .malformed)
        var upper = good
        upper[10] = UInt8(ascii: "A")
        #expect(self.access.logIn(upper, self.keys).failure == .malformed)
        #expect(self.keys.hashes == 0)
    }

    @Test(arguments: ["bearer ", "BEARER ", "Bearer "])
    func schemeIsComparedWithoutCase(scheme: String) {
        self.keys.add(1)
        let header = Array(scheme.utf8) + Array(KeyTable.text(1).utf8)
        #expect(self.access.logIn(header, self.keys).grant != nil)
    }

    /// Where an unknown name would be cheaper, its absence would show.
    @Test func unknownNamesCostTheSameHashesAndLookUps() {
        self.keys.add(1)
        self.keys.add(2) { $0.isRevoked = true }
        func cost(_ header: [UInt8], _ expected: AccessFailure?) -> [Int] {
            let before = [self.keys.hashes, self.keys.lookUps]
            #expect(self.access.logIn(header, self.keys).failure == expected)
            return [self.keys.hashes - before[0], self.keys.lookUps - before[1]]
        }
        let wrong = cost(KeyTable.header(1, secret: 9), .mismatch)
        #expect(wrong == [1, 1])
        #expect(cost(KeyTable.header(50), .unknown) == wrong)
        #expect(cost(KeyTable.header(2), .revoked) == wrong)
        #expect(cost(KeyTable.header(2, secret: 9), .mismatch) == wrong)
        #expect(cost(KeyTable.header(200, secret: 9), .mismatch) == wrong)
    }

    @Test func expiryCountsToTheMicrosecond() {
        self.keys.add(1) { $0.expiresAt = 5_000 }
        #expect(self.access.logIn(KeyTable.header(1), self.keys, now: 4_999).grant != nil)
        #expect(self.access.logIn(KeyTable.header(1), self.keys, now: 5_000).failure == .expired)
    }

    @Test func aKeyOfAProjectThatIsGoneIsUnknown() {
        self.keys.add(1, project: 7)
        #expect(self.access.logIn(KeyTable.header(1), self.keys).failure == .unknown)
    }

    // MARK: Renewal

    @Test func renewalNeedsNoHashAndSeesWhatHasChanged() throws {
        self.keys.add(1)
        let grant = try #require(self.access.logIn(KeyTable.header(1), self.keys).grant)
        let hashes = self.keys.hashes
        #expect(self.access.renew(grant, in: self.keys, now: 1_000_000) != nil)
        self.keys.change(1) { $0.scopes = .read }
        let renewed = try #require(self.access.renew(grant, in: self.keys, now: 1_000_000))
        #expect(renewed.caller.scopes == .read)
        self.keys.change(1) { $0.expiresAt = 2_000_000 }
        #expect(self.access.renew(grant, in: self.keys, now: 1_999_999) != nil)
        #expect(self.access.renew(grant, in: self.keys, now: 2_000_000) == nil)
        self.keys.change(1) { ($0.expiresAt, $0.isRevoked) = (0, true) }
        #expect(self.access.renew(grant, in: self.keys, now: 1_000_000) == nil)
        #expect(self.keys.hashes == hashes)
    }

    @Test func aNewKeyOfTheSameNameIsAnotherKey() throws {
        self.keys.add(1)
        let grant = try #require(self.access.logIn(KeyTable.header(1), self.keys).grant)
        self.keys.change(1) { $0.hash = SHA256Digest(words: (1, 2, 3, 4)) }
        #expect(self.access.renew(grant, in: self.keys, now: 1_000_000) == nil)
    }

    @Test func replacedOperatorKeysHoldAtOnceAndMoveTheVersion() throws {
        let grant = try #require(self.access.logIn(KeyTable.header(200), self.keys).grant)
        let version = self.access.operatorVersion
        self.access.replaceOperatorKeys([KeyTable.operatorKey(201)])
        #expect(self.access.operatorVersion != version)
        #expect(self.access.logIn(KeyTable.header(200), self.keys).failure == .unknown)
        #expect(self.access.renew(grant, in: self.keys, now: 1_000_000) == nil)
        #expect(self.access.logIn(KeyTable.header(201), self.keys).grant != nil)
    }

    /// S2: a certificate has what the key has that it stands for, as long as it stands for it.
    @Test func aCertificateGivesWhatItsKeyGives() throws {
        self.keys.add(1, scopes: [.read], project: 2)
        var table = CertificateKeys()
        let added = [
            table.add("DNS:Shop.example", key: KeyTable.name(1)),
            table.add("URI:operator", key: KeyTable.name(200)),
            table.add("DNS:shop.EXAMPLE", key: KeyTable.name(2)),
        ]
        #expect(added == [true, true, false])
        let access = AccessControl(
            operatorKeys: [KeyTable.operatorKey(200)], certificateKeys: table)
        func logIn(_ names: String...) -> Login {
            access.logIn(certificate: names, in: self.keys, now: 1_000_000)
        }
        let grant = try #require(logIn("URI:x", "DNS:shop.example").grant)
        #expect(grant.caller.keyName == KeyTable.name(1) && grant.caller.scopes == [.read])
        #expect(grant.caller.project == ProjectID(rawValue: 2))
        #expect(try #require(logIn("URI:operator").grant).caller.isOperator)
        // Nothing but a whole name counts, and other kinds have their case.
        #expect(logIn().failure == .missing && logIn("URI:shop.example").failure == .missing)
        #expect(logIn("URI:OPERATOR").failure == .missing && logIn("DNS:shop").failure == .missing)
        #expect(access.renew(grant, in: self.keys, now: 1_000_000) != nil)
        // The key is gone, another is in its place, or the table has the name for another key.
        let version = access.operatorVersion
        var other = CertificateKeys()
        let isAdded = other.add("DNS:shop.example", key: KeyTable.name(200))
        #expect(isAdded)
        access.replaceCertificateKeys(other)
        #expect(access.operatorVersion != version)
        #expect(access.renew(grant, in: self.keys, now: 1_000_000) == nil)
        access.replaceCertificateKeys(table)
        #expect(access.renew(grant, in: self.keys, now: 1_000_000) != nil)
        access.replaceCertificateKeys(CertificateKeys())
        #expect(access.renew(grant, in: self.keys, now: 1_000_000) == nil)
        #expect(logIn("DNS:shop.example").failure == .missing)
    }

    @Test func aFileWithoutKeysOpensNothing() {
        self.access.replaceOperatorKeys([])
        #expect(!self.access.isOpen)
        #expect(AccessControl().isOpen && !AccessControl(operatorKeys: []).isOpen)
    }
}
