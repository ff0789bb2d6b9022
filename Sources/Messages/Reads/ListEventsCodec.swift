import Bytes
import CMessages
import Profiles

// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it until the next `decode`; responses are made in the encoder's arena and
// serialised before its reset. Counts (`n_...`) bound every array.

/// A valid ListEventsRequest; what it borrows lies in the arena.
package struct DecodedListEvents: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    package var identifier: IdentifierView
    package var query: EventQuery
    /// Empty: the first page.
    package var pageToken: UnsafeRawBufferPointer
    package var minLSN: UInt64
}

extension MessageDecoder {
    /// Events of a page, by default and at most.
    private static let eventPageSizeDefault = 100
    static let eventPageSizeMax = 1_000
    /// Names that one listing may ask for: each is compared with every event.
    static let eventNamesMax = 100

    /// Decodes and validates a ListEventsRequest.
    package func decodeListEvents(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedListEvents> {
        self.decode(message, as: WireSchema.shared.listEventsRequest) { request in
            self.checkProject(request.pointee.project)
            let identifier = self.identifier(request.pointee.identifier)
            let size = Int(request.pointee.page_size)
            if size > Self.eventPageSizeMax {
                self.packer.add(
                    "\(size), at most \(Self.eventPageSizeMax) is allowed", at: "page_size")
            }
            var query = EventQuery(pageSize: size == 0 ? Self.eventPageSizeDefault : size)
            query.names = self.loweredNames(
                request.pointee.names, count: request.pointee.n_names, max: Self.eventNamesMax,
                "names")
            query.from = self.time(request.pointee.from, "from")
            query.to = self.time(request.pointee.to, "to")
            switch request.pointee.order {
            case PROFILES__V1__EVENT_ORDER__EVENT_ORDER_OLDEST_FIRST: query.isOldestFirst = true
            case PROFILES__V1__EVENT_ORDER__EVENT_ORDER_NEWEST_FIRST,
                PROFILES__V1__EVENT_ORDER__EVENT_ORDER_UNSPECIFIED:
                break
            default: self.packer.add("not an order of the contract", at: "order")
            }
            return DecodedListEvents(
                project: ValuePacker.text(request.pointee.project), identifier: identifier,
                query: query,
                pageToken: ValuePacker.text(request.pointee.page_token),
                minLSN: request.pointee.min_lsn)
        }
    }

    /// Names of events or attributes in lower case, in the arena.
    func loweredNames(
        _ names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, count: Int, max: Int,
        _ field: StaticString
    ) -> [UnsafeRawBufferPointer] {
        guard count <= max else {
            self.packer.add("\(count) names, at most \(max) are allowed", at: field)
            return []
        }
        guard let names, count > 0 else { return [] }
        var lowered: [UnsafeRawBufferPointer] = []
        self.packer.path.push(field)
        for index in 0 ..< count {
            let name = ValuePacker.text(names[index])
            guard TextRules.isName(name) else {
                self.packer.path.push(index: index)
                self.packer.add("not a name, ^[a-zA-Z0-9_]{1,30}$")
                self.packer.path.pop()
                continue
            }
            let lower = self.arena.memory(name.count)
            for (offset, byte) in name.enumerated() {
                lower.storeBytes(of: TextRules.lower(byte), toByteOffset: offset, as: UInt8.self)
            }
            lowered.append(UnsafeRawBufferPointer(start: lower, count: name.count))
        }
        self.packer.path.pop()
        return lowered
    }
}

extension MessageEncoder {
    /// Appends the ListEventsResponse of a page.
    ///
    /// - Parameter images: Of the page's events. Each is serialised by itself, so that a page needs
    ///   no more of the arena than its largest event.
    package func encodeListEventsResponse(
        _ page: EventPage, images: UnsafeRawBufferPointer, of request: DecodedListEvents,
        nextPageToken: UnsafeRawBufferPointer,
        into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let rest = self.arena.make(profiles__v1__list_events_response__init)
        rest.pointee.next_page_token = self.arena.string(nextPageToken)
        rest.pointee.truncated = page.isTruncated ? 1 : 0
        if page.isRedirected {
            rest.pointee.redirected_from = self.identifierText(request.identifier)
        }
        rest.pointee.lsn = page.appliedLSN
        self.scratch.removeAll()
        Self.pack(UnsafeMutableRawPointer(rest), into: &self.scratch)
        self.encodeEvents(page.eventCount, images: images, into: &output)
        output.append(self.scratch.bytes)
    }

    /// Appends events as they stand in a ListEventsResponse, so that the bytes are one by
    /// themselves.
    ///
    /// - Parameter images: Of so many events (`StoredEventView`).
    package func encodeEvents(
        _ count: Int, images: UnsafeRawBufferPointer, into output: inout ByteBuffer
    ) {
        var reader = ByteReader(images)
        for _ in 0 ..< count {
            self.arena.reset()
            let part = self.arena.make(profiles__v1__list_events_response__init)
            part.pointee.n_events = 1
            part.pointee.events = self.arena.pointers(1)
            part.pointee.events[0] = self.storedEvent(&reader)
            Self.pack(UnsafeMutableRawPointer(part), into: &output)
        }
    }

    /// The event whose image (`StoredEventView`) comes next, in the arena.
    func storedEvent(_ reader: inout ByteReader) -> UnsafeMutablePointer<
        Profiles__V1__StoredEvent
    > {
        guard let view = StoredEventView(from: &reader) else {
            preconditionFailure("an image of this process is whole")
        }
        let event = self.arena.make(profiles__v1__stored_event__init)
        event.pointee.event_id = self.arena.string(view.eventID)
        event.pointee.name = self.arena.string(view.name)
        event.pointee.effective_time = self.timestamp(view.position.effectiveTime)
        event.pointee.received_at = self.timestamp(view.receivedAt)
        event.pointee.label = self.arena.string(view.label)
        event.pointee.lsn = view.position.lsn
        event.pointee.identifier = self.identifierMessage(view.identifier)
        event.pointee.source = self.sourceMessage(platform: view.platform, name: view.sourceName)
        event.pointee.historical = view.isHistorical ? 1 : 0
        let tagCount = Int(reader.readVarint())
        event.pointee.n_tags = tagCount
        // SAFETY: the arena gives `tagCount` pointers, until its reset.
        event.pointee.tags = self.arena.memory(
            tagCount * MemoryLayout<UnsafeMutableRawPointer>.stride
        )
        .bindMemory(to: UnsafeMutablePointer<CChar>?.self, capacity: tagCount)
        for index in 0 ..< tagCount {
            event.pointee.tags[index] = self.arena.string(reader.readPrefixed())
        }
        let fieldCount = Int(reader.readVarint())
        event.pointee.n_attributes = fieldCount
        event.pointee.attributes = self.arena.pointers(fieldCount)
        for index in 0 ..< fieldCount {
            let entry = self.arena.make(profiles__v1__stored_event__attributes_entry__init)
            entry.pointee.key = self.arena.string(reader.readPrefixed())
            entry.pointee.value = self.value(&reader)
            event.pointee.attributes[index] = entry
        }
        return event
    }
}
