import Bytes

/// How a read ended.
package struct ReadOutcome: Equatable, Sendable {
    package enum Finding: Equatable, Sendable {
        /// An image was appended; `redirected`: through an alias, so that what was asked for goes into `redirected_from`.
        case found(redirected: Bool)
        case notFound
    }

    package var finding: Finding
    /// Every record up to this lsn is part of what was read.
    package var appliedLSN: UInt64
}

extension Store {
    /// Reads the profile that an identifier names, and appends its `ProfileImage`. Any thread.
    ///
    /// - Parameters:
    ///   - project: An unknown one holds nothing.
    ///   - now: In microseconds; events past the retention at this time count as dropped.
    ///   - buffer: Unchanged if nothing is found.
    /// - Complexity: O(bytes of the image); two locks, one after the other, the second held while the parts are copied.
    package func read(
        project: ProjectID, identifier: IdentifierView, now: Int64, into buffer: inout ByteBuffer
    ) -> ReadOutcome {
        let hash = self.hash.identifier(project, identifier)
        let start = buffer.count
        var number = 0
        var version: UInt64 = 0
        while true {
            let candidate = self.index.candidate(hash, number) { self.appliedLSN }
            if number > 0, candidate.version != version {
                // The shard changed since the last candidate: begin again with what it says now.
                number = 0
                continue
            }
            version = candidate.version
            guard let profile = candidate.profile else {
                return ReadOutcome(finding: .notFound, appliedLSN: candidate.appliedLSN)
            }
            if let copy = self.copy(profile, project, identifier, now, into: &buffer) {
                self.encode(copy, from: start, in: &buffer)
                return ReadOutcome(finding: .found(redirected: false), appliedLSN: copy.appliedLSN)
            }
            number += 1
        }
    }

    /// What was copied under the lock: the header, and behind `start` the identity and the counters.
    private struct ProfileCopy {
        var header: ProfileHeader
        var eventsTruncatedBefore: Int64
        var appliedLSN: UInt64
    }

    /// Copies a profile's bytes under its lock; `nil` if it is not called so.
    private func copy(
        _ profile: ProfileRef, _ project: ProjectID, _ identifier: IdentifierView, _ now: Int64,
        into buffer: inout ByteBuffer
    ) -> ProfileCopy? {
        self.profileLocks.with(profile.shard) {
            let header = self.pool.header(profile).pointee
            guard self.holds(header, project, identifier) else { return nil }
            buffer.append(UnsafeRawBufferPointer(
                start: self.slab.pointer(header.identity), count: Int(header.identityBytes)))
            if header.counterCount > 0 {
                buffer.append(UnsafeRawBufferPointer(
                    start: self.slab.pointer(header.counters),
                    count: Int(header.counterCount) * MemoryLayout<CounterEntry>.stride))
            }
            return ProfileCopy(
                header: header, eventsTruncatedBefore: self.truncatedBefore(header, now), appliedLSN: self.appliedLSN)
        }
    }

    /// One past the newest event that is dropped or past due; 0: none is. Under the profile's lock.
    func truncatedBefore(_ header: ProfileHeader, _ now: Int64) -> Int64 {
        guard header.eventCount > 0 else { return header.eventsTruncatedBefore }
        let since = self.retainedSince(now)
        let events = self.slab.pointer(header.events).assumingMemoryBound(to: Handle.self)
            + Int(header.eventHead)
        var (low, high) = (0, Int(header.eventCount))
        guard EventBlock(self.slab.pointer(events[0])).effectiveTime < since else {
            return header.eventsTruncatedBefore
        }
        while low < high {
            let middle = (low + high) / 2
            if EventBlock(self.slab.pointer(events[middle])).effectiveTime < since {
                low = middle + 1
            } else {
                high = middle
            }
        }
        let newest = EventBlock(self.slab.pointer(events[low - 1])).effectiveTime
        return max(header.eventsTruncatedBefore, newest + 1)
    }

    /// Turns the copied bytes behind `start` into an image, without a lock.
    private func encode(_ copy: ProfileCopy, from start: Int, in buffer: inout ByteBuffer) {
        let copied = buffer.count - start
        let header = copy.header
        // The image is written behind the copy, of which it is made. It is at most this long, so the copy does not move.
        buffer.reserve(256 + copied * 3 + Int(header.counterCount) * (NameTable.nameBytesMax + 2))
        let identity = IdentityPart(buffer.base + start)
        let state: ProfileState = identity.customID.count > 0 ? .identified : .anonymous
        ProfileImage(
            profileID: header.id, state: state, revision: header.revision, lsn: header.lsn,
            createdAt: header.createdAt, updatedAt: header.updatedAt, lastSeenAt: header.lastSeenAt,
            eventsTruncatedBefore: copy.eventsTruncatedBefore, customID: identity.customID
        ).writeFixedPart(into: &buffer)
        buffer.appendVarint(UInt64(identity.installationCount))
        identity.forEachInstallation { installation in
            buffer.appendPrefixed(installation.id)
            buffer.append(installation.platform)
            buffer.append(installation.attachedAt)
            buffer.append(installation.lastSeenAt)
        }
        // No aliases before there are merges.
        buffer.appendVarint(0)
        buffer.appendVarint(UInt64(header.counterCount))
        for index in 0 ..< Int(header.counterCount) {
            let offset = start + Int(header.identityBytes) + index * MemoryLayout<CounterEntry>.stride
            let counter = buffer.bytes.loadUnaligned(fromByteOffset: offset, as: CounterEntry.self)
            buffer.appendPrefixed(self.project.names.name(Int(counter.name)))
            buffer.append(counter.count)
            buffer.append(counter.first)
            buffer.append(counter.last)
        }
        // No attributes before there is Identify.
        buffer.appendVarint(0)
        let imageBytes = buffer.count - start - copied
        (buffer.base + start).copyMemory(from: buffer.base + start + copied, byteCount: imageBytes)
        buffer.truncate(to: start + imageBytes)
    }
}
