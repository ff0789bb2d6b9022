import Bytes

/// The profiles that a kept response names, which link it to the people that it concerns.
enum ResponseProfiles {
    /// Calls `body` with the id of each profile of a response; an id may come several times. An
    /// erased response names no profile.
    ///
    /// These are the profile that the response shows, the holders of a Track's events, and those of
    /// every write of a batch.
    static func forEach(in response: UnsafeRawBufferPointer, _ body: (ProfileID) -> Void) {
        var reader = ByteReader(response)
        guard let header = ResultHeader(from: &reader), header.rejection == .none else { return }
        var last = ProfileID(high: 0, low: 0)
        // Most events of a Track have one holder.
        func name(_ id: ProfileID) {
            guard id != last, id != ProfileID(high: 0, low: 0) else { return }
            last = id
            body(id)
        }
        switch header.kind {
        case .track:
            guard let track = TrackResultBody(from: &reader) else { return }
            name(track.profileID)
            for _ in 0 ..< track.eventCount {
                guard let event = EventResultView(from: &reader) else { return }
                name(event.holder)
            }
        case .identify, .updateSubscription, .confirmSubscription, .redeemUnsubscribe, .merge:
            let id = reader.read(count: ProfileID.binaryBytes)
            if !reader.overrun { name(ProfileID(binary: id)) }
        case .detach:
            guard let detached = DetachResultBody(from: &reader) else { return }
            name(detached.profileID)
            name(detached.formerProfileID)
        case .unmerge:
            guard let unmerged = UnmergeResultBody(from: &reader) else { return }
            name(unmerged.profileID)
            name(unmerged.restoredID)
        case .batch:
            for _ in 0 ..< reader.read(UInt16.self) {
                var item = reader
                guard let inner = ResultHeader(from: &item) else { return }
                Self.forEach(in: reader.read(count: inner.totalBytes), body)
            }
        case .genesis, .tick, .addSuppression, .removeSuppression, .updateProject, .erase,
            .createProject, .deleteProject, .createKey, .revokeKey, .createTrigger,
            .deleteTrigger, .settleFirings, .importPart:
            return
        }
    }
}
