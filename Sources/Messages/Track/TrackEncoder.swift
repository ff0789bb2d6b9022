import Bytes
import CMessages
import CProtobufC
import Profiles

extension MessageDecoder {
    /// Appends the TrackResponse of a result that was carried out.
    ///
    /// - Parameters:
    ///   - header: Already read from `body`.
    ///   - sequence: Echoed on streams; 0 leaves it out.
    /// - Returns: What became of the items, for the accounting.
    package func encodeTrackResponse(
        _ header: ResultHeader, body: inout ByteReader, sequence: UInt64,
        into output: inout ByteBuffer
    ) -> ItemOutcomes {
        if let outcomes = Self.writePlainResponse(
            header, body: &body, sequence: sequence, into: &output)
        {
            return outcomes
        }
        self.arena.reset()
        let (response, outcomes) = self.trackResponse(header, body: &body)
        response.pointee.sequence = sequence
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
        return outcomes
    }

    /// The response as a C message in the arena.
    func trackResponse(
        _ header: ResultHeader, body: inout ByteReader
    ) -> (UnsafeMutablePointer<Profiles__V1__TrackResponse>, ItemOutcomes) {
        guard let track = TrackResultBody(from: &body) else {
            preconditionFailure("a result of this process is whole")
        }
        let response = self.arena.make(profiles__v1__track_response__init)
        // No profile: every event was rejected and the identifier is unknown.
        if track.profileID.isSet {
            response.pointee.profile_id = self.profileIDText(track.profileID)
        }
        response.pointee.revision = track.revision
        response.pointee.lsn = header.lsn
        let isReplayed = header.isReplayed
        response.pointee.replayed = isReplayed ? 1 : 0
        if let from = track.redirectedFrom {
            response.pointee.redirected_from = self.identifierText(from)
        }
        response.pointee.n_results = track.eventCount
        response.pointee.results = self.arena.pointers(track.eventCount)
        var outcomes = ItemOutcomes()
        for index in 0 ..< track.eventCount {
            guard let event = EventResultView(from: &body) else {
                preconditionFailure("a result of this process is whole")
            }
            let result = self.eventResult(event, index: index)
            // Mostly the holder of the identifier; its text is made once.
            if event.holder.isSet {
                result.pointee.profile_id =
                    event.holder.isSame(as: track.profileID)
                    ? response.pointee.profile_id : self.profileIDText(event.holder)
            }
            response.pointee.results[index] = result
            outcomes.count(event.outcome, isReplay: isReplayed)
        }
        return (response, outcomes)
    }

    private func eventResult(
        _ event: EventResultView, index: Int
    ) -> UnsafeMutablePointer<Profiles__V1__EventResult> {
        let result = self.arena.make(profiles__v1__event_result__init)
        result.pointee.event_id = self.arena.string(event.eventID)
        result.pointee.status = Profiles__V1__EventStatus(rawValue: UInt32(event.outcome.rawValue))
        result.pointee.lsn = event.lsn
        result.pointee.content_differs = event.contentDiffers ? 1 : 0
        if event.effectiveTime != 0 {
            result.pointee.effective_time = self.timestamp(event.effectiveTime)
        }
        if case .rejected = event.outcome {
            result.pointee.error = StatusMapping.cStatus(
                of: event.rejection, Self.context(of: event, index: index), in: self.arena)
        }
        return result
    }

    /// What the error of one rejected event tells.
    private static func context(of event: EventResultView, index: Int) -> ErrorContext {
        var context = ErrorContext()
        switch event.rejection {
        case .timeWindow:
            context.violations.add(
                TrackWindows.violation(
                    index: index, effective: event.effectiveTime, bound: event.detail))
        case .limitExceeded: context.metadata = [("maximum", String(event.detail))]
        default: break
        }
        for violation in Self.violations(event.violations).list {
            context.violations.add(violation)
        }
        return context
    }

