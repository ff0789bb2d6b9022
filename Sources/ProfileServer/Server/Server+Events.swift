import ProfileService
import Storage

// What the node reports, as lines of the log and as the phase that probes see.

extension Server {
    /// Handles an event of the node; on any thread.
    static func handle(_ event: NodeEvent, status: ServerStatus?, log: Log) {
        switch event {
        case .loopFailed(let error):
            log.error("a loop cannot start", LogField("errno", Int(error.code)))
        case .nearlyFull(let freeBytes, let segmentBytes):
            log.warning(
                "the data directory has room for less than two segments",
                LogField("free_bytes", freeBytes), LogField("segment_bytes", segmentBytes))
        case .unreliableFileSystem(let kind):
            log.warning(
                "the data directory is on a file system that may not keep what it acknowledges",
                LogField("file_system", kind))
        case .replaying(let doneBytes, let totalBytes):
            status?.phase = .replaying(doneBytes: doneBytes, totalBytes: totalBytes)
        case .recovering(let progress, let totalBytes):
            log.info(
                "recovering", LogField("snapshot_bytes", progress.snapshotBytes),
                LogField("log_bytes", progress.logBytes), LogField("total_bytes", totalBytes),
                LogField("lsn", progress.lsn))
        case .logFailed(let error):
            status?.phase = .logFailed
            log.error(
                "log failed: writes are rejected until a restart",
                LogField("reason", error.description))
        case .shortage(let shortage, let isShort): Self.report(shortage, isShort, to: log)
        case .leadership(.leading(let epoch)):
            log.info("this server leads the log: writes continue", LogField("epoch", epoch))
        case .leadership:
            log.warning("another server leads the log: writes are rejected, reads continue")
        case .clock(.behind(let seconds)):
            log.warning(
                """
                the clock is behind the log: calls get times just after the last one until it has \
                caught up
                """, LogField("seconds", seconds))
        case .clock(.caughtUp): log.info("the clock has caught up with the log")
        case .snapshot(let event): Self.report(event, to: log)
        case .feed(let event): Self.report(event, to: log)
        case .logSpaceNotPrepared(let error):
            log.warning(
                "the next segment cannot be prepared",
                LogField("operation", error.operation.description),
                LogField("errno", Int(error.code)))
        case .scrubbed(let figures):
            log.info(
                "data read again", LogField("files", figures.files),
                LogField("bytes", figures.bytes), LogField("damaged", figures.damaged))
        case .damaged(let error):
            log.error("data on disk is damaged", LogField("reason", error.description))
        }
    }

    private static func report(_ shortage: Shortage, _ isShort: Bool, to log: Log) {
        switch (shortage, isShort) {
        case (.disk, true):
            log.warning("disk full: writes are rejected until there is space, reads continue")
        case (.disk, false): log.info("there is space again: writes continue")
        case (.memory, true):
            log.warning(
                """
                memory limit reached: writes are rejected, except opt-outs, log-outs and erasures; \
                reads continue
                """
            )
        case (.memory, false): log.info("below the memory limit again: writes continue")
        }
    }

    private static func report(_ event: FeedEvent, to log: Log) {
        switch event {
        case .failed(let error):
            log.warning(
                "the change feed cannot be written: it goes on in memory as long as it fits",
                LogField("reason", error.explanation))
        case .recovered: log.info("the change feed is written again")
        case .lost(let earliestLSN, let reason):
            log.warning(
                "the change feed begins later: watchers from before must begin anew",
                LogField("earliest_lsn", earliestLSN), LogField("reason", reason))
        }
    }

    private static func report(_ event: Snapshotter.Event, to log: Log) {
        switch event {
        case .finished(let file, let pruning, let seconds):
            log.info(
                "snapshot", LogField("lsn", file.position.lsn), LogField("bytes", file.bytes),
                LogField("seconds", seconds),
                LogField("segments_removed", pruning.segmentsRemoved),
                LogField("bytes_removed", pruning.bytesRemoved))
            for name in pruning.damaged {
                log.error("a snapshot was damaged and is removed", LogField("file", name))
            }
        case .failed(.stopping): break
        case .failed(let failure):
            log.error("no snapshot could be made", LogField("reason", failure.description))
        case .notPruned(let error):
            log.error(
                "the log before the last snapshots could not be removed",
                LogField("reason", error.description))
        }
    }
}
