import Bytes

// SAFETY: an entry is a block of `blockBytes` that lies in the slab and is written whole before it
// is entered; it is a value without padding that anybody reads. Only the applier follows it.

/// A merge that can still be undone, and what that needs beside the loser's header.
///
/// Its block in memory is this value; `next` comes first. What stands in a snapshot is laid out by
/// `write(into:slab:)`.
struct MergeEntry: BitwiseCopyable {
    static let blockBytes = MemoryLayout<MergeEntry>.stride

    /// What is known of a merge.
    struct Flags: OptionSet, BitwiseCopyable {
        let rawValue: UInt8

        /// Everything that an un-merge needs is here; a merge of rules before version 3 lacks it.
        static let undoable = Flags(rawValue: 1 << 0)
        /// The newer value of an attribute won.
        static let latestWins = Flags(rawValue: 1 << 1)
        static let all: Flags = [.undoable, .latestWins]
    }

    // MARK: Links; in no snapshot

    /// The project's entries in the order of their lsns.
    var next: Handle = 0
    var previous: Handle = 0
    /// The entries of one survivor.
    var older: Handle = 0
    var newer: Handle = 0
    /// The number of the running snapshot that has it already.
    var snapshotNumber: UInt32 = 0

    // MARK: Since there are merges

    var loser: ProfileRef
    var survivor: ProfileRef
    /// The lsns of the events that moved, a block of `UInt64`.
    var events: Handle = 0
    var eventCount: UInt32 = 0
    var receivedAt: Int64
    var lsn: UInt64
    /// What the survivor had before.
    var survivorAttributes: Handle = 0
    var survivorAttributesBytes: UInt32 = 0
    var survivorConsent: Handle = 0
    var survivorConsentBytes: UInt32 = 0

    // MARK: With `undoable`

    var flags: Flags = []
    /// The platform that the call gave its device, and 1 + the index of that device in the loser's
    /// identity; zeros: none.
    var platform: UInt8 = 0
    var platformNumber: UInt16 = 0
    /// The survivor's counters before, an array of `CounterEntry`.
    var counters: Handle = 0
    var counterCount: UInt32 = 0
    /// What the survivor's identity had no capacity for: `LeftIdentity`.
    var left: Handle = 0
    var leftBytes: UInt32 = 0
    /// Events through the loser's identifiers since the merge that the survivor no longer retains:
    /// an array of `CounterEntry`.
    var dropped: Handle = 0
    var droppedCount: UInt32 = 0
    /// Events that the survivor had before.
    var survivorEventCount: UInt32 = 0
    /// The survivor's times before, in microseconds.
    var createdAt: Int64 = 0
    var lastSeenAt: Int64 = 0
    var eventsTruncatedBefore: Int64 = 0
    /// The survivor's `lastSeenAt` after, in microseconds.
    var seenAfter: Int64 = 0

    init(loser: ProfileRef, survivor: ProfileRef, receivedAt: Int64, lsn: UInt64) {
        self.loser = loser
        self.survivor = survivor
        self.receivedAt = receivedAt
        self.lsn = lsn
    }

    init(_ base: UnsafeMutableRawPointer) {
        self = base.loadUnaligned(as: MergeEntry.self)
    }

    func write(to target: UnsafeMutableRawPointer) {
        target.storeBytes(of: self, as: MergeEntry.self)
    }

    var isUndoable: Bool { self.flags.contains(.undoable) }

    /// The platform that a device of the loser had right after the merge.
    ///
    /// - Parameter index: In the loser's identity.
    func platform(of device: IdentityDraft.Installation, at index: Int) -> UInt8 {
        index + 1 == Int(self.platformNumber) ? self.platform : device.platform
    }

    var eventsBytes: Int { Int(self.eventCount) * MemoryLayout<UInt64>.stride }
    var countersBytes: Int { Int(self.counterCount) * MemoryLayout<CounterEntry>.stride }
    var droppedBytes: Int { Int(self.droppedCount) * MemoryLayout<CounterEntry>.stride }
}

/// What a merge pushed out of the survivor's identity: its own installations over the limit, and
/// the oldest aliases that it listed.
///
/// Layout: `count: UInt16 | index that each installation had: UInt16 | IdentityPart`.
struct LeftIdentity {
    /// Ascending by the index.
    var installations: [(index: Int, installation: IdentityDraft.Installation)] = []
    /// Oldest first.
    var aliases: [IdentifierView] = []

    var isEmpty: Bool { self.installations.isEmpty && self.aliases.isEmpty }

    init() {}

    private var draft: IdentityDraft {
        var draft = IdentityDraft()
        draft.aliases = self.aliases
        draft.installations = self.installations.map(\.installation)
        return draft
    }

    var bytes: Int { 2 + self.installations.count * 2 + IdentityPart.bytes(of: self.draft) }

    func write(to target: UnsafeMutableRawPointer) {
        var writer = RawWriter(target)
        writer.write(UInt16(self.installations.count))
        for (index, _) in self.installations { writer.write(UInt16(index)) }
        IdentityPart.write(self.draft, to: target + 2 + self.installations.count * 2)
    }

    /// Whether bytes are such a block, as `IdentityPart.isWhole`.
    static func isWhole(_ bytes: UnsafeRawBufferPointer, _ isProfile: (UInt32) -> Bool) -> Bool {
        var reader = ByteReader(bytes)
        _ = reader.read(count: 2 * Int(reader.read(UInt16.self)))
        return !reader.overrun
            && IdentityPart.isWhole(reader.read(count: reader.remaining), isProfile)
    }

    /// Reads a block; texts are borrowed from it.
    init(_ base: UnsafeMutableRawPointer) {
        let count = Int(base.loadUnaligned(as: UInt16.self))
        let draft = IdentityDraft(IdentityPart(base + 2 + count * 2))
        self.aliases = draft.aliases
        for (number, installation) in draft.installations.enumerated() where number < count {
            let index = base.loadUnaligned(fromByteOffset: 2 + number * 2, as: UInt16.self)
            self.installations.append((Int(index), installation))
        }
    }
}
