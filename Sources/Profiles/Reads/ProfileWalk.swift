// Counts, lists and exports pass all profiles of a project, a piece at a time, while writes go on.
//
// The order is that of the slots of the store: shard by shard, and in a shard slot by slot. A
// profile has its slot from its creation until its project is gone: no write moves it, a merge and
// an erasure leave the slot where it is, a snapshot names the slots and a replay gives the same
// ones. So a position is a number that means the same after a restart, and a profile that exists
// throughout a walk is passed exactly once. One that is created meanwhile may be passed or not, and
// one that is merged away or erased meanwhile may have been passed before.
//
// SAFETY: headers are read under the lock of their shard, below the count that is read under the
// same lock; a visitor gets them for one call, under that lock.

/// A cursor over the live profiles of one project.
///
/// To go on later, also after a restart, keep `position`, and make a walk of it again.
package struct ProfileWalk: Equatable, Sendable {
    package let project: ProjectID
    /// The next slot. Layout: `shard << 32 | slot`; `endPosition` behind the last shard.
    package private(set) var position: UInt64

    /// The position of a walk that has passed everything.
    package static let endPosition = UInt64(Shards.count) << 32

    /// A walk from a position of an earlier one, or from the beginning. One behind the end is at
    /// the end.
    package init(_ project: ProjectID, from position: UInt64 = 0) {
        self.project = project
        self.position = min(position, Self.endPosition)
    }

    /// Whether everything was passed.
    package var isAtEnd: Bool { self.position == Self.endPosition }

    /// Where a walk is that passes a profile next.
    static func position(of profile: ProfileRef) -> UInt64 {
        UInt64(profile.shard) << 32 | UInt64(profile.slot)
    }

    var shard: Int { Int(self.position >> 32) }
    var slot: Int { Int(self.position & 0xFFFF_FFFF) }

    fileprivate mutating func move(toSlot slot: Int) {
        self.position = UInt64(self.shard) << 32 | UInt64(slot)
    }

    fileprivate mutating func moveToNextShard() {
        self.position = UInt64(self.shard + 1) << 32
    }
}

/// How a visitor goes on.
enum WalkStep {
    case next
    /// This piece ends behind the profile.
    case stop
    /// This piece ends before the profile, which comes first in the next one.
    case stopBefore
}

/// The parts of profiles that a visitor is going to look at.
struct ProfileParts: OptionSet, BitwiseCopyable {
    let rawValue: UInt8

    static let identity = ProfileParts(rawValue: 1)
    static let attributes = ProfileParts(rawValue: 2)
    static let counters = ProfileParts(rawValue: 4)
    static let consent = ProfileParts(rawValue: 8)
    static let all: ProfileParts = [.identity, .attributes, .counters, .consent]
}

extension Store {
    /// Profiles whose parts are fetched together, so that the waits for memory overlap: their first
    /// lines stay in the nearest cache until they are used.
    private static let walkGroupSlots = 16
    /// Bytes of a part that are fetched ahead; the machine itself fetches what is read on from
    /// there.
    private static let walkFetchedBytes = 256
    /// Bytes of a line of the cache.
    private static let walkLineBytes = 64

    /// Slots of the whole store, of any project, in use or not: what a walk has to pass. Any
    /// thread.
    ///
    /// - Complexity: O(shards), one lock at a time.
    package var slotCount: Int {
        (0 ..< Shards.count).reduce(0) { sum, shard in
            sum + self.profileLocks.with(shard) { self.pool.count(shard) }
        }
    }

    /// Passes the next piece of a walk: up to `slots` slots, within one shard. Any thread.
    ///
    /// - Parameters:
    ///   - slots: At least 1; those of other projects, and those that no profile has, count too.
    ///   - parts: What `visit` is going to look at.
    ///   - visit: Gets each live profile of the project, under the lock of its shard, which the
    ///     applier waits for: it copies or compares, and takes no other lock but one of
    ///     suppressions. `appliedLSN` is the lsn at which the profile is seen.
    /// - Returns: Slots that were passed.
    /// - Complexity: O(slots) and the visits; one lock.
    @inline(__always) @discardableResult
    func advance(
        _ walk: inout ProfileWalk, slots: Int, fetching parts: ProfileParts,
        visit: (ProfileRef, UnsafePointer<ProfileHeader>) -> WalkStep
    ) -> Int {
        guard !walk.isAtEnd else { return 0 }
        let (shard, start) = (walk.shard, walk.slot)
        return self.profileLocks.with(shard) {
            let count = self.pool.count(shard)
            let end = min(count, start + slots)
            var slot = start
            while slot < end {
                let groupEnd = min(slot + Self.walkGroupSlots, end)
                self.fetch(parts, of: slot ..< groupEnd, in: shard, project: walk.project)
                while slot < groupEnd {
                    let profile = ProfileRef(shard: shard, slot: slot)
                    let header = UnsafePointer(self.pool.header(profile))
                    slot += 1
                    guard header.pointee.project == walk.project, header.pointee.isLive else {
                        continue
                    }
                    switch visit(profile, header) {
                    case .next: continue
                    case .stop: walk.move(toSlot: slot)
                    case .stopBefore: walk.move(toSlot: slot - 1)
                    }
                    return walk.slot - start
                }
            }
            if end < count { walk.move(toSlot: end) } else { walk.moveToNextShard() }
            return max(end - start, 0)
        }
    }

    /// Loads the first lines of the parts of some profiles, one independent of the other.
    @inline(__always)
    private func fetch(
        _ parts: ProfileParts, of slots: Range<Int>, in shard: Int, project: ProjectID
    ) {
        guard !parts.isEmpty else { return }
        var seen: UInt64 = 0
        for slot in slots {
            let header = self.pool.header(ProfileRef(shard: shard, slot: slot))
            guard header.pointee.project == project, header.pointee.isLive else { continue }
            if parts.contains(.identity) {
                seen &+= self.fetch(header.pointee.identity, Int(header.pointee.identityBytes))
            }
            if parts.contains(.attributes) {
                seen &+= self.fetch(header.pointee.attributes, Int(header.pointee.attributesBytes))
            }
            if parts.contains(.counters) {
                let bytes = Int(header.pointee.counterCount) * MemoryLayout<CounterEntry>.stride
                seen &+= self.fetch(header.pointee.counters, bytes)
            }
            if parts.contains(.consent) {
                seen &+= self.fetch(header.pointee.consent, Int(header.pointee.consentBytes))
            }
        }
        // Always true, and not known to the compiler, which so cannot leave the loads out.
        precondition(seen <= UInt64(UInt32.max), "the sum of a few bytes")
    }

    @inline(__always)
    private func fetch(_ block: Handle, _ bytes: Int) -> UInt64 {
        guard block != 0 else { return 0 }
        let memory = self.slab.pointer(block)
        var seen: UInt64 = 0
        var offset = 0
        while offset < min(bytes, Self.walkFetchedBytes) {
            seen &+= UInt64(memory.load(fromByteOffset: offset, as: UInt8.self))
            offset += Self.walkLineBytes
        }
        return seen
    }
}
