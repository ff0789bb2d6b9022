import Bytes

// Reads of several profiles at once.
//
// SAFETY: headers and blocks are read and copied while the locks of their shards are held; images
// are made of the copies, where each part begins at a multiple of 8.

/// What a read of several profiles found.
package struct ProfileImages {
    /// One profile of the response.
    package struct Found {
        /// The range of its image in the buffer.
        package var image: Range<Int>
        /// It was asked for through an alias.
        package var isRedirected: Bool
    }

    /// In the order asked for; `nil`: no profile is called so.
    package var profiles: [Found?] = []
    /// Every record up to this lsn is part of what was read.
    package var appliedLSN: UInt64 = 0

    /// The image of a profile in `buffer`.
    package func image(_ found: Found, in buffer: UnsafeRawBufferPointer) -> ProfileImage {
        guard let image = ProfileImage(UnsafeRawBufferPointer(rebasing: buffer[found.image])) else {
            preconditionFailure("an image of this process is whole")
        }
        return image
    }
}

extension Store {
    /// Bytes that one read of several profiles may copy while nothing can change: about 5 ms.
    package static let copiedBytesMax = 16 << 20
    /// Profiles that a lookup by address responses.
    package static let lookupProfilesMax = 100

    /// The copy of one profile, and its position among the copies.
    struct Copied {
        var copy: ProfileCopy
        var bytes: Range<Int>
        var isRedirected: Bool
    }

    /// Reads profiles at one lsn, and appends their images. Any thread.
    ///
    /// - Returns: `nil`: they are larger than `copiedBytesMax` together.
    /// - Complexity: O(bytes of the images); all locks are held while the parts are copied.
    package func readMany(
        project: ProjectID, identifiers: [IdentifierView], now: Int64, into buffer: inout ByteBuffer
    ) -> ProfileImages? {
        var copies = ByteBuffer(capacity: 64 << 10)
        var copied: [Copied?] = []
        copied.reserveCapacity(identifiers.count)
        var applied: UInt64 = 0
        let fits = self.index.readingAll {
            self.profileLocks.with(mask: .max) { () -> Bool in
                applied = self.appliedLSN
                for identifier in identifiers {
                    copied.append(self.copyNow(project, identifier, now, into: &copies))
                    if copies.count > Self.copiedBytesMax { return false }
                }
                return true
            }
        }
        guard fits else { return nil }
        var images = ProfileImages()
        images.appliedLSN = applied
        for item in copied {
            images.profiles.append(item.map { self.appendImage(of: $0, copies.bytes, to: &buffer) })
        }
        return images
    }

    /// Copies the profile that an identifier names; all locks are held.
    private func copyNow(
        _ project: ProjectID, _ identifier: IdentifierView, _ now: Int64,
        into copies: inout ByteBuffer
    ) -> Copied? {
        let hash = self.hash.identifier(project, identifier)
        guard let found = self.identities.find(project, identifier, hash: hash) else { return nil }
        let header = self.pool.header(found.profile).pointee
        // While a project is removed, a profile that was merged away may lead to a slot that
        // another project has by now.
        guard header.project == project, header.isLive else { return nil }
        let start = copies.count
        let copy = self.copyParts(of: header, now, into: &copies)
        return Copied(copy: copy, bytes: start ..< copies.count, isRedirected: found.isAlias)
    }

    func appendImage(
        of item: Copied, _ copies: UnsafeRawBufferPointer, to buffer: inout ByteBuffer
    ) -> ProfileImages.Found {
        // Parts are read in place, as in the store, where each begins at a multiple of 8.
        buffer.pad(to: 8)
        let start = buffer.count
        buffer.append(UnsafeRawBufferPointer(rebasing: copies[item.bytes]))
        self.encode(item.copy, from: start, in: &buffer)
        return ProfileImages.Found(image: start ..< buffer.count, isRedirected: item.isRedirected)
    }

    /// Reads the profiles that have an address, in the order of their ids, and appends their
    /// images. Any thread.
    ///
    /// - Parameter channel: E-mail or SMS.
    /// - Returns: `nil`: there are more than `lookupProfilesMax`, or they are too large.
    /// - Complexity: O(bytes of the images); one lock at a time.
    package func lookupProfiles(
        project: ProjectID, channel: Channel, address: UnsafeRawBufferPointer, now: Int64,
        into buffer: inout ByteBuffer
    ) -> ProfileImages? {
        AddressKey.with(channel, address) {
            self.lookupProfiles(
                project: project, channel: channel, key: $0, now: now, into: &buffer)
        }
    }

    private func lookupProfiles(
        project: ProjectID, channel: Channel, key: UnsafeRawBufferPointer, now: Int64,
        into buffer: inout ByteBuffer
    ) -> ProfileImages? {
        let hash = self.hash.address(project, channel, key).low
        // A few more than are returned, as another address may have the same hash.
        let found = self.addresses.candidates(hash, max: Self.lookupProfilesMax * 2) {
            self.appliedLSN
        }
        var copies = ByteBuffer(capacity: 64 << 10)
        var copied: [Copied] = []
        for profile in found.profiles {
            let start = copies.count
            let copy = self.profileLocks.with(profile.shard) { () -> ProfileCopy? in
                let header = self.pool.header(profile).pointee
                guard header.isLive, header.project == project, self.has(header, channel, key)
                else { return nil }
                return self.copyParts(of: header, now, into: &copies)
            }
            guard let copy else { continue }
            copied.append(Copied(copy: copy, bytes: start ..< copies.count, isRedirected: false))
            guard copied.count <= Self.lookupProfilesMax, copies.count <= Self.copiedBytesMax else {
                return nil
            }
        }
        copied.sort {
            ($0.copy.header.id.high, $0.copy.header.id.low) < (
                $1.copy.header.id.high, $1.copy.header.id.low
            )
        }
        var images = ProfileImages()
        images.appliedLSN = found.appliedLSN
        for item in copied {
            images.profiles.append(self.appendImage(of: item, copies.bytes, to: &buffer))
        }
        return images
    }

    /// Whether a profile has an address with this key. Under its lock.
    private func has(_ header: ProfileHeader, _ channel: Channel, _ key: UnsafeRawBufferPointer)
        -> Bool
    {
        guard header.attributes != 0 else { return false }
        let native = channel == .email ? NativeAttribute.emailAddress : .phoneNumber
        let names = self.projects.names(of: header.project)
        var isThere = false
        AttributePart(self.slab.pointer(header.attributes)).forEachValue(
            totalBytes: Int(header.attributesBytes)
        ) { name, value in
            guard names.name(name).equals(native.nameBytes) else { return }
            isThere = AddressKey.with(channel, Self.text(of: value)) { $0.equals(key) }
        }
        return isThere
    }
}
