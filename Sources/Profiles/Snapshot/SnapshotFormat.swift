import Bytes

/// What the blocks of a snapshot hold: items, one after the other; no item spans two blocks.
///
/// An item is `kind: UInt8 | zero: 3 bytes | bytes: UInt32 | body`, little-endian. `state` comes
/// first, then every `project` (in version 1 `names`), then every `trigger`; the others follow in
/// any order, but the requests, merges and erased identifiers of one project oldest first among
/// themselves; `end` comes last. Source: docs/formats/snapshot.md, "Items".
enum SnapshotItem: UInt8 {
    /// Genesis, cursors, options, and how many of everything follow.
    case state = 1
    /// Every attribute and event name, in the order of their numbers; in version 1 only.
    case names = 2
    /// The suppressed addresses of one shard.
    case suppressions = 3
    /// One request id and its response.
    case request = 4
    /// One merge that can still be undone.
    case merge = 5
    /// Some of the blocked identifiers of erased people.
    case blocks = 6
    /// One profile with all its parts, and its first events.
    case profile = 7
    /// Nothing follows.
    case end = 8
    /// More events of the profile before it: a thousand of them can be gigabytes, and a block has a
    /// bound.
    case events = 9
    /// The keys of one project, or of the operators.
    case keys = 10
    /// One project: what it was told, its cursors, and its names in the order of their numbers.
    case project = 11
    /// One trigger; directly behind the projects.
    case trigger = 12
    /// One firing that waits or is pending.
    case firing = 13
    /// Times at which a trigger with a cap fired.
    case firedTimes = 14
}

/// Numbers of the item format. Source: docs/formats/snapshot.md, "Items".
package enum SnapshotFormat {
    /// Version of the items, which a snapshot begins with; the container has its own.
    package static let version: UInt32 = 2
    /// The oldest version that is read: one project, and no item names a project but profiles.
    static let oldestVersion: UInt32 = 1
    /// Times that are read, in microseconds since 1970: up to the last one of the year 9999. The
    /// longest time of the contract can be added to each of them.
    static let times: ClosedRange<Int64> = 0 ... 253_402_300_799_999_999
    /// Revisions, and counts of what was lost or folded, that are read: a thousand changes a second
    /// for 8,000 years, and the sum of those of 30,000 profiles does not overflow.
    static let counts: ClosedRange<UInt64> = 0 ... 1 << 48
    /// Kind, zeros, length of the body.
    static let itemHeaderBytes = 8
    /// Blocked identifiers in one item.
    static let blocksPerItem = 1_024
    /// A block is closed by the first item that brings it to this size, in bytes.
    static let blockBytes = 1 << 20
    /// Fixed fields of a profile's body, in bytes: reference, project, mergedInto, and seven
    /// lengths; id, revision, lsn, four times.
    static let profileFixedBytes = 10 * 4 + 2 * 8 + 2 * 8 + 4 * 8
    /// Bytes of an event block before its holder, which is not written: it is the
    /// profile that lists the event.
    static let eventBytesBeforeHolder = 24
    static let holderBytes = 4
}

/// Bytes of a snapshot that are ready to be written; made by the applier, handed over as a whole.
// SAFETY: one thread at a time has a block: the applier fills it and hands it over under a lock,
// and the thread that takes it only reads it.
package final class SnapshotBlock: @unchecked Sendable {
    var buffer = ByteBuffer(capacity: SnapshotFormat.blockBytes + SnapshotFormat.blockBytes / 8)

    init() {}

    package var bytes: UnsafeRawBufferPointer { self.buffer.bytes }
}
