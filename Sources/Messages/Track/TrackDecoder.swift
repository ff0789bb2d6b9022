import Bytes
import CMessages
import Profiles

// SAFETY: C messages are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it: valid until the next `decode`. Counts (`n_...`) bound every array, and
// texts end with NUL, which the wire check allows nowhere inside.

/// The time windows of a project as its loop knows them: times that the log would reject anyway are
/// listed beside other violations.
package struct AdvisoryWindows {
    package var nowMicroseconds: Int64
    package var lateMicroseconds: Int64
    package var historicalMicroseconds: Int64
    package var aheadMicroseconds: Int64

    package init(
        nowMicroseconds: Int64, lateMicroseconds: Int64, historicalMicroseconds: Int64,
        aheadMicroseconds: Int64
    ) {
        self.nowMicroseconds = nowMicroseconds
        self.lateMicroseconds = lateMicroseconds
        self.historicalMicroseconds = historicalMicroseconds
        self.aheadMicroseconds = aheadMicroseconds
    }
}

extension MessageDecoder {
    /// Decodes and validates a TrackRequest. Malformed events of a call that allows partial success
    /// become rejected entries of the record; any other violation rejects the call.
    ///
    /// - Parameter windows: Of the project with a name; evaluated only beside other violations.
    /// - Complexity: O(bytes of the message).
    @inline(__always)
    package func decodeTrack(
        _ message: UnsafeRawBufferPointer, windows: (UnsafeRawBufferPointer) -> AdvisoryWindows
    ) -> Decoded<DecodedWrite> {
        if let plain = self.plainTracks.read(message) {
            return .message(
                DecodedWrite(
                    project: plain.project, kind: .track, operations: plain.eventCount,
                    itemCount: plain.eventCount, sequence: plain.sequence, isPlain: true))
        }
        return self.decodeAnyTrack(message, windows: windows)
    }

    /// As `decodeTrack`, always through protobuf-c.
    func decodeAnyTrack(
        _ message: UnsafeRawBufferPointer, windows: (UnsafeRawBufferPointer) -> AdvisoryWindows
    ) -> Decoded<DecodedWrite> {
        self.decode(
            message, as: WireSchema.shared.trackRequest, itemCount: { $0.pointee.n_events },
            validate: { request in
                let project = ValuePacker.text(request.pointee.project)
                self.beginPayload()
                self.pack(request.pointee, listsTimes: true) { windows(project) }
                return DecodedWrite(
                    project: project, kind: .track, operations: request.pointee.n_events,
                    itemCount: request.pointee.n_events, sequence: request.pointee.sequence)
            })
    }

    /// Packs the payload of a Track; violations are noted below the packer's path.
    ///
    /// - Parameter listsTimes: Whether times outside of their windows are listed beside other
    ///   violations. Violations that are kept in the record may not depend on the clock, and leave
    ///   such times to the log.
    func pack(
        _ request: Profiles__V1__TrackRequest, listsTimes: Bool, windows: () -> AdvisoryWindows
    ) {
        let violationsBefore = self.packer.violations.count
        let sentAt = self.time(request.sent_at, "sent_at")
        self.markProject()
        self.header(request, sentAt: sentAt).write(into: &self.payload)
        let allowsPartial = request.allow_partial != 0
        for index in 0 ..< request.n_events {
            guard let event = request.events[index] else { continue }
            self.packer.path.push("events")
            self.packer.path.push(index: index)
            let before = self.packer.violations.count
            self.write(
                event.pointee, index: index, allowsPartial: allowsPartial, into: &self.payload)
            if self.packer.violations.count > before { self.noteInvalidEvent(index) }
            self.packer.path.pop()
            self.packer.path.pop()
        }
        if listsTimes, self.packer.violations.count > violationsBefore {
            self.listTimes(request, sentAt: sentAt, windows())
        }
    }

    /// Notes the first invalid event of a Track; in a batch the write counts, not the event.
    private func noteInvalidEvent(_ index: Int) {
        guard self.batchProject == nil else { return }
        self.packer.violations.index = min(self.packer.violations.index ?? index, index)
    }

    /// Everything but the events; violations are noted.
    private func header(
        _ request: Profiles__V1__TrackRequest, sentAt: Int64?
    ) -> TrackHeader {
        self.checkProject(request.project)
        let requestID = self.requestID(request.request_id)
        if request.n_events == 0 {
            self.packer.add("none, 1 to \(WireLimits.eventsMax) are needed", at: "events")
        }
        let source = self.source(request.source)
        var flags = TrackFlags(rawValue: 0)
        if request.allow_partial != 0 { flags.insert(.allowPartial) }
        if request.historical != 0 || self.imported != nil { flags.insert(.historical) }
        if request.must_exist != 0 { flags.insert(.mustExist) }
        if sentAt != nil { flags.insert(.hasSentAt) }
        let expectedRevision = self.expectedRevision(request.expected_revision)
        if expectedRevision != nil { flags.insert(.hasExpectedRevision) }
        return TrackHeader(
            project: .unresolved, flags: flags, platform: source.platform,
            eventCount: request.n_events,
            identifier: self.identifier(request.identifier), requestID: requestID,
            sourceName: source.name,
            sentAt: sentAt ?? 0, expectedRevision: expectedRevision ?? 0)
    }

