import Bytes

/// The identifiers of a profile: its custom id, its aliases and its installations; in memory one
/// block.
///
/// Layout:
/// `customIDBytes: UInt16 (0: anonymous) | installationCount: UInt16 | aliasCount: UInt16 (and
/// 32,768 if a part follows, 16,384 if there are aliases that it does not list) | [part of the
/// custom id: UInt32] | customID`, then per alias `kind: UInt8 | bytes: UInt16 |
/// alias`, then per installation `attachedAt, lastSeenAt: Int64 µs | platform: UInt8 | moveCount:
/// UInt8 (and 128 if it has a part) | idBytes: UInt16 | id` and, if it ever moved, `firstHolder:
/// UInt32 | (time: Int64 µs, holder: UInt32) each`, ascending by time, then `[part: UInt32]`.
///
/// An identifier that came in a merge has a *part*: the merged-away profile that it belonged to.
struct IdentityPart {
    private static let fixedBytes = 2 + 2 + 2
    private static let partBytes = 4
    private static let customPartFlag: UInt16 = 1 << 15
    private static let unlistedFlag: UInt16 = 1 << 14
    private static let aliasCountMask = Int(Self.unlistedFlag) - 1
    private static let partFlag: UInt8 = 1 << 7
    private static let aliasFixedBytes = 1 + 2
    private static let installationFixedBytes = 8 + 8 + 1 + 1 + 2
    private static let firstHolderBytes = 4
    private static let moveBytes = 8 + 4

    // SAFETY: the block holds what its own lengths say: it was written by `write`, or read from a
    // snapshot and found whole.
    private let base: UnsafeMutableRawPointer

    init(_ base: UnsafeMutableRawPointer) {
        self.base = base
    }

