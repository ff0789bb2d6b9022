import Storage

/// Looks at everything in a directory that no server has open, and changes no byte.
///
/// Every file is read to its end. Then the state is built on each way that a start may take (from
/// either snapshot, and from the beginning where the log reaches back so far); all of them must
/// come to the same. One store at a time.
package struct Verification {
    /// One state, and how it was come by.
    package struct Replay: Equatable, Sendable {
        /// Name of the snapshot; `nil`: from the first record.
        package var snapshot: String?
        /// Replayed behind it.
        package var frames: Int
        package var operations: UInt64
        package var profiles: Int
        package var lsn: UInt64
        /// Of the whole state.
        package var digest: UInt64
        package var tornTail: RecoveryReport.TornTail?
    }

    /// What one file holds.
    package typealias FileFinding = LogSurvey.Finding

    /// What is told as it is found.
    package enum Finding: Sendable {
        case file(name: String, bytes: Int, FileFinding)
        case replay(Replay)
        /// What must not be served, or not be trusted.
        case damage(String)
    }

    package struct Verdict: Equatable, Sendable {
        package var files = 0
        package var bytes = 0
        /// The state; `nil` if there is none that all ways agree on.
        package var state: Replay?
        package var damages = 0

        package var isGood: Bool { self.damages == 0 && self.state != nil }
    }

    /// As many as are kept.
    private static let snapshotsMax = 2

    private let directory: OfflineDirectory
    private let tell: (Finding) -> Void
    private var verdict = Verdict()
    private var snapshots: [(name: String, isWhole: Bool)] = []
    private var beginsAtFirstRecord = false

    private init(_ directory: OfflineDirectory, _ tell: @escaping (Finding) -> Void) {
        self.directory = directory
        self.tell = tell
    }

    /// - Throws: `.files` if something cannot be read. Damage is no error: it is told, and stands
    ///   in the verdict.
    package static func run(
        _ directory: OfflineDirectory, tell: @escaping (Finding) -> Void
    ) throws(OfflineFailure) -> Verdict {
        var verification = Verification(directory, tell)
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
            let bytes = finding == .other ? 0 : try survey.bytes(of: name)
            switch finding {
            case .snapshot: self.snapshots.insert((name, true), at: 0)
            case .segment, .tornTail, .temporary, .lock, .other: break
            }
            self.verdict.files += 1
            self.verdict.bytes += bytes
            self.tell(.file(name: name, bytes: bytes, finding))
        } catch {
            if case .io = error { throw error }
            if LogSurvey.isSnapshot(name) { self.snapshots.insert((name, false), at: 0) }
            self.damage(error.description)
        }
    }

    private mutating func damage(_ found: String) {
        self.verdict.damages += 1
        self.tell(.damage(found))
    }

    // MARK: States

    private mutating func replayAll() throws(OfflineFailure) {
        var ways: [String?] = self.snapshots.filter(\.isWhole).prefix(Self.snapshotsMax).map(\.name)
        // Without snapshots, too: the reason why nothing can be read is wanted then.
        if self.beginsAtFirstRecord || ways.isEmpty { ways.append(nil) }
        var states: [Replay] = []
        for way in ways {
            do throws(OfflineFailure) {
                let state = try self.replay(from: way)
                states.append(state)
                self.tell(.replay(state))
            } catch {
                guard case .refused(let found) = error else { throw error }
                self.damage("from \(way ?? "the first record"): \(found)")
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
