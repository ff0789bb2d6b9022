import Bytes
import CMessages
import Profiles

// SAFETY: C messages are made in the encoder's arena, with arrays as long as their counts, and are
// serialised before its next reset.

extension MessageEncoder {
    /// Reads the image's list of attributes: native ones, custom ones and, if asked for, when and
    /// by what each was written.
    func readAttributes(
        _ lists: inout ByteReader, _ mask: ReadMask,
        into profile: UnsafeMutablePointer<Profiles__V1__Profile>
    ) {
        let count = Int(lists.readVarint())
        if mask.contains(.attributes) { profile.pointee.attributes = self.arena.pointers(count) }
        if mask.contains(.attributeMetadata) {
            profile.pointee.attribute_metadata = self.arena.pointers(count)
        }
        for _ in 0 ..< count {
            let name = lists.readPrefixed()
            let value = self.value(&lists)
            let metadata = self.metadata(&lists)
            if mask.contains(.attributeMetadata) { self.add(metadata, name, to: profile) }
            if let native = NativeAttribute(name: name) {
                if mask.contains(.native) { self.set(native, value.pointee.string, in: profile) }
            } else if mask.contains(.attributes) {
                let entry = self.arena.make(profiles__v1__profile__attributes_entry__init)
                entry.pointee.key = self.arena.string(name)
                entry.pointee.value = value
                profile.pointee.attributes[profile.pointee.n_attributes] = entry
                profile.pointee.n_attributes += 1
            }
        }
    }

    private func metadata(_ lists: inout ByteReader) -> UnsafeMutablePointer<
        Profiles__V1__AttributeMetadata
    > {
        let metadata = self.arena.make(profiles__v1__attribute_metadata__init)
        metadata.pointee.effective_time = self.timestamp(lists.read())
        metadata.pointee.lsn = lists.read()
        let platform = lists.read(UInt8.self)
        metadata.pointee.source = self.sourceMessage(platform: platform, name: lists.readPrefixed())
        return metadata
    }

    /// A source; `nil` if nothing of it is known.
    func sourceMessage(platform: UInt8, name: UnsafeRawBufferPointer) -> UnsafeMutablePointer<
        Profiles__V1__Source
    >? {
        guard platform != 0 || name.count > 0 else { return nil }
        let source = self.arena.make(profiles__v1__source__init)
        source.pointee.platform = Profiles__V1__Platform(rawValue: UInt32(platform))
        source.pointee.name = self.arena.string(name)
        return source
    }

    private func add(
        _ metadata: UnsafeMutablePointer<Profiles__V1__AttributeMetadata>,
        _ name: UnsafeRawBufferPointer,
        to profile: UnsafeMutablePointer<Profiles__V1__Profile>
    ) {
        let entry = self.arena.make(profiles__v1__profile__attribute_metadata_entry__init)
        entry.pointee.key = self.arena.string(name)
        entry.pointee.value = metadata
        profile.pointee.attribute_metadata[profile.pointee.n_attribute_metadata] = entry
        profile.pointee.n_attribute_metadata += 1
    }

    private func set(
        _ native: NativeAttribute, _ text: UnsafeMutablePointer<CChar>?,
        in profile: UnsafeMutablePointer<Profiles__V1__Profile>
    ) {
        if profile.pointee.native == nil {
            profile.pointee.native = self.arena.make(profiles__v1__native_attributes__init)
        }
        let value = self.arena.make(google__protobuf__string_value__init)
        value.pointee.value = text
        switch native {
        case .emailAddress: profile.pointee.native.pointee.email_address = value
        case .phoneNumber: profile.pointee.native.pointee.phone_number = value
        case .language: profile.pointee.native.pointee.language = value
        case .region: profile.pointee.native.pointee.region = value
        case .timezone: profile.pointee.native.pointee.timezone = value
        }
    }
}
