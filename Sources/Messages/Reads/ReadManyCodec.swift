import Bytes
import CMessages
import Profiles

// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it until the next `decode`; responses are made in the encoder's arena and
// serialised before its reset. Counts (`n_...`) bound every array.

/// A valid BatchGetProfilesRequest; what it borrows lies in the arena.
package struct DecodedBatchGetProfiles: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    package var identifiers: [IdentifierView]
    package var mask: ReadMask
    package var minLSN: UInt64
}

/// A valid LookupProfilesRequest; what it borrows lies in the arena.
package struct DecodedLookupProfiles: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    /// E-mail or SMS.
    package var channel: Channel
    package var address: UnsafeRawBufferPointer
    package var mask: ReadMask
    package var minLSN: UInt64
}

// Profiles are serialised one by one, so that a response needs no more of the arena than its
// largest profile.
extension MessageDecoder {
    /// Profiles of one BatchGetProfiles.
    package static let batchGetProfilesMax = 200
    /// Bytes of a response with several profiles; clients take 4 MiB unless told otherwise.
    package static let responseBytesMax = 4 << 20

    /// Decodes and validates a BatchGetProfilesRequest.
    package func decodeBatchGetProfiles(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedBatchGetProfiles
    > {
        self.decode(message, as: WireSchema.shared.batchGetProfilesRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedBatchGetProfiles(
                project: ValuePacker.text(request.pointee.project),
                identifiers: self.identifiers(request),
                mask: self.mask(
                    request.pointee.read_mask, withMetadata: request.pointee.metadata != 0),
                minLSN: request.pointee.min_lsn)
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
}

extension MessageEncoder {
    /// Appends the BatchGetProfilesResponse; false if it is larger than a response may be.
    package func encodeBatchGetProfilesResponse(
        _ images: ProfileImages, in buffer: UnsafeRawBufferPointer,
        of request: DecodedBatchGetProfiles,
        into output: inout ByteBuffer
    ) -> Bool {
        let start = output.count
        self.packRest(of: images, request)
        for (index, found) in images.profiles.enumerated() {
            guard let found else { continue }
            // Field 1, a message: measured in a buffer of its own.
            self.item.removeAll()
            Self.writeGetProfileResponse(
                images.image(found, in: buffer), mask: request.mask,
                redirectedFrom: found.isRedirected ? request.identifiers[index] : nil,
                appliedLSN: images.appliedLSN, into: &self.item)
            output.append(UInt8(1 << 3 | 2))
            output.appendPrefixed(self.item.bytes)
            guard output.count - start + self.scratch.count <= MessageDecoder.responseBytesMax
            else {
                return false
            }
        }
        output.append(self.scratch.bytes)
        return true
    }

    /// Packs what follows the profiles into the scratch: its size counts before the last profile.
    private func packRest(of images: ProfileImages, _ request: DecodedBatchGetProfiles) {
        self.arena.reset()
        let rest = self.arena.make(profiles__v1__batch_get_profiles_response__init)
        rest.pointee.missing = self.arena.pointers(images.profiles.count)
        for (index, found) in images.profiles.enumerated() where found == nil {
            rest.pointee.missing[rest.pointee.n_missing] = self.identifierMessage(
                request.identifiers[index])
            rest.pointee.n_missing += 1
        }
        rest.pointee.lsn = images.appliedLSN
        self.scratch.removeAll()
        Self.pack(UnsafeMutableRawPointer(rest), into: &self.scratch)
    }
}

extension MessageDecoder {
    /// Decodes and validates a LookupProfilesRequest.
    package func decodeLookupProfiles(_ message: UnsafeRawBufferPointer) -> Decoded<
        DecodedLookupProfiles
    > {
        self.decode(message, as: WireSchema.shared.lookupProfilesRequest) { request in
            self.checkProject(request.pointee.project)
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
            return DecodedLookupProfiles(
                project: ValuePacker.text(request.pointee.project), channel: channel,
                address: address,
                mask: self.mask(request.pointee.read_mask, withMetadata: false),
                minLSN: request.pointee.min_lsn)
        }
    }
}

extension MessageEncoder {
    /// Appends the LookupProfilesResponse; false if it is larger than a response may be.
    package func encodeLookupProfilesResponse(
        _ images: ProfileImages, in buffer: UnsafeRawBufferPointer, mask: ReadMask,
        into output: inout ByteBuffer
    ) -> Bool {
        let start = output.count
        for found in images.profiles {
            guard let found else { continue }
            Self.writeProfileField(images.image(found, in: buffer), mask: mask, into: &output)
            guard output.count - start <= MessageDecoder.responseBytesMax else { return false }
        }
        self.arena.reset()
        let rest = self.arena.make(profiles__v1__lookup_profiles_response__init)
        rest.pointee.lsn = images.appliedLSN
        Self.pack(UnsafeMutableRawPointer(rest), into: &output)
        return true
    }
}