    var customID: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self.base + self.headBytes, count: self.customIDBytes)
    }

    /// The merged-away profile that the custom id belonged to, as a `ProfileRef`; 0: it is the
    /// profile's own.
    var customPart: UInt32 {
        self.headBytes == Self.fixedBytes
            ? 0 : self.base.loadUnaligned(fromByteOffset: Self.fixedBytes, as: UInt32.self)
    }

    /// Bytes before the custom id.
    private var headBytes: Int {
        self.count(at: 4) & Int(Self.customPartFlag) == 0
            ? Self.fixedBytes : Self.fixedBytes + Self.partBytes
    }

    private var customIDBytes: Int { self.count(at: 0) }
    var installationCount: Int { self.count(at: 2) }
    var aliasCount: Int { self.count(at: 4) & Self.aliasCountMask }
    /// More profiles were merged into this one than it lists, though it lists fewer than it may.
    var hasUnlistedAliases: Bool { self.count(at: 4) & Int(Self.unlistedFlag) != 0 }

    private func count(at offset: Int) -> Int {
        Int(self.base.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    /// Every alias, in the order in which they came.
    func forEachAlias(_ body: (IdentifierView) -> Void) {
        var offset = self.headBytes + self.customIDBytes
        for _ in 0 ..< self.aliasCount {
            let bytes = self.count(at: offset + 1)
            let kind =
                IdentifierKind(rawValue: self.base.load(fromByteOffset: offset, as: UInt8.self))
                ?? .profileID
            body(
                IdentifierView(
                    kind: kind,
                    bytes: UnsafeRawBufferPointer(
                        start: self.base + offset + Self.aliasFixedBytes, count: bytes)))
            offset += Self.aliasFixedBytes + bytes
        }
    }

    private var installationsOffset: Int {
        var offset = self.headBytes + self.customIDBytes
        for _ in 0 ..< self.aliasCount {
            offset += Self.aliasFixedBytes + self.count(at: offset + 1)
        }
        return offset
    }

    /// Every installation, in the order of their attachment.
    func forEachInstallation(_ body: (InstallationView) -> Void) {
        var offset = self.installationsOffset
        for _ in 0 ..< self.installationCount {
            let installation = InstallationView(self.base + offset)
            body(installation)
            offset += installation.totalBytes
        }
    }

    /// An installation by its id; `nil` if the profile has no such one.
    func installation(_ id: UnsafeRawBufferPointer) -> InstallationView? {
        var offset = self.installationsOffset
        for _ in 0 ..< self.installationCount {
            let installation = InstallationView(self.base + offset)
            if installation.id.equals(id) { return installation }
            offset += installation.totalBytes
        }
        return nil
    }

    /// Whether the identifier names the profile; its own id is in its header, not here.
    func holds(_ identifier: IdentifierView) -> Bool {
        switch identifier.kind {
        case .profileID: false
        case .customID: self.customIDBytes > 0 && self.customID.equals(identifier.bytes)
        case .installationID: self.installation(identifier.bytes) != nil
        }
    }

    /// Whether bytes are a part whose lengths are those of what it has, and which names only what
    /// `isProfile`.
    static func isWhole(_ bytes: UnsafeRawBufferPointer, _ isProfile: (UInt32) -> Bool) -> Bool {
        var reader = ByteReader(bytes)
        let customIDBytes = Int(reader.read(UInt16.self))
        let (installations, aliases) = (reader.read(UInt16.self), reader.read(UInt16.self))
        if aliases & Self.customPartFlag != 0, !isProfile(reader.read()) { return false }
        _ = reader.read(count: customIDBytes)
        for _ in 0 ..< Int(aliases) & Self.aliasCountMask {
            let kind = IdentifierKind(rawValue: reader.read())
            let count = Int(reader.read(UInt16.self))
            _ = reader.read(count: count)
            guard !reader.overrun, kind != nil,
                kind != .profileID || count == ProfileID.binaryBytes
            else { return false }
        }
        for _ in 0 ..< installations {
            _ = reader.read(count: 8 + 8 + 1)
            let moveByte = reader.read(UInt8.self)
            _ = reader.read(count: Int(reader.read(UInt16.self)))
            let moves = moveByte & ~Self.partFlag
            if moves > 0, !isProfile(reader.read()) { return false }
            for _ in 0 ..< moves {
                _ = reader.read(Int64.self)
                guard isProfile(reader.read()) else { return false }
            }
            if moveByte & Self.partFlag != 0, !isProfile(reader.read()) { return false }
            guard !reader.overrun else { return false }
        }
        return reader.isAtCleanEnd
    }

    // MARK: Writing

    /// Bytes of the part of a profile that one custom id or one installation id makes.
    static func bytes(of identifier: IdentifierView) -> Int {
        self.fixedBytes + identifier.bytes.count
            + (identifier.kind == .installationID ? self.installationFixedBytes : 0)
    }

    /// Writes the part of a profile that one custom id or one installation id makes.
    static func write(
        _ identifier: IdentifierView, platform: UInt8, at time: Int64,
        to target: UnsafeMutableRawPointer
    ) {
        var writer = RawWriter(target)
        let isCustom = identifier.kind == .customID
        writer.write(UInt16(isCustom ? identifier.bytes.count : 0))
        writer.write(UInt16(isCustom ? 0 : 1))
        writer.write(UInt16(0))
        if !isCustom {
            writer.write(time)
            writer.write(time)
            writer.write(platform)
            writer.write(UInt8(0))
            writer.write(UInt16(identifier.bytes.count))
        }
        writer.write(identifier.bytes)
    }

    /// Bytes that `write` of `draft` takes.
    static func bytes(of draft: IdentityDraft) -> Int {
        var bytes = Self.fixedBytes + draft.customID.count
        if draft.customPart != 0 { bytes += Self.partBytes }
        for alias in draft.aliases { bytes += Self.aliasFixedBytes + alias.bytes.count }
        for installation in draft.installations {
            bytes += Self.installationFixedBytes + installation.id.count
            if !installation.moves.isEmpty {
                bytes += Self.firstHolderBytes + installation.moves.count * Self.moveBytes
            }
            if installation.part != 0 { bytes += Self.partBytes }
        }
        return bytes
    }

    static func write(_ draft: IdentityDraft, to target: UnsafeMutableRawPointer) {
        var writer = RawWriter(target)
        writer.write(UInt16(draft.customID.count))
        writer.write(UInt16(draft.installations.count))
        let partFlag = draft.customPart == 0 ? 0 : Self.customPartFlag
        let unlistedFlag = draft.hasUnlistedAliases ? Self.unlistedFlag : 0
        writer.write(UInt16(draft.aliases.count) | partFlag | unlistedFlag)
        if draft.customPart != 0 { writer.write(draft.customPart) }
        writer.write(draft.customID)
        for alias in draft.aliases {
            writer.write(alias.kind.rawValue)
            writer.write(UInt16(alias.bytes.count))
            writer.write(alias.bytes)
        }
        for installation in draft.installations {
            writer.write(installation.attachedAt)
            writer.write(installation.lastSeenAt)
            writer.write(installation.platform)
            let hasPart = installation.part != 0
            writer.write(UInt8(installation.moves.count) | (hasPart ? Self.partFlag : 0))
            writer.write(UInt16(installation.id.count))
            writer.write(installation.id)
            if !installation.moves.isEmpty { writer.write(installation.firstHolder.rawValue) }
            for move in installation.moves {
                writer.write(move.time)
                writer.write(move.holder.rawValue)
            }
            if hasPart { writer.write(installation.part) }
        }
    }

    /// One installation inside a block, borrowed.
    struct InstallationView {
        // SAFETY: as the part's.
        private let base: UnsafeMutableRawPointer

        init(_ base: UnsafeMutableRawPointer) {
            self.base = base
        }

        var attachedAt: Int64 { self.base.loadUnaligned(as: Int64.self) }
        var lastSeenAt: Int64 { self.base.loadUnaligned(fromByteOffset: 8, as: Int64.self) }
        var platform: UInt8 { self.base.load(fromByteOffset: 16, as: UInt8.self) }
        private var moveByte: UInt8 { self.base.load(fromByteOffset: 17, as: UInt8.self) }
        var moveCount: Int { Int(self.moveByte & ~IdentityPart.partFlag) }
        private var hasPart: Bool { self.moveByte & IdentityPart.partFlag != 0 }
        private var idBytes: Int {
            Int(self.base.loadUnaligned(fromByteOffset: 18, as: UInt16.self))
        }
        var id: UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(
                start: self.base + IdentityPart.installationFixedBytes, count: self.idBytes)
        }

        private var historyOffset: Int { IdentityPart.installationFixedBytes + self.idBytes }
        /// Where the part is, if it has one: behind the moves.
        private var partOffset: Int {
            guard self.moveCount > 0 else { return self.historyOffset }
            return self.historyOffset + IdentityPart.firstHolderBytes + self.moveCount
                * IdentityPart.moveBytes
        }
        var totalBytes: Int {
            self.hasPart ? self.partOffset + IdentityPart.partBytes : self.partOffset
        }

        /// The merged-away profile that it belongs to, as a `ProfileRef`; 0: it is the profile's
        /// own.
        var part: UInt32 {
            self.hasPart
                ? self.base.loadUnaligned(fromByteOffset: self.partOffset, as: UInt32.self) : 0
        }

        /// Meaningful if it ever moved.
        var firstHolder: ProfileRef {
            ProfileRef(
                rawValue: self.base.loadUnaligned(
                    fromByteOffset: self.historyOffset, as: UInt32.self))
        }

        func move(_ index: Int) -> InstallationMove {
            let offset =
                self.historyOffset + IdentityPart.firstHolderBytes + index * IdentityPart.moveBytes
            return InstallationMove(
                time: self.base.loadUnaligned(fromByteOffset: offset, as: Int64.self),
                holder: ProfileRef(
                    rawValue: self.base.loadUnaligned(fromByteOffset: offset + 8, as: UInt32.self)))
        }

        /// Of the last move; `nil`: it never moved.
        var lastMoveAt: Int64? { self.moveCount > 0 ? self.move(self.moveCount - 1).time : nil }

        /// Who held it at a time, mergers aside; `nil`: the present holder, as it never moved.
        func holder(at time: Int64) -> ProfileRef? {
            guard self.moveCount > 0 else { return nil }
            for index in stride(from: self.moveCount - 1, through: 0, by: -1)
            where self.move(index).time <= time {
                return self.move(index).holder
            }
            return self.firstHolder
        }

        /// Changes the platform; under the shard's lock.
        func change(platform: UInt8) {
            self.base.storeBytes(of: platform, toByteOffset: 16, as: UInt8.self)
        }

        /// Moves `lastSeenAt`; under the shard's lock.
        func seen(at time: Int64) {
            self.base.storeBytes(of: time, toByteOffset: 8, as: Int64.self)
        }
    }
}

/// When an installation came to a profile.
struct InstallationMove {
    /// Effective time of the Identify that moved it, in microseconds.
    var time: Int64
    var holder: ProfileRef
}
