import Bytes
import CMessages
import Profiles

// SAFETY: C messages are made in the encoder's arena, with arrays as long as their counts, and are
// serialised before its next reset.

extension MessageEncoder {
    /// Appends the IdentifyResponse of a call that was carried out.
    ///
    /// - Parameters:
    ///   - body: Behind the result's header.
    ///   - image: The profile as it is now; `nil`: it is gone.
    /// - Returns: How the call's attribute writes ended.
    package func encodeIdentifyResponse(
        _ header: ResultHeader, body: inout ByteReader, image: ProfileImage?,
        into output: inout ByteBuffer
    ) -> ItemOutcomes {
        self.arena.reset()
        // The profile is the first field, so it is written by itself, and the rest behind it.
        if let image { Self.writeProfileField(image, mask: .standard, into: &output) }
        let (response, outcomes) = self.identifyResponse(header, body: &body, image: nil)
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
        return outcomes
    }

    /// The response as a C message in the arena.
    func identifyResponse(
        _ header: ResultHeader, body: inout ByteReader, image: ProfileImage?
    ) -> (UnsafeMutablePointer<Profiles__V1__IdentifyResponse>, ItemOutcomes) {
        guard let result = IdentifyResultBody(from: &body) else {
            preconditionFailure("a result of this process is whole")
        }
        let response = self.arena.make(profiles__v1__identify_response__init)
        if let image { response.pointee.profile = self.profile(image, mask: .standard) }
        response.pointee.outcome = Profiles__V1__Outcome(rawValue: UInt32(result.outcome.rawValue))
        if result.mergeID != ProfileID(high: 0, low: 0) {
            response.pointee.merge_id = self.profileIDText(result.mergeID)
        }
        response.pointee.lsn = header.lsn
        let isReplay = header.flags.contains(.replayed)
        response.pointee.replayed = isReplay ? 1 : 0
        if let from = result.redirectedFrom {
            response.pointee.redirected_from = self.identifierText(from)
        }
        let staleCount = Int(body.readVarint())
        response.pointee.n_ignored_stale = staleCount
        response.pointee.ignored_stale = self.arena.pointers(staleCount)
        for index in 0 ..< staleCount {
            response.pointee.ignored_stale[index] = self.arena.string(body.readPrefixed())
        }
        let warnings = self.warnings(&body)
        (response.pointee.n_warnings, response.pointee.warnings) = (warnings.count, warnings.list)
        var outcomes = ItemOutcomes()
        if isReplay {
            outcomes.duplicate = result.itemCount
        } else {
            outcomes.stale = staleCount
            outcomes.stored = result.itemCount - staleCount
        }
        return (response, outcomes)
    }

    /// The warnings of a result, as C messages in the arena.
    func warnings(_ body: inout ByteReader) -> (
        count: Int, list: UnsafeMutablePointer<UnsafeMutablePointer<Profiles__V1__Warning>?>
    ) {
        let count = Int(body.readVarint())
        let list: UnsafeMutablePointer<UnsafeMutablePointer<Profiles__V1__Warning>?> =
            self.arena.pointers(count)
        for index in 0 ..< count {
            let warning = self.arena.make(profiles__v1__warning__init)
            let reason = WarningReason(rawValue: body.read())
            let text = body.readPrefixed()
            if let reason { warning.pointee.reason = self.arena.string(reason.reason.description) }
            if reason == .installationDetached {
                warning.pointee.identifier = self.identifierMessage(
                    IdentifierView(kind: .installationID, bytes: text))
            } else {
                warning.pointee.name = self.arena.string(text)
            }
            list[index] = warning
        }
        return (count, list)
    }
}
