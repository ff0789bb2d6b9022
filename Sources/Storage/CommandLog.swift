// The log as the commit pipeline sees it: frames go in, and the log reports which of them are
// committed. Several frames may be in flight, because a log that asks other machines first takes
// milliseconds for each. What a frame looks like on disk, when a log seals or rotates its files,
// and what its positions mean are the log's own business.

import IOCore

/// Whether this node's log takes writes.
package enum Leadership: Equatable, Sendable {
    /// It does. The epoch grows with every change of the leader; a local log stays at 1.
    case leading(epoch: UInt64)
    /// Another node leads, and the outcome of every frame of this one is known.
    case following
    /// Another node leads, and the outcome of frames that were in flight here is not known yet.
    case deposed
}

/// Free space of a log (L9). Between the two marks a writer that runs continues and a writer that
/// has stopped waits: a nearly full disk would otherwise take small frames and reject large ones.
package enum LogHeadroom: Equatable, Sendable {
    /// Less than the reserve is left, and there is no space to continue in.
    case low
    case middle
    /// There is space to continue in.
    case high
}

/// The digest of the results of one frame, and which frame that is.
///
/// Frames are named by their last lsn, which is unique in a history, so that a log's own frames
/// (seals, elections) need no name. Source: docs/decisions/0021-digests-of-frames-in-flight.md.
package struct ResultsMark: Equatable, Sendable, BitwiseCopyable {
    /// The last lsn of the frame; 0: no frame.
    package var lsn: UInt64
    /// The digest of its results.
    package var digest: UInt64

    package init(lsn: UInt64, digest: UInt64) {
        self.lsn = lsn
        self.digest = digest
    }
}

/// One group commit, as it is handed to a log.
package struct LogFrame {
    /// The lsn of the first operation; lsns have no gap within and between frames.
    package var firstLSN: UInt64
    /// How many lsns the payload takes.
    package var operationCount: UInt32
    /// Microseconds since 1970, never less than that of the frame before.
    package var receivedAt: Int64
    /// The rules that the leader applies the payload by.
    package var rulesVersion: UInt32
    /// The results of an earlier, applied frame. A log with one frame in flight takes only the
    /// frame right before.
    package var results: ResultsMark
    /// The records, at most `payloadBytesMax` bytes. They stay unchanged until the log has reported
    /// the frame's outcome.
    package var payload: UnsafeRawBufferPointer

    /// Largest payload, in bytes: one record of the largest import.
    package static let payloadBytesMax = 16 << 20

    package init(
        firstLSN: UInt64, operationCount: UInt32, receivedAt: Int64, rulesVersion: UInt32,
        results: ResultsMark, payload: UnsafeRawBufferPointer
    ) {
        self.firstLSN = firstLSN
        self.operationCount = operationCount
        self.receivedAt = receivedAt
        self.rulesVersion = rulesVersion
        self.results = results
        self.payload = payload
    }
}

/// Why a log did not take a frame. Nothing of the frame can become part of the log, unless it says
/// `failed`.
package enum AppendError: Error, Equatable, Sendable {
    /// There is no space; a later attempt may succeed.
    case noSpace
    /// Another node leads.
    case notLeader
    /// The log has failed and takes nothing until a restart. What of the frame is on disk is
    /// unknown.
    case failed
}

/// What a log reports when it is advanced.
package enum LogEvent {
    /// Nothing happened. With frames in flight: when to look again.
    case pending(NextStep)
    /// Every frame up to this number is committed: no crash and no change of the leader undoes
    /// it.
    case committed(through: UInt64)
    /// This node was deposed. Frames from this number on may or may not become part of the log.
    case outcomeUnknown(from: UInt64)
    /// Another leader's history has replaced the frames from this number on: they never happened.
    case discarded(from: UInt64)
    /// A committed frame of another leader; it is borrowed until the next call.
    case replicated(ReplayedFrame)
    /// A write or sync has failed: the outcome of the frames in flight is unknown until a restart,
    /// and nothing more is taken.
    case failed
}

/// Makes frames durable, and says which of them are. Used by one thread.
///
/// Frames are numbered by the log, ascending; the numbers need not be consecutive, since a log may
/// write frames of its own between.
package protocol CommandLog: AnyObject {
    /// Whether frames are taken.
    var leadership: Leadership { get }
    /// Whether other nodes apply the same frames, and keep snapshots of their own.
    var isReplicated: Bool { get }
    /// Frames that may be in flight: appended, and their outcome not reported.
    var framesInFlightMax: Int { get }
    /// Why the log has failed, once it has; for the operator.
    var failure: StorageError? { get }
    /// How much can still be written; asked before each frame, and now and then while none comes.
    ///
    /// - Parameter isStopped: Whether the caller waits for space. If it does not, the log need not
    ///   ask the disk where only `.low` would matter.
    func headroom(isStopped: Bool) -> LogHeadroom
    /// Hands one frame over and returns at once; the frame is not committed yet.
    ///
    /// At most `framesInFlightMax` may be in flight.
    ///
    /// - Returns: The frame's number.
    func append(_ frame: LogFrame) throws(AppendError) -> UInt64
    /// Does what is due, and reports the next event; call it until it returns `.pending`.
    ///
    /// May block, but only through a seam (the fdatasync of the local log).
    func advance() -> LogEvent
    /// Does the log's own work while no frame is in flight or waits: the local log seals its end
    /// after idleness, so that damage there can never be taken for a torn tail.
    ///
    /// - Parameters:
    ///   - idleNanoseconds: The time since the last frame; `.max`: do all of it now.
    ///   - results: Of the last frame that was applied.
    /// - Returns: When to call again, as far as the log is concerned.
    func rest(idleNanoseconds: UInt64, results: ResultsMark) throws(AppendError) -> NextStep
    /// Where the log continues behind the last frame that was reported committed: the position of a
    /// snapshot of the state as it is then. The log before it can be truncated.
    ///
    /// - Parameter results: Of the last frame that was applied.
    /// - Throws: `.noSpace` if the log continues as before; anything else as `append`.
    func checkpoint(results: ResultsMark) throws(AppendError) -> LogPosition
    /// Ends the log cleanly; the last call.
    ///
    /// - Parameter results: Of the last frame that was applied.
    func close(results: ResultsMark)
}
