import Bytes

// Which profiles have an address: a second index of hashes, changed with the profiles in one
// commit. A lookup compares the address with the profile's, so equal hashes cost time only.
//
// SAFETY: `changes` is one element that `Store` owns; only the applier follows it. Headers are read
// by the applier, the only thread that changes them.

extension Store {
    /// Called when a profile's e-mail address or phone number may change, before the change is
    /// committed.
    ///
    /// - Parameter old: The header with the attributes so far; `nil`: a new profile.
    func addressesChanged(_ profile: ProfileRef, from old: ProfileHeader?, to new: AttributeDraft) {
        for (native, channel) in [
            (NativeAttribute.emailAddress, Channel.email), (.phoneNumber, .sms),
        ] {
            guard let number = self.project.names.find(native.nameBytes) else { continue }
            let before = old.flatMap { self.addressHash(in: $0, number, channel) }
            let after = new.entries.first { $0.name == number && $0.kind == .value }
                .map { self.addressIndexHash(self.project.id, channel, Self.text(of: $0.value)) }
            guard before != after else { continue }
            if let before { self.changeAddress(profile, before, isRemoval: true) }
            if let after { self.changeAddress(profile, after, isRemoval: false) }
        }
    }

    private func changeAddress(_ profile: ProfileRef, _ hash: UInt64, isRemoval: Bool) {
        self.changes.pointee.addresses.append(
            IdentifierIndex.Change(
                hash: IdentifierIndex.spread(hash, for: profile), profile: profile,
                isRemoval: isRemoval))
    }

    private func addressHash(in header: ProfileHeader, _ number: Int, _ channel: Channel) -> UInt64?
    {
        self.address(in: header, number).map { self.addressIndexHash(header.project, channel, $0) }
    }

    /// The address that a profile has under a name's number; for the applier, or under the
    /// profile's lock.
    func address(in header: ProfileHeader, _ number: Int) -> UnsafeRawBufferPointer? {
        guard header.attributes != 0 else { return nil }
        return AttributePart(self.slab.pointer(header.attributes))
            .value(number, totalBytes: Int(header.attributesBytes)).map { Self.text(of: $0) }
    }

    func addressIndexHash(
        _ project: ProjectID, _ channel: Channel, _ address: UnsafeRawBufferPointer
    ) -> UInt64 {
        self.addressHash(project, channel, address).low
    }

    /// The text of a packed string.
    static func text(of value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var reader = ByteReader(value)
        _ = reader.read(UInt8.self)
        return reader.readPrefixed()
    }
}