    /// Appends one event, or its rejection.
    private func write(
        _ event: Profiles__V1__Event, index: Int, allowsPartial: Bool, into buffer: inout ByteBuffer
    ) {
        if !self.rejectedEvents.isEmpty,
            let rejected = self.rejectedEvents.first(where: { $0.index == index })
        {
            // What was decoded is an empty event in its place.
            guard allowsPartial else { return self.packer.violations.add(rejected.violations) }
            let eventID = self.eventID(of: rejected)
            return self.reject(eventID, rejected.violations, from: buffer.count, in: &buffer)
        }
        guard allowsPartial else { return self.write(event, index: index, into: &buffer) }
        let start = buffer.count
        let before = self.packer.violations
        self.packer.violations.removeAll()
        self.write(event, index: index, into: &buffer)
        let own = self.packer.violations
        self.packer.violations = before
        if !own.isEmpty {
            self.reject(ValuePacker.text(event.event_id), own, from: start, in: &buffer)
        }
    }

    private func write(
        _ event: Profiles__V1__Event, index: Int, into buffer: inout ByteBuffer
    ) {
        let eventID = self.id(event.event_id, "event_id")
        let occurredAt = self.time(event.occurred_at, "occurred_at")
        buffer.append(occurredAt == nil ? UInt8(0) : TrackEventFlags.hasOccurredAt.rawValue)
        if let imported = self.imported, eventID.isEmpty {
            imported.appendEventID(index, to: &buffer)
        } else {
            buffer.appendPrefixed(eventID)
        }
        if let occurredAt { buffer.append(occurredAt) }
        let name = ValuePacker.text(event.name)
        if !ValuePacker.appendName(name, into: &buffer) {
            self.packer.add("a name that does not match ^[a-zA-Z0-9_]{1,30}$", at: "name")
        }
        self.writeLabelAndTags(event, into: &buffer)
        self.scratch.removeAll()
        self.packer.path.push("attributes")
        self.packer.pack(
            fields: event.attributes, count: event.n_attributes, level: 1, into: &self.scratch)
        self.packer.path.pop()
        buffer.appendPrefixed(self.scratch.bytes)
    }

    private func writeLabelAndTags(_ event: Profiles__V1__Event, into buffer: inout ByteBuffer) {
        let label = ValuePacker.text(event.label)
        if !label.isEmpty,
            let error = TextRules.stringError(
                label, scalarsMax: TextRules.labelScalarsMax, oneLine: true)
        {
            self.packer.add(error, at: "label")
        }
        buffer.appendPrefixed(label)
        buffer.appendVarint(UInt64(event.n_tags))
        if event.n_tags > Self.tagsMax {
            return self.packer.add(
                "\(event.n_tags) tags, at most \(Self.tagsMax) are allowed", at: "tags")
        }
        for index in 0 ..< event.n_tags {
            let tag = ValuePacker.text(event.tags[index])
            if let error = TextRules.stringError(
                tag, scalarsMax: TextRules.tagScalarsMax, oneLine: true)
            {
                self.packer.path.push("tags")
                self.packer.path.push(index: index)
                self.packer.add(error)
                self.packer.path.pop()
                self.packer.path.pop()
            }
            buffer.appendPrefixed(tag)
        }
    }

    /// The id of an event that the wire check rejected; empty if it has no valid one.
    private func eventID(of rejected: RejectedEvent) -> UnsafeRawBufferPointer {
        var fields = WireFieldReader(rejected.bytes)
        while let field = fields.next() {
            guard field.tag == 1 << 3 | 2 else { continue }
            let text = UnsafeRawBufferPointer(rebasing: rejected.bytes[field.content])
            if text.count <= TextRules.idBytesMax, UTF8Rules.validity(text) == .valid {
                return text
            }
        }
        return UnsafeRawBufferPointer(start: nil, count: 0)
    }

    /// Replaces what was written of an event by its violations. An id that is itself too long is
    /// left out.
    private func reject(
        _ eventID: UnsafeRawBufferPointer, _ violations: Violations, from start: Int,
        in buffer: inout ByteBuffer
    ) {
        buffer.truncate(to: start)
        buffer.append(TrackEventFlags.rejected.rawValue)
        buffer.appendPrefixed(
            eventID.count <= TextRules.idBytesMax
                ? eventID : UnsafeRawBufferPointer(start: nil, count: 0))
        violations.append(to: &buffer)
    }

    /// Adds the events whose time the log would reject, so that the caller sees everything that is
    /// wrong at once.
    private func listTimes(
        _ request: Profiles__V1__TrackRequest, sentAt: Int64?, _ windows: AdvisoryWindows
    ) {
        guard request.allow_partial == 0 else { return }
        let past =
            request.historical != 0 ? windows.historicalMicroseconds : windows.lateMicroseconds
        for index in 0 ..< request.n_events {
            guard let event = request.events[index], let occurred = event.pointee.occurred_at,
                let occurredAt = TimeRules.microseconds(occurred.pointee)
            else { continue }
            let effective = TimeRules.effective(
                occurredAt: occurredAt, sentAt: sentAt, receivedAt: windows.nowMicroseconds)
            let earliest = windows.nowMicroseconds - past
            let latest = windows.nowMicroseconds + windows.aheadMicroseconds
            guard effective < earliest || effective > latest else { continue }
            self.packer.violations.add(
                TrackWindows.violation(index: index, isLate: effective < earliest)
                    .below(self.packer.path.text()))
            self.noteInvalidEvent(index)
        }
    }

    /// Tags of one event.
    static let tagsMax = 10
}

/// Texts of times outside of a window. They say nothing of how far outside: that depends on the
/// clock, and the text of a violation depends on the request alone, so that a retry is equal.
enum TrackWindows {
    static func violation(index: Int, isLate: Bool) -> Violation {
        Violation(
            path: "events[\(index)].occurred_at",
            description: isLate
                ? "an effective time before the earliest that is allowed"
                : "an effective time after the latest that is allowed")
    }
}
