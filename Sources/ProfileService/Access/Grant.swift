import Bytes
import Profiles

/// The name of a project in place: it never changes, so a key's calls compare it without a lookup,
/// whose time would depend on which projects exist.
struct ProjectName: BitwiseCopyable {
    /// Longest name, in bytes.
    static let bytesMax = 63

    private var bytes = SIMD64<UInt8>()
    private(set) var count = 0

    /// No name: equal to none.
    init() {}

    init?(_ name: [UInt8]) {
        guard !name.isEmpty, name.count <= Self.bytesMax else { return nil }
        for index in name.indices { self.bytes[index] = name[index] }
        self.count = name.count
    }

    @inline(__always)
    func equals(_ other: UnsafeRawBufferPointer) -> Bool {
        guard other.count == self.count, self.count > 0 else { return false }
        var index = 0
        while index < self.count, self.bytes[index] == other[index] { index &+= 1 }
        return index == self.count
    }
}

/// What a key allowed when it was looked up.
struct Grant: BitwiseCopyable {
    var caller: Caller
    /// Of `caller.project`; empty for an operator's key.
    var projectName: ProjectName
    /// Of the secret that was presented: a key that is found again by its name still has it.
    var hash: SHA256Digest
    /// In microseconds since 1970; `Int64.max`: never.
    var expiresAt: Int64
    /// 0: no limit.
    var updatesPerSecondMax: UInt32
    /// 0: no limit.
    var concurrentCallsMax: UInt32
    var usage: KeyUsageHandle

    /// Allows nothing.
    static let none = Grant(
        caller: .nobody, projectName: ProjectName(), hash: .zero, expiresAt: 0,
        updatesPerSecondMax: 0, concurrentCallsMax: 0, usage: .nothing)
}

/// Which keys a grant was looked up among: it holds as long as neither number changes.
struct AccessVersion: Equatable, BitwiseCopyable {
    /// `KeyStore.version`.
    var keys: UInt64
    /// `AccessControl.operatorVersion`.
    var operators: UInt64
}
