import Storage

/// Verifies everything in a directory that no server has open, and changes nothing.
///
/// Every file is read to its end. Then the state is built along each path that a start may take
/// (from either snapshot, and from the first record if the log reaches back that far); all must
/// produce the same state. It keeps one store in memory at a time.
package struct Verification {
    /// One state, and how it was built.
    package struct Replay: Equatable, Sendable {
        /// Name of the snapshot; `nil`: from the first record.
        package var snapshot: String?
        /// Frames replayed after it.
        package var frames: Int
        package var operations: UInt64
        package var profiles: Int
        package var lsn: UInt64
        /// Digest of the whole state.
        package var digest: UInt64
        package var tornTail: RecoveryReport.TornTail?
    }

    /// The content of one file.
    package typealias FileFinding = LogSurvey.Finding
    /// The content of one segment of the feed.
    package typealias FeedFinding = FeedSurvey.Segment

    /// One result, reported as soon as it is known.
    package enum Finding: Sendable {
        case file(name: String, bytes: Int, FileFinding)
        /// A segment of the feed, with what is wrong with it as its note.
        case feedSegment(FeedFinding)
        /// Something else that is worth knowing, and no damage.
        case note(String)
        case replay(Replay)
        /// Data that must not be served, or cannot be trusted.
        case damage(String)
    }

    package struct Verdict: Equatable, Sendable {
        package var files = 0
        package var bytes = 0
        /// The state; `nil` if the paths do not all produce the same one.
        package var state: Replay?
        package var damages = 0
        /// What is wrong with the feed, which is derived: a start makes it again.
        package var notes = 0

        package var isGood: Bool { self.damages == 0 && self.state != nil }
    }

    /// As many snapshots as a server keeps.
    private static let snapshotsMax = 2

    private let directory: OfflineDirectory
    private let report: (Finding) -> Void
    private var verdict = Verdict()
    private var snapshots: [(name: String, isIntact: Bool)] = []
    private var beginsAtFirstRecord = false

    private init(_ directory: OfflineDirectory, _ report: @escaping (Finding) -> Void) {
        self.directory = directory
        self.report = report
    }

    /// - Throws: `.files` if something cannot be read. Damage is not an error: it is reported, and
    ///   counted in the verdict.
    package static func run(
        _ directory: OfflineDirectory, report: @escaping (Finding) -> Void
    ) throws(OfflineFailure) -> Verdict {
        var verification = Verification(directory, report)
        try verification.readFiles()
        try verification.replayAll()
        return verification.verdict
    }

    private mutating func readFiles() throws(OfflineFailure) {
        do throws(StorageError) {
            let survey = try LogSurvey(self.directory.environment())
            self.beginsAtFirstRecord = survey.beginsAtFirstFrame
            for name in survey.names { try self.readFile(name, survey) }
        } catch {
            throw OfflineFailure(error)
        }
    }

    private mutating func readFile(_ name: String, _ survey: LogSurvey) throws(StorageError) {
        do throws(StorageError) {
            let finding = try survey.read(name)
            let bytes = finding == .other || finding == .feed ? 0 : try survey.bytes(of: name)
            switch finding {
            case .snapshot: self.snapshots.insert((name, true), at: 0)
            case .segment, .tornTail, .temporary, .lock, .logEnd, .feed, .other: break
            }
            self.verdict.files += 1
            self.verdict.bytes += bytes
            self.report(.file(name: name, bytes: bytes, finding))
            if finding == .feed { self.readFeed(survey) }
        } catch {
            if case .io = error { throw error }
            if LogSurvey.isSnapshot(name) { self.snapshots.insert((name, false), at: 0) }
            self.damage(error.description)
        }
    }

    /// Damage here is a note: nothing in the feed ever rejects a start or is served wrongly.
    private mutating func readFeed(_ survey: LogSurvey) {
        do throws(StorageError) {
            let feed = try FeedSurvey(self.directory.environment(), of: survey)
            for name in feed.others {
                self.note(
                    "feed/\(name): "
                        + (FeedSurvey.isTemporary(name)
                            ? "unfinished; the next start removes it"
                            : "not a file of this program; ignored"))
            }
            var notes = 0
            feed.forEachSegment { segment in
                if segment.note != nil { notes += 1 }
                self.report(.feedSegment(segment))
            }
            self.verdict.notes += notes
        } catch {
            self.note("feed: \(error.description)")
        }
    }

    private mutating func note(_ found: String) {
        self.verdict.notes += 1
        self.report(.note(found))
    }

    private mutating func damage(_ found: String) {
        self.verdict.damages += 1
        self.report(.damage(found))
    }

    // MARK: States

    private mutating func replayAll() throws(OfflineFailure) {
        var starts: [String?] = self.snapshots.filter(\.isIntact).prefix(Self.snapshotsMax)
            .map(\.name)
        // Also if there is no snapshot, because this replay finds the reason for that.
        if self.beginsAtFirstRecord || starts.isEmpty { starts.append(nil) }
        var states: [Replay] = []
        for start in starts {
            do throws(OfflineFailure) {
                let state = try self.replay(from: start)
                states.append(state)
                self.report(.replay(state))
            } catch {
                guard case .rejected(let found) = error else { throw error }
                self.damage("from \(start ?? "the first record"): \(found)")
            }
        }
        guard let first = states.first else { return }
        for other in states.dropFirst() where (other.lsn, other.digest) != (first.lsn, first.digest)
        {
            self.damage(
                "\(first.snapshot ?? "the first record") and "
                    + "\(other.snapshot ?? "the first record") lead to different states"
            )
        }
        if self.verdict.damages == 0 { self.verdict.state = first }
    }

    private func replay(from snapshot: String?) throws(OfflineFailure) -> Replay {
        let hidden = Set(self.snapshots.map(\.name)).subtracting([snapshot].compactMap(\.self))
        let found = try self.directory.read(hiding: hidden)
        return Replay(
            snapshot: snapshot, frames: found.report.frames, operations: found.report.operations,
            profiles: found.store.profileCount, lsn: found.store.appliedLSN,
            digest: found.store.digest(),
            tornTail: found.report.tornTail)
    }
}
