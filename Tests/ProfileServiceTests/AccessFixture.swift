import Bytes
import Profiles

@testable import ProfileService

/// Keys of a test, in a table instead of a store.
final class KeyTable: AccessKeySource {
    private static let secretKey = SipHashKey(k0: 1, k1: 2)
    private(set) var keys: [AccessKey] = []
    var projects: [UInt32: String] = [1: "default", 2: "other"]
    /// Hashes that were computed.
    private(set) var hashes = 0
    private(set) var lookUps = 0

    func lookUpKey(_ name: KeyName) -> (key: AccessKey, isKnown: Bool) {
        self.lookUps += 1
        if let key = self.keys.first(where: { $0.name == name }) { return (key, true) }
        return (
            AccessKey(name: name, project: ProjectID(rawValue: 0), scopes: [], hash: .zero), false
        )
    }

    func hash(ofSecret secret: UnsafeRawBufferPointer) -> SHA256Digest {
        self.hashes += 1
        return KeySecret.hash(secret, key: Self.secretKey)
    }

    func projectName(of id: ProjectID) -> [UInt8]? {
        self.projects[id.rawValue].map { Array($0.utf8) }
    }

    /// Adds a key of project 1; its secret is 32 times the number.
    @discardableResult
    func add(
        _ number: UInt8, scopes: AccessScopes = .write, project: UInt32 = 1,
        change: (inout AccessKey) -> Void = { _ in }
    ) -> AccessKey {
        let secret = [UInt8](repeating: number, count: 32)
        var key = AccessKey(
            name: Self.name(number), project: ProjectID(rawValue: project), scopes: scopes,
            hash: secret.withUnsafeBytes { KeySecret.hash($0, key: Self.secretKey) })
        change(&key)
        self.keys.append(key)
        return key
    }

    func change(_ number: UInt8, _ body: (inout AccessKey) -> Void) {
        let name = Self.name(number)
        for index in self.keys.indices where self.keys[index].name == name {
            body(&self.keys[index])
        }
    }

    func remove(_ number: UInt8) { self.keys.removeAll { $0.name == Self.name(number) } }

    static func name(_ number: UInt8) -> KeyName {
        KeyName(bits: (UInt64(number) + 1, UInt64(number) * 977))
    }

    /// `pk_…` of a key, with another secret if wanted.
    static func text(_ number: UInt8, secret: UInt8? = nil) -> String {
        var buffer = ByteBuffer()
        [UInt8](repeating: secret ?? number, count: 32).withUnsafeBytes {
            KeyText.write(Self.name(number), secret: $0, into: &buffer)
        }
        return String(decoding: buffer.bytes, as: UTF8.self)
    }

    /// The header of a key.
    static func header(_ number: UInt8, secret: UInt8? = nil) -> [UInt8] {
        Array("Bearer \(Self.text(number, secret: secret))".utf8)
    }

    static func operatorKey(_ number: UInt8) -> OperatorKey {
        let secret = [UInt8](repeating: number, count: 32)
        return OperatorKey(
            name: Self.name(number), hash: secret.withUnsafeBytes { OperatorKey.hash(ofSecret: $0) }
        )
    }
}

extension AccessControl {
    /// Logs in at time 1,000,000 unless said otherwise.
    func logIn(_ header: [UInt8], _ keys: KeyTable, now: Int64 = 1_000_000) -> Login {
        header.withUnsafeBytes { self.logIn($0, in: keys, now: now) }
    }
}

extension Login {
    var grant: Grant? { if case .granted(let grant) = self { grant } else { nil } }
    var failure: AccessFailure? { if case .failed(let failure, _) = self { failure } else { nil } }
}
