import Bytes

// The results of a Track: response, rejection and replay.
//
// SAFETY: pending events are elements of `work`, which only the applier follows; texts are borrowed
// from the record or `work` until the response is written.

extension Store {
    /// Appends the response of a call that was carried out; `holder` is `nil` if every event was
    /// rejected and no profile has the identifier.
    func appendResponse(
        _ target: TrackTarget, _ holder: ProfileRef?, _ call: CallContext,
        into results: inout ByteBuffer
    ) {
        let header = target.header
        let start = ResultHeader(rejection: .none, flags: [], kind: .track, lsn: call.lsn).begin(
            in: &results)
        let none = ProfileID(high: 0, low: 0)
        let present = holder.map { self.pool.header($0).pointee.id } ?? none
        TrackResultBody(
            profileID: present, revision: holder.map { self.pool.header($0).pointee.revision } ?? 0,
            redirectedFrom: target.isAlias ? header.identifier : nil, eventCount: header.eventCount
        ).write(into: &results)
        for number in 0 ..< header.eventCount {
            let event = self.work.pointee.pending[number]
            var eventHolder = event.outcome == .rejected ? none : present
            if event.target != 0, event.outcome == .stored {
                eventHolder = self.pool.header(ProfileRef(rawValue: event.target)).pointee.id
            }
            if event.holder != 0 {
                eventHolder = self.pool.header(ProfileRef(rawValue: event.holder)).pointee.id
            }
            let view = EventResultView(
                outcome: event.outcome, rejection: event.rejection,
                contentDiffers: event.contentDiffers,
                effectiveTime: event.effectiveTime, lsn: event.lsn, holder: eventHolder,
                detail: event.detail,
                eventID: event.eventID, violations: event.violations)
            self.write(view, event.madeID, into: &results)
        }
        ResultHeader.end(at: start, in: &results)
    }

    /// An event that was stored without an id gets the id that the server made in its result.
    private func write(_ view: EventResultView, _ madeID: MadeID, into results: inout ByteBuffer) {
        guard view.outcome == .stored, view.eventID.count == 0 else {
            return view.write(into: &results)
        }
        madeID.withText {
            var named = view
            named.eventID = $0
            named.write(into: &results)
        }
    }

    /// Appends the rejection of a whole call; `index`: of the first bad item, where it has items.
    func appendRejection(
        _ rejection: Rejection, _ kind: RecordKind, _ call: CallContext, index: UInt8 = 0,
        detail: UInt64 = 0,
        into results: inout ByteBuffer
    ) {
        if rejection == .identifierErased { self.erasure.noteInLog(call.lsn) }
        let start = ResultHeader(
            rejection: rejection, flags: [], kind: kind, index: index, lsn: call.lsn, detail: detail
        )
        .begin(in: &results)
        results.append(UInt8(0))
        ResultHeader.end(at: start, in: &results)
    }

    /// Appends the rejection of a call for its events: every bad one is listed.
    func appendEventRejections(
        _ count: Int, _ first: Int, _ call: CallContext, into results: inout ByteBuffer
    ) {
        let pending = self.work.pointee.pending
        let start = ResultHeader(
            rejection: pending[first].rejection, flags: [], kind: .track, index: UInt8(first),
            lsn: call.lsn,
            detail: UInt64(bitPattern: pending[first].detail)
        ).begin(in: &results)
        let countOffset = results.count
        results.append(UInt8(0))
        var bad: UInt8 = 0
        for number in 0 ..< count where pending[number].outcome == .rejected {
            results.append(UInt8(number))
            results.append(pending[number].rejection.rawValue)
            results.append(pending[number].effectiveTime)
            results.append(pending[number].detail)
            bad += 1
        }
        results.patch(bad, at: countOffset)
        ResultHeader.end(at: start, in: &results)
    }

    /// Appends a kept response, marked as replayed.
    func appendReplay(_ response: UnsafeRawBufferPointer, into results: inout ByteBuffer) {
        let start = results.count
        results.append(response)
        // The flags follow the length (4) and the rejection (1).
        let flags = ResultFlags(rawValue: results.bytes[start + 5]).union(.replayed)
        results.patch(flags.rawValue, at: start + 5)
    }
}
