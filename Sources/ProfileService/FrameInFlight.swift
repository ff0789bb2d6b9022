import Bytes
import Profiles
import Storage

/// A frame between its `append` and the moment when its records are applied or rejected.
struct FrameInFlight {
    /// appended --committed--> applied
    ///    | +--discarded, log failed--> rejected
    ///    +--leadership lost--> unknown --committed, discarded--> …
    enum Outcome {
        /// It may be committed any time.
        case appended
        /// This node was deposed: it may or may not have been kept.
        case unknown
        /// It is not, and will never be, a part of the log.
        case rejected(Rejection)
    }

    /// The log's number of it; 0 if it was never appended.
    var number: UInt64
    var outcome: Outcome
    var firstLSN: UInt64
    var times: FrameTimes
    /// The rules that it carries.
    var rulesVersion: UInt32
    /// Its commands; `nil`: the frame is a tick.
    var run: BatchQueue.Run?
    /// The results that it names, if no frame before named them.
    var named: ResultsMark?
    /// Holds its payload, if that was gathered from several batches.
    var payload: FramePayload?
    /// Monotonic, in nanoseconds; 0: it is not measured.
    var appendedNanoseconds: UInt64 = 0

    /// Whether the log has yet to report its outcome.
    var isOpen: Bool {
        switch self.outcome {
        case .appended, .unknown: true
        case .rejected: false
        }
    }
}

/// The records of several batches, gathered into one frame; used again for later frames.
final class FramePayload {
    /// Storage kept between uses, in bytes.
    private static let bytesKept = 1 << 20
    private var buffer = ByteBuffer(capacity: 64 << 10)

    var bytes: UnsafeRawBufferPointer { self.buffer.bytes }

    func append(_ records: UnsafeRawBufferPointer) {
        self.buffer.append(records)
    }

    /// For the head of a payload.
    func append(clock: Int64) {
        FrameClock.write(clock, into: &self.buffer)
    }

    func reset() {
        self.buffer.removeAll()
        self.buffer.shrink(toCapacity: Self.bytesKept)
    }
}
