import Bytes
import CMessages
import Profiles

// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it until the next `decode`; responses are made in the encoder's arena and
// serialised before its reset. Filters own their texts.

/// A valid CountProfilesRequest; what it borrows lies in the arena.
package struct DecodedCountProfiles: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    package var filter: CompiledFilter
    package var minLSN: UInt64
}

/// A valid ListProfilesRequest; what it borrows lies in the arena.
package struct DecodedListProfiles: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    package var filter: CompiledFilter
    /// Profiles of a page, at least 1.
    package var pageSize: Int
    /// Empty: the first page.
    package var pageToken: UnsafeRawBufferPointer
    package var mask: ReadMask
    package var minLSN: UInt64
}

extension MessageDecoder {
    /// Profiles of a page, by default and at most.
    private static let profilePageSizeDefault = 100
    static let profilePageSizeMax = 1_000

    /// Decodes and validates a CountProfilesRequest.
    package func decodeCountProfiles(_ message: UnsafeRawBufferPointer)
        -> Decoded<DecodedCountProfiles>
    {
        self.decode(message, as: WireSchema.shared.countProfilesRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedCountProfiles(
                project: ValuePacker.text(request.pointee.project),
                filter: self.filter(ofProfiles: request.pointee.filter),
                minLSN: request.pointee.min_lsn)
        }
    }

    /// Decodes and validates a ListProfilesRequest.
    package func decodeListProfiles(_ message: UnsafeRawBufferPointer)
        -> Decoded<DecodedListProfiles>
    {
        self.decode(message, as: WireSchema.shared.listProfilesRequest) { request in
            self.checkProject(request.pointee.project)
            let size = Int(request.pointee.page_size)
            if size > Self.profilePageSizeMax {
                self.packer.add(
                    "\(size), at most \(Self.profilePageSizeMax) is allowed", at: "page_size")
            }
            return DecodedListProfiles(
                project: ValuePacker.text(request.pointee.project),
                filter: self.filter(ofProfiles: request.pointee.filter),
                pageSize: size == 0 ? Self.profilePageSizeDefault : size,
                pageToken: ValuePacker.text(request.pointee.page_token),
                mask: self.mask(request.pointee.read_mask, withMetadata: false),
                minLSN: request.pointee.min_lsn)
        }
    }

    /// The filter of a request; one that matches everything in the place of one that is wrong,
    /// which is noted.
    private func filter(ofProfiles string: UnsafePointer<CChar>?) -> CompiledFilter {
        let text = ValuePacker.text(string)
        guard !text.isEmpty else { return .all }
        switch FilterViolations.compile(text, .profile) {
        case .compiled(let filter): return filter
        case .rejected(let violation):
            self.packer.violations.addOfFilter(violation)
            return .all
        }
    }
}

extension MessageEncoder {
    /// Appends the CountProfilesResponse.
    ///
    /// - Parameter lsn: Of the start of the count.
    package func encodeCountProfilesResponse(
        count: UInt64, lsn: UInt64, into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__count_profiles_response__init)
        response.pointee.count = count
        response.pointee.lsn = lsn
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    /// Appends profiles as they stand in a ListProfilesResponse.
    package func encodeListedProfiles(
        _ images: ProfileImages, in buffer: UnsafeRawBufferPointer, mask: ReadMask,
        into output: inout ByteBuffer
    ) {
        for case let found? in images.profiles {
            Self.writeProfileField(images.image(found, in: buffer), mask: mask, into: &output)
        }
    }

    /// Appends what a ListProfilesResponse has beside its profiles.
    ///
    /// - Parameters:
    ///   - nextPageToken: Empty: the page is the last.
    ///   - lsn: Of the start of the page.
    package func encodeEndOfListedProfiles(
        nextPageToken: UnsafeRawBufferPointer, lsn: UInt64, into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__list_profiles_response__init)
        response.pointee.next_page_token = self.arena.string(nextPageToken)
        response.pointee.lsn = lsn
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }
}
