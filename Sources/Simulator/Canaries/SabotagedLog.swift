#if CANARIES
    import Bytes
    import IOCore
    import Storage

    /// A log that reports what the active canary reports.
    final class SabotagedLog: CommandLog {
        /// Frames of another leader of which the follower skips one.
        private static let followedPerSkipped = 8

        private let log: any CommandLog
        /// Of the last frame appended.
        private var lastNumber: UInt64 = 0
        private var sync = Sync.none
        /// Frames were reported committed without a majority: the log is not asked again.
        private var isStale = false
        private var followed = 0

        /// Where the frame in flight of a local log stands whose commit is reported first.
        private enum Sync {
            case none
            /// Appended.
            case unreported
            /// Reported committed, in this step of the committer.
            case justReported
            /// Reported committed, in an earlier one.
            case reported
        }

        init(_ log: any CommandLog) {
            self.log = log
        }

        var leadership: Leadership { self.log.leadership }
        var isReplicated: Bool { self.log.isReplicated }
        var framesInFlightMax: Int { self.log.framesInFlightMax }
        var failure: StorageError? { self.log.failure }

        func headroom(isStopped: Bool) -> LogHeadroom {
            self.log.headroom(isStopped: isStopped)
        }

        func append(_ frame: LogFrame) throws(AppendError) -> UInt64 {
            self.syncReported()
            self.lastNumber = try self.log.append(frame)
            // A log with more frames in flight has no sync of its own.
            if Canary.responseBeforeSync.isActive, self.framesInFlightMax == 1 {
                self.sync = .unreported
            }
            return self.lastNumber
        }

        func advance() -> LogEvent {
            switch self.sync {
            case .none: break
            case .unreported:
                self.sync = .justReported
                return .committed(through: self.lastNumber)
            case .justReported:
                // The responses leave before the next step syncs.
                self.sync = .reported
                return .pending(.now)
            case .reported: self.syncReported()
            }
            guard !self.isStale else { return .pending(.whenWoken) }
            let event = self.log.advance()
            switch event {
            case .outcomeUnknown where Canary.staleLeaderAcknowledged.isActive:
                self.isStale = true
                return .committed(through: self.lastNumber)
            case .replicated where Canary.followerSkipsFrame.isActive:
                self.followed += 1
                guard self.followed.isMultiple(of: Self.followedPerSkipped) else { return event }
                return self.log.advance()
            default: return event
            }
        }

        /// Syncs a frame whose commit was reported. What the log says of it comes too late.
        private func syncReported() {
            if case .none = self.sync { return }
            self.sync = .none
            _ = self.log.advance()
        }

        func rest(
            idleNanoseconds: UInt64, results: ResultsMark
        ) throws(AppendError) -> NextStep {
            self.syncReported()
            return try self.log.rest(idleNanoseconds: idleNanoseconds, results: results)
        }

        func checkpoint(results: ResultsMark) throws(AppendError) -> LogPosition {
            self.syncReported()
            // The position of a state that the history lacks.
            guard !self.isStale else { throw .notLeader }
            return try self.log.checkpoint(results: results)
        }

        func close(results: ResultsMark) {
            self.syncReported()
            self.log.close(results: results)
        }
    }
#endif
