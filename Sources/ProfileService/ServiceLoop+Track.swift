import Bytes
import GRPCTransport
import Messages
import Profiles

extension ServiceLoop {
    /// Adds a Track to the open batch, or refuses it.
    func track(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition) {
        self.withMessage(self.decoder.decodeTrack(message), of: call) {
            self.add($0, of: call, in: partition)
        }
    }

    private func add(_ track: DecodedTrack, of call: RPCCall, in partition: Partition) {
        let admission = self.append(track, token: call.token, isOfStream: false, in: partition)
        self.settle(admission, of: call, items: track.eventCount)
    }

    /// Validates a Track and appends its record and slot to the open batch.
    func append(
        _ track: DecodedTrack, token: CallToken, isOfStream: Bool, in partition: Partition
    ) -> CommandAdmission {
        let project = partition.store.findProject(track.project)
        let windows = self.windows(of: project, in: partition)
        return self.append(
            token, project, items: track.eventCount, isOfStream: isOfStream, in: partition
        ) { decoder, records in
            decoder.writeTrack(track, project: project, windows: windows, into: &records)
        }
    }

    func windows(of project: ProjectID?, in partition: Partition) -> AdvisoryWindows {
        let windows = project.flatMap { partition.store.timeWindows(of: $0) }
        return AdvisoryWindows(
            nowMicroseconds: self.transport.nowWallMicroseconds,
            lateMicroseconds: Int64(windows?.lateSeconds ?? 0) * 1_000_000,
            historicalMicroseconds: Int64(windows?.historicalSeconds ?? 0) * 1_000_000,
            aheadMicroseconds: Int64(windows?.aheadSeconds ?? 0) * 1_000_000)
    }

    /// Appends the answer of a Track that was carried out.
    func encodeTrack(_ header: ResultHeader, _ body: inout ByteReader, _ slot: BatchSlot)
        -> ItemOutcomes
    {
        self.decoder.encodeTrackResponse(
            header, body: &body, sequence: slot.sequence, into: &self.response)
    }
}