    /// What a refused Track tells: each bad event with its place, or the metadata of the reason.
    package static func context(ofRejected header: ResultHeader, body: inout ByteReader)
        -> ErrorContext
    {
        var context = ErrorContext()
        switch header.rejection {
        case .revisionMismatch: context.metadata = [("current_revision", String(header.detail))]
        case .limitExceeded: context.metadata = [("maximum", String(header.detail))]
        case .identifierErased where header.detail != 0:
            context = self.context(ofBlockedUntil: Int64(bitPattern: header.detail))
        default: break
        }
        if header.kind == .updateSubscription,
            header.rejection == .userUnsubscribed || header.rejection == .limitExceeded
        {
            context.metadata.insert(("index", String(header.index)), at: 0)
        }
        if header.kind == .batch { return self.context(ofRejectedBatch: header, body: &body) }
        let count = body.read(UInt8.self)
        if count > 0 { context.metadata.insert(("index", String(header.index)), at: 0) }
        for _ in 0 ..< count {
            let index = Int(body.read(UInt8.self))
            let rejection = Rejection(rawValue: body.read()) ?? .none
            let effective = body.read(Int64.self)
            let bound = body.read(Int64.self)
            context.violations.add(
                rejection == .timeWindow
                    ? TrackWindows.violation(index: index, effective: effective, bound: bound)
                    : Violation(
                        path: "events[\(index)]", description: StatusMapping.message(of: rejection))
            )
        }
        return context
    }

    /// What the refusal of a blocked identifier tells.
    package static func context(ofBlockedUntil until: Int64) -> ErrorContext {
        ErrorContext(metadata: [("blocked_until", UTCText.text(until))])
    }

    // MARK: Parts of answers

    func timestamp(_ microseconds: Int64) -> UnsafeMutablePointer<Google__Protobuf__Timestamp> {
        let time = self.arena.make(google__protobuf__timestamp__init)
        (time.pointee.seconds, time.pointee.nanos) = TimeRules.parts(microseconds)
        return time
    }

    func profileIDText(_ id: ProfileID) -> UnsafeMutablePointer<CChar> {
        let text = self.arena.memory(ProfileID.textBytes + 1)
        id.writeText(into: UnsafeMutableRawBufferPointer(start: text, count: ProfileID.textBytes))
        text.storeBytes(of: 0, toByteOffset: ProfileID.textBytes, as: UInt8.self)
        return text.bindMemory(to: CChar.self, capacity: ProfileID.textBytes + 1)
    }

    func identifierText(_ identifier: IdentifierView) -> UnsafeMutablePointer<CChar> {
        identifier.kind == .profileID
            ? self.profileIDText(ProfileID(binary: identifier.bytes))
            : self.arena.string(identifier.bytes)
    }

    /// Appends the serialised form of a C message.
    static func pack(_ message: UnsafeMutableRawPointer, into output: inout ByteBuffer) {
        let base = message.assumingMemoryBound(to: ProtobufCMessage.self)
        let target = output.appendUninitialized(protobuf_c_message_get_packed_size(base))
        // SAFETY: the target has exactly the size that protobuf-c asked for; an empty message
        // writes nothing.
        if let bytes = target.baseAddress?.assumingMemoryBound(to: UInt8.self) {
            protobuf_c_message_pack(base, bytes)
        }
    }
}

/// How the items of one call ended.
package struct ItemOutcomes: Equatable, Sendable {
    package var stored = 0
    package var duplicate = 0
    package var stale = 0
    package var rejected = 0

    package init() {}

    /// Adds those of another call.
    package mutating func add(_ other: ItemOutcomes) {
        self.stored += other.stored
        self.duplicate += other.duplicate
        self.stale += other.stale
        self.rejected += other.rejected
    }

    /// Counts one; what a replayed answer tells of was kept before.
    mutating func count(_ outcome: EventOutcome, isReplay: Bool) {
        switch outcome {
        case .stored where !isReplay: self.stored += 1
        case .stored, .duplicate: self.duplicate += 1
        case .rejected: self.rejected += 1
        }
    }
}
