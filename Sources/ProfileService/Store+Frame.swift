import Bytes
import Profiles
import Storage

extension Store {
    /// Applies the records of a frame that was read from a log.
    ///
    /// - Parameter results: Replaced by the results, one behind the other.
    /// - Returns: What a later frame says of this one.
    /// - Throws: `.impossibleTime`; `.record` and `.malformedRecord`, and the records before are
    ///   applied then.
    func applyFrame(
        _ frame: ReplayedFrame, results: inout ByteBuffer
    ) throws(RecoveryError) -> ResultsMark {
        results.removeAll()
        var digest = ResultsDigest()
        let (clock, records) = FrameClock.split(frame.payload)
        var times = FrameTimes(
            receivedAt: frame.receivedAt, clock: clock, rulesVersion: frame.rulesVersion)
        guard times.arePossible else { throw .impossibleTime(lsn: frame.firstLSN) }
        var lsn = frame.firstLSN
        var offset = 0
        var count = 0
        while offset < records.count {
            let rest = UnsafeRawBufferPointer(rebasing: records[offset...])
            if count.isMultiple(of: Store.prefetchMax) {
                self.prefetch(rest, firstLSN: lsn, times: times)
            }
            count += 1
            guard let record = RecordView(rest) else { throw .malformedRecord(lsn: lsn) }
            let start = results.count
            do throws(ApplyError) {
                try self.apply(
                    record, firstLSN: lsn, receivedAt: times.receivedAt, clock: times.clock,
                    rulesVersion: frame.rulesVersion, results: &results)
            } catch {
                throw .record(error, lsn: lsn)
            }
            // The genesis has no digest: no call gets its response from it.
            if record.kind != RecordKind.genesis.rawValue {
                digest.add(UnsafeRawBufferPointer(rebasing: results.bytes[start...]))
            }
            lsn += UInt64(record.operations)
            times.advance()
            offset += record.totalBytes
        }
        return ResultsMark(lsn: lsn - 1, digest: digest.value)
    }
}

extension ReplayedFrame {
    /// What the machine's clock said when it was made, in microseconds since 1970.
    var clock: Int64 {
        FrameTimes(
            receivedAt: self.receivedAt, clock: FrameClock.split(self.payload).clock,
            rulesVersion: self.rulesVersion
        ).clock
    }
}
