import Bytes

/// What a profile is called by: its custom id and its installations.
///
/// Layout: `customIDBytes: UInt16 (0: anonymous) | installationCount: UInt16 | customID`, then per installation
/// `attachedAt, lastSeenAt: Int64 µs | platform: UInt8 | idBytes: UInt16 | id`.
struct IdentityPart {
    private static let fixedBytes = 2 + 2
    private static let installationFixedBytes = 8 + 8 + 1 + 2

    // SAFETY: the block holds what its own lengths say; it was written by `write`.
    private let base: UnsafeMutableRawPointer

    init(_ base: UnsafeMutableRawPointer) {
        self.base = base
    }

    /// One installation, borrowed.
    struct Installation {
        var id: UnsafeRawBufferPointer
        var platform: UInt8
        var attachedAt: Int64
        var lastSeenAt: Int64
    }

    var customID: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self.base + Self.fixedBytes, count: self.customIDBytes)
    }

    private var customIDBytes: Int { Int(self.base.loadUnaligned(as: UInt16.self)) }
    var installationCount: Int { Int(self.base.loadUnaligned(fromByteOffset: 2, as: UInt16.self)) }

    /// Every installation, in the order of their attachment.
    func forEachInstallation(_ body: (Installation) -> Void) {
        var offset = Self.fixedBytes + self.customIDBytes
        for _ in 0 ..< self.installationCount {
            let idBytes = Int(self.base.loadUnaligned(fromByteOffset: offset + 17, as: UInt16.self))
            body(Installation(
                id: UnsafeRawBufferPointer(start: self.base + offset + Self.installationFixedBytes, count: idBytes),
                platform: self.base.load(fromByteOffset: offset + 16, as: UInt8.self),
                attachedAt: self.base.loadUnaligned(fromByteOffset: offset, as: Int64.self),
                lastSeenAt: self.base.loadUnaligned(fromByteOffset: offset + 8, as: Int64.self)))
            offset += Self.installationFixedBytes + idBytes
        }
    }

    /// The offset of an installation; `nil` if the profile has no such one.
    private func installationOffset(_ id: UnsafeRawBufferPointer) -> Int? {
        var offset = Self.fixedBytes + self.customIDBytes
        for _ in 0 ..< self.installationCount {
            let idBytes = Int(self.base.loadUnaligned(fromByteOffset: offset + 17, as: UInt16.self))
            let start = self.base + offset + Self.installationFixedBytes
            if UnsafeRawBufferPointer(start: start, count: idBytes).equals(id) { return offset }
            offset += Self.installationFixedBytes + idBytes
        }
        return nil
    }

    /// Whether the profile is called so; its own id stands in its header, not here.
    func holds(_ identifier: IdentifierView) -> Bool {
        switch identifier.kind {
        case .profileID: false
        case .customID: self.customIDBytes > 0 && self.customID.equals(identifier.bytes)
        case .installationID: self.installationOffset(identifier.bytes) != nil
        }
    }

    /// Moves an installation's `lastSeenAt`; under the shard's lock.
    func installationSeen(_ id: UnsafeRawBufferPointer, at time: Int64) {
        guard let offset = self.installationOffset(id) else { return }
        self.base.storeBytes(of: time, toByteOffset: offset + 8, as: Int64.self)
    }

    /// Bytes of the part of a profile that one custom id or one installation id makes.
    static func bytes(of identifier: IdentifierView) -> Int {
        self.fixedBytes + identifier.bytes.count
            + (identifier.kind == .installationID ? self.installationFixedBytes : 0)
    }

    /// Writes the part of a profile that one custom id or one installation id makes.
    static func write(_ identifier: IdentifierView, platform: UInt8, at time: Int64, to target: UnsafeMutableRawPointer) {
        var writer = RawWriter(target)
        let isCustom = identifier.kind == .customID
        writer.write(UInt16(isCustom ? identifier.bytes.count : 0))
        writer.write(UInt16(isCustom ? 0 : 1))
        if !isCustom {
            writer.write(time)
            writer.write(time)
            writer.write(platform)
            writer.write(UInt16(identifier.bytes.count))
        }
        writer.write(identifier.bytes)
    }
}
