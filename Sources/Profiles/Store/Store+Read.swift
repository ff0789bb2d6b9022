import Bytes

// SAFETY: headers and blocks are read under the lock of their shard and copied before it is
// released; images are made of the copy, at offsets of parts that were just appended to it.

/// How a read ended.
package struct ReadOutcome: Equatable, Sendable {
    package enum Finding: Equatable, Sendable {
        /// An image was appended; `redirected`: through an alias, so that the identifier of the
        /// request goes into `redirected_from`.
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
    /// - Complexity: O(bytes of the image); two locks, one after the other, the second held while
    ///   the parts are copied.
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
                // The shard changed since the last candidate: begin again with its present entries.
                number = 0
                continue
            }
            version = candidate.version
            guard let profile = candidate.profile else {
                return ReadOutcome(finding: .notFound, appliedLSN: candidate.appliedLSN)
            }
            if let (copy, isAlias) = self.copyFollowing(
                profile, project, identifier, now, into: &buffer)
            {
                self.encode(copy, from: start, in: &buffer)
                return ReadOutcome(
                    finding: .found(redirected: isAlias), appliedLSN: copy.appliedLSN)
            }
            number += 1
        }
    }

    /// Copies the profile, or the one that it was merged into; `nil` if it is not called so.
    private func copyFollowing(
        _ profile: ProfileRef, _ project: ProjectID, _ identifier: IdentifierView, _ now: Int64,
        into buffer: inout ByteBuffer
    ) -> (copy: ProfileCopy, isAlias: Bool)? {
        var next = profile
        while true {
            let isAlias = next != profile
            switch self.copy(next, project, isAlias ? nil : identifier, now, into: &buffer) {
            case .copied(let copy): return (copy, isAlias)
            case .mergedInto(let survivor): next = survivor
            case .notCalledSo: return nil
            }
        }
    }

    /// What was copied under the lock: the header, and behind `start` the identity and the
    /// counters.
    struct ProfileCopy {
        var header: ProfileHeader
        var eventsTruncatedBefore: Int64
        var appliedLSN: UInt64
    }

    private enum CopyOutcome {
        case copied(ProfileCopy)
        case mergedInto(ProfileRef)
        case notCalledSo
    }

    /// Copies a profile's bytes under its lock.
    ///
    /// - Parameter identifier: `nil`: it was reached through a merge, so it need not be called so.
    private func copy(
        _ profile: ProfileRef, _ project: ProjectID, _ identifier: IdentifierView?, _ now: Int64,
        into buffer: inout ByteBuffer
    ) -> CopyOutcome {
        self.profileLocks.with(profile.shard) {
            let header = self.pool.header(profile).pointee
            // Behind a merge the slot may be another project's by now.
            guard header.project == project,
                identifier.map({ self.identities.holds(header, project, $0) }) ?? true
            else { return .notCalledSo }
            guard !header.isErased else { return .notCalledSo }
            guard header.isLive else { return .mergedInto(ProfileRef(rawValue: header.mergedInto)) }
            return .copied(self.copyParts(of: header, now, into: &buffer))
        }
    }

    /// Appends a copy of what an image is made of. Under the profile's lock.
    func copyParts(of header: ProfileHeader, _ now: Int64, into buffer: inout ByteBuffer)
        -> ProfileCopy
    {
        self.append(header.identity, Int(header.identityBytes), to: &buffer)
        self.append(
            header.counters, Int(header.counterCount) * MemoryLayout<CounterEntry>.stride,
            to: &buffer)
        self.append(header.attributes, Int(header.attributesBytes), to: &buffer)
        self.append(header.consent, Int(header.consentBytes), to: &buffer)
        return ProfileCopy(
            header: header, eventsTruncatedBefore: self.truncatedBefore(header, now),
            appliedLSN: self.appliedLSN)
    }

    func append(_ block: Handle, _ bytes: Int, to buffer: inout ByteBuffer) {
        self.slab.append(block, bytes, to: &buffer)
    }

    /// One past the newest event that is dropped or past due; 0: none is. Under the profile's lock.
    func truncatedBefore(_ header: ProfileHeader, _ now: Int64) -> Int64 {
        self.eventStore.truncatedBefore(header, since: self.retainedSince(now, in: header.project))
    }

    /// Turns the copied bytes behind `start` into an image, without a lock.
    func encode(_ copy: ProfileCopy, from start: Int, in buffer: inout ByteBuffer) {
        let copied = buffer.count - start
        let header = copy.header
        let countersOffset = start + header.copiedCountersOffset
        let attributesOffset = start + header.copiedAttributesOffset
        let attributes =
            header.attributes == 0
            ? nil : AttributePart(UnsafeRawPointer(buffer.base) + attributesOffset)
        // The image is written behind the copy, of which it is made. It is at most this long, so
        // the copy does not move.
        buffer.reserve(
            256 + copied * 3 + Int(header.counterCount) * (NameTable.nameBytesMax + 2)
                + (attributes?.imageBytesMax ?? 0))
        let names = self.projects.names(of: header.project)
        let identity = IdentityPart(buffer.base + start)
        let state: ProfileState = identity.customID.count > 0 ? .identified : .anonymous
        ProfileImage(
            profileID: header.id, state: state, revision: header.revision, lsn: header.lsn,
            createdAt: header.createdAt, updatedAt: header.updatedAt, lastSeenAt: header.lastSeenAt,
            eventsTruncatedBefore: copy.eventsTruncatedBefore, customID: identity.customID
        ).writeFixedPart(into: &buffer)
        self.encode(identity, into: &buffer)
        buffer.appendVarint(UInt64(header.counterCount))
        for index in 0 ..< Int(header.counterCount) {
            let offset = countersOffset + index * MemoryLayout<CounterEntry>.stride
            let counter = buffer.bytes.loadUnaligned(fromByteOffset: offset, as: CounterEntry.self)
            buffer.appendPrefixed(names.name(Int(counter.name)))
            buffer.append(counter.count)
            buffer.append(counter.first)
            buffer.append(counter.last)
        }
        if header.attributes == 0 {
            buffer.appendVarint(0)
        } else {
            AttributePart(UnsafeRawPointer(buffer.base) + attributesOffset).appendImage(
                names, totalBytes: Int(header.attributesBytes), to: &buffer)
        }
        self.encodeSubscriptions(
            header, at: start + header.copiedConsentOffset, in: &buffer)
        let imageBytes = buffer.count - start - copied
        (buffer.base + start).copyMemory(from: buffer.base + start + copied, byteCount: imageBytes)
        buffer.truncate(to: start + imageBytes)
    }

    private func encode(_ identity: IdentityPart, into buffer: inout ByteBuffer) {
        buffer.appendVarint(UInt64(identity.installationCount))
        identity.forEachInstallation { installation in
            buffer.appendPrefixed(installation.id)
            buffer.append(installation.platform)
            buffer.append(installation.attachedAt)
            buffer.append(installation.lastSeenAt)
        }
        buffer.appendVarint(UInt64(identity.aliasCount))
        identity.forEachAlias { alias in
            buffer.append(alias.kind.rawValue)
            buffer.appendPrefixed(alias.bytes)
        }
    }

    /// Appends the list of subscriptions, whose packed form is at `offset`.
    private func encodeSubscriptions(
        _ header: ProfileHeader, at offset: Int, in buffer: inout ByteBuffer
    ) {
        // An item of the list is shorter than what it is made of, so the copy does not move.
        let bytes = UnsafeRawBufferPointer(
            start: buffer.base + offset, count: Int(header.consentBytes))
        ConsentPart(bytes).appendImage(to: &buffer)
    }
}

// Where `copyParts` puts the parts of a profile, in bytes from the first one.
extension ProfileHeader {
    var copiedCountersOffset: Int { Int(self.identityBytes) }

    var copiedAttributesOffset: Int {
        self.copiedCountersOffset + Int(self.counterCount) * MemoryLayout<CounterEntry>.stride
    }

    var copiedConsentOffset: Int { self.copiedAttributesOffset + Int(self.attributesBytes) }

    /// Bytes of all of them.
    var copiedBytes: Int { self.copiedConsentOffset + Int(self.consentBytes) }
}
