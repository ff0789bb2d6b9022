import Bytes

/// The first record of a data directory: everything that `apply` needs and that no later flag may
/// change.
///
/// Layout of the payload, little-endian:
/// `directoryID: 16 bytes | hashKey: 2 x UInt64 | secret: 2 x UInt64 | limitCount: UInt16 | (limit:
/// UInt16, value: UInt64) each`, limits in ascending order.
package struct Genesis: Equatable, Sendable {
    /// Names this directory; also in every segment header.
    package var directoryID: ProfileID
    /// Keys every table whose keys a client chooses.
    package var hashKey: SipHashKey
    /// Keys the derivation of profile ids, event ids and tokens.
    package var secret: SipHashKey
    package var limits: StoreLimits

    package init(
        directoryID: ProfileID, hashKey: SipHashKey, secret: SipHashKey, limits: StoreLimits
    ) {
        self.directoryID = directoryID
        self.hashKey = hashKey
        self.secret = secret
        self.limits = limits
    }
}

/// Every limit of stored state that can change an outcome. Set by the genesis record, never by a
/// flag.
package struct StoreLimits: Equatable, Sendable {
    /// Retained events of one profile.
    package var eventsPerProfile: UInt64 = 1_000
    /// Retention of events, in seconds.
    package var eventRetentionSeconds: UInt64 = 90 * 86_400
    /// How late an event may be, in seconds.
    package var lateWindowSeconds: UInt64 = 86_400
    /// How far ahead of `received_at` an event may be, in seconds; it is then taken as
    /// `received_at`.
    package var aheadWindowSeconds: UInt64 = 300
    /// Installations of one profile.
    package var installationsPerProfile: UInt64 = 100
    /// Counted event names of one profile.
    package var countersPerProfile: UInt64 = 300
    /// Interned attribute and event names of one project.
    package var namesPerProject: UInt64 = 65_535
    /// Kept request ids of one project.
    package var requestIDsPerProject: UInt64 = 1_000_000
    /// Bytes of kept responses of one project.
    package var requestIDBytesPerProject: UInt64 = 128 << 20
    /// How long a request id is kept, in seconds.
    package var requestIDSeconds: UInt64 = 86_400
    /// Custom attributes of one profile.
    package var attributesPerProfile: UInt64 = 50
    /// How long a merge can be undone, in seconds.
    package var mergeSeconds: UInt64 = 30 * 86_400
    /// Merges of one project that can be undone; each keeps the state of one profile.
    package var mergesPerProject: UInt64 = 1_000_000
    /// How long the identifiers of an erased person stay blocked, in seconds.
    package var blockSeconds: UInt64 = 30 * 86_400
    /// Blocked identifiers of one project: with their tables at most 250 MiB. Over it the oldest
    /// can be used again.
    package var blocksPerProject: UInt64 = 4_000_000
    /// Projects, those that are being deleted too: a record of one is 400 bytes, and a tick may
    /// look at all of them.
    package var projectsMax: UInt64 = 10_000

    package init() {}
}
