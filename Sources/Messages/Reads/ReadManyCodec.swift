import Bytes
import CMessages
import Profiles

/// A valid BatchGetProfilesRequest; what it borrows lies in the arena.
package struct DecodedBatchGetProfiles {
    package var project: UnsafeRawBufferPointer
    package var identifiers: [IdentifierView]
    package var mask: ReadMask
    package var minLSN: UInt64
    let request: UnsafeMutablePointer<Profiles__V1__BatchGetProfilesRequest>
}

/// A valid LookupProfilesRequest; what it borrows lies in the arena.
package struct DecodedLookupProfiles {
    package var project: UnsafeRawBufferPointer
    /// E-mail or SMS.
    package var channel: Channel
    package var address: UnsafeRawBufferPointer
    package var mask: ReadMask
    package var minLSN: UInt64
}

// Profiles are serialised one by one, so that an answer needs no more of the arena than its largest
// profile.
extension MessageDecoder {
    /// Profiles of one BatchGetProfiles.
    package static let batchGetProfilesMax = 200
    /// Bytes of an answer with several profiles; clients take 4 MiB unless told otherwise.
    package static let responseBytesMax = 4 << 20

    /// Decodes and validates a BatchGetProfilesRequest.
    package func decodeBatchGetProfiles(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedBatchGetProfiles
    > {
        self.decode(message, root: WireSchema.shared.batchGetProfilesRequest) {
            allocator, count, bytes in
            profiles__v1__batch_get_profiles_request__unpack(allocator, count, bytes)
        }.map { request in
            self.beginValidation(request.pointee.project)
            return self.validated(
                DecodedBatchGetProfiles(
                    project: ValuePacker.text(request.pointee.project),
                    identifiers: self.identifiers(request),
                    mask: self.mask(
                        request.pointee.read_mask, withMetadata: request.pointee.metadata != 0),
                    minLSN: request.pointee.min_lsn, request: request))
        }
    }

    private func identifiers(_ request: UnsafeMutablePointer<Profiles__V1__BatchGetProfilesRequest>)
        -> [IdentifierView]
    {
        let count = request.pointee.n_identifiers
        guard count <= Self.batchGetProfilesMax else {
            self.packer.add(
                "\(count) identifiers, at most \(Self.batchGetProfilesMax) are allowed",
                at: "identifiers")
            return []
        }
        var identifiers: [IdentifierView] = []
        identifiers.reserveCapacity(count)
        self.packer.path.push("identifiers")
        for index in 0 ..< count {
            self.packer.path.push(index: index)
            identifiers.append(self.identifierHere(request.pointee.identifiers[index]))
            self.packer.path.pop()
        }
        self.packer.path.pop()
        return identifiers
    }

    /// Appends the BatchGetProfilesResponse; false if it is larger than an answer may be.
    package func encodeBatchGetProfilesResponse(
        _ images: ProfileImages, in buffer: UnsafeRawBufferPointer,
        of request: DecodedBatchGetProfiles,
        into output: inout ByteBuffer
    ) -> Bool {
        // What was asked for lies in the arena, which the profiles reset: the rest of the answer
        // and the texts of aliases come first.
        let redirects = self.packRest(of: images, request)
        for found in images.profiles {
            guard let found else { continue }
            self.arena.reset()
            let part = self.arena.make(profiles__v1__batch_get_profiles_response__init)
            let item = self.arena.make(profiles__v1__get_profile_response__init)
            item.pointee.profile = self.profile(images.image(found, in: buffer), mask: request.mask)
            item.pointee.lsn = images.appliedLSN
            if found.isRedirected {
                item.pointee.redirected_from = self.arena.string(
                    redirects[found.image.lowerBound] ?? "")
            }
            part.pointee.n_profiles = 1
            part.pointee.profiles = self.arena.pointers(1)
            part.pointee.profiles[0] = item
            Self.pack(UnsafeMutableRawPointer(part), into: &output)
            guard output.count + self.scratch.count <= Self.responseBytesMax else { return false }
        }
        output.append(self.scratch.bytes)
        return true
    }

    /// Packs what follows the profiles into the scratch; returns the texts of the aliases by the
    /// places of their images.
    private func packRest(of images: ProfileImages, _ request: DecodedBatchGetProfiles) -> [Int:
        String]
    {
        var redirects: [Int: String] = [:]
        let rest = self.arena.make(profiles__v1__batch_get_profiles_response__init)
        rest.pointee.missing = self.arena.pointers(images.profiles.count)
        for (index, found) in images.profiles.enumerated() {
            if found == nil {
                rest.pointee.missing[rest.pointee.n_missing] =
                    request.request.pointee.identifiers[index]
                rest.pointee.n_missing += 1
            } else if let found, found.isRedirected {
                redirects[found.image.lowerBound] = String(
                    cString: self.identifierText(request.identifiers[index]))
            }
        }
        rest.pointee.lsn = images.appliedLSN
        self.scratch.removeAll()
        Self.pack(UnsafeMutableRawPointer(rest), into: &self.scratch)
        return redirects
    }

    /// Decodes and validates a LookupProfilesRequest.
    package func decodeLookupProfiles(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedLookupProfiles
    > {
        self.decode(message, root: WireSchema.shared.lookupProfilesRequest) {
            allocator, count, bytes in
            profiles__v1__lookup_profiles_request__unpack(allocator, count, bytes)
        }.map { request in
            self.beginValidation(request.pointee.project)
            var (channel, address) = (Channel.email, UnsafeRawBufferPointer(start: nil, count: 0))
            switch request.pointee.address_case {
            case PROFILES__V1__LOOKUP_PROFILES_REQUEST__ADDRESS_EMAIL_ADDRESS:
                address = ValuePacker.text(request.pointee.email_address)
                if let error = NativeRules.emailError(address) {
                    self.packer.add(error, at: "email_address")
                }
            case PROFILES__V1__LOOKUP_PROFILES_REQUEST__ADDRESS_PHONE_NUMBER:
                (channel, address) = (.sms, ValuePacker.text(request.pointee.phone_number))
                if let error = NativeRules.phoneError(address) {
                    self.packer.add(error, at: "phone_number")
                }
            default: self.packer.add("no address is set", at: "address")
            }
            return self.validated(
                DecodedLookupProfiles(
                    project: ValuePacker.text(request.pointee.project), channel: channel,
                    address: address,
                    mask: self.mask(request.pointee.read_mask, withMetadata: false),
                    minLSN: request.pointee.min_lsn))
        }
    }

    /// Appends the LookupProfilesResponse; false if it is larger than an answer may be.
    package func encodeLookupProfilesResponse(
        _ images: ProfileImages, in buffer: UnsafeRawBufferPointer, mask: ReadMask,
        into output: inout ByteBuffer
    ) -> Bool {
        for found in images.profiles {
            guard let found else { continue }
            self.arena.reset()
            let part = self.arena.make(profiles__v1__lookup_profiles_response__init)
            part.pointee.n_profiles = 1
            part.pointee.profiles = self.arena.pointers(1)
            part.pointee.profiles[0] = self.profile(images.image(found, in: buffer), mask: mask)
            Self.pack(UnsafeMutableRawPointer(part), into: &output)
            guard output.count <= Self.responseBytesMax else { return false }
        }
        let rest = self.arena.make(profiles__v1__lookup_profiles_response__init)
        rest.pointee.lsn = images.appliedLSN
        Self.pack(UnsafeMutableRawPointer(rest), into: &output)
        return true
    }
}
