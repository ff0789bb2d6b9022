import Bytes

/// An identity being changed: read from a block, written to a new one. Texts are borrowed from the
/// old block or the record.
struct IdentityDraft {
    /// Empty: anonymous.
    var customID = UnsafeRawBufferPointer.none
    /// The merged-away profile that the custom id belonged to, as a `ProfileRef`; 0: its own.
    var customPart: UInt32 = 0
    var aliases: [IdentifierView] = []
    /// There are older aliases, though fewer are listed than may be, since an un-merge took some.
    var hasUnlistedAliases = false
    /// Aliases that a profile lists; over it the oldest is no longer listed, but leads to the
    /// survivor all the same. A thousand devices that one person logged in from are listed; without
    /// a bound a robot's merges would fill the response.
    static let aliasesMax = 1_000

    /// In the order of their attachment.
    var installations: [Installation] = []

    /// One installation with its history.
    struct Installation {
        /// Moves that are kept; an older one is folded into `firstHolder`. Late events are at most
        /// the retention old, and a device that changes hands more often than this within it is
        /// credited to the oldest holder that is known.
        static let movesMax = 32

        var id: UnsafeRawBufferPointer
        var platform: UInt8
        /// Microseconds since 1970.
        var attachedAt: Int64
        var lastSeenAt: Int64
        /// Meaningful with moves.
        var firstHolder = ProfileRef(rawValue: 0)
        var moves: [InstallationMove] = []
        /// The merged-away profile that it belongs to, as a `ProfileRef`; 0: the profile's own.
        var part: UInt32 = 0

        /// Notes a move; `former` held it so far.
        mutating func move(to holder: ProfileRef, at time: Int64, former: ProfileRef) {
            if self.moves.isEmpty { self.firstHolder = former }
            self.moves.append(
                InstallationMove(time: max(time, self.moves.last?.time ?? time), holder: holder))
            guard self.moves.count > Self.movesMax else { return }
            self.firstHolder = self.moves.removeFirst().holder
        }
    }

    init() {}

    init(_ part: IdentityPart) {
        self.customID = part.customID
        self.customPart = part.customPart
        self.hasUnlistedAliases = part.hasUnlistedAliases
        part.forEachAlias { self.aliases.append($0) }
        part.forEachInstallation { view in
            var installation = Installation(
                id: view.id, platform: view.platform, attachedAt: view.attachedAt,
                lastSeenAt: view.lastSeenAt)
            if view.moveCount > 0 { installation.firstHolder = view.firstHolder }
            for index in 0 ..< view.moveCount { installation.moves.append(view.move(index)) }
            installation.part = view.part
            self.installations.append(installation)
        }
    }

    /// Adds aliases behind those that it has.
    mutating func add(aliases: [IdentifierView]) {
        self.aliases += aliases
        if self.aliases.count > Self.aliasesMax {
            self.aliases.removeFirst(self.aliases.count - Self.aliasesMax)
        }
    }

    /// Takes an installation out; it must be there.
    mutating func remove(_ id: UnsafeRawBufferPointer) -> Installation {
        guard let index = self.installations.firstIndex(where: { $0.id.equals(id) }) else {
            preconditionFailure("an installation that is found is held")
        }
        return self.installations.remove(at: index)
    }

    /// Takes the least recently seen installation out, but not `spared`, which has just come.
    mutating func removeLeastRecentlySeen(sparing spared: UnsafeRawBufferPointer) -> Installation? {
        var least: Int?
        for index in self.installations.indices where !self.installations[index].id.equals(spared) {
            if least.map({
                self.installations[index].lastSeenAt < self.installations[$0].lastSeenAt
            }) ?? true {
                least = index
            }
        }
        return least.map { self.installations.remove(at: $0) }
    }
}

extension Store {
    /// A profile's identity, to be changed.
    func identityDraft(_ header: ProfileHeader) -> IdentityDraft {
        IdentityDraft(IdentityPart(self.slab.pointer(header.identity)))
    }

    /// Gives a header a new identity block; the old one is freed after the commit.
    func setIdentity(_ draft: IdentityDraft, in header: inout ProfileHeader) {
        let bytes = IdentityPart.bytes(of: draft)
        let block = self.allocate(bytes)
        IdentityPart.write(draft, to: self.slab.pointer(block))
        self.free(header.identity, bytes: Int(header.identityBytes))
        header.identity = block
        header.identityBytes = UInt32(bytes)
    }
}
