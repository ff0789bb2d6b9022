import Bytes
import CMessages
import CProtobufC
import Profiles

// SAFETY: C messages are made in the encoder's arena, with arrays as long as their counts, and are
// serialised before its next reset.

extension MessageEncoder {
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
                of: event.rejection, ErrorContext(of: event, index: index), in: self.arena)
        }
        return result
    }
}
