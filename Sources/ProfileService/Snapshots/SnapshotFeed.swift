import IOCore
import Profiles
import Storage
import Synchronization

/// Why a snapshot was not made.
package enum SnapshotFailure: Error, Equatable, Sendable {
    /// The disk has no space for it; the log has lost none.
    case noSpace
    /// The log has failed: the state may differ from what is on disk.
    case logFailed
    /// More than `SnapshotFeed.waitingBytesMax` waited to be written: the disk is slower than the
    /// changes.
    case fellBehind
    /// Another node leads the log, and nothing has changed since the last snapshot.
    case notLeader
    /// The server is shutting down.
    case stopping
    /// Too many wait for a snapshot already.
    case tooManyRequests
    /// The file could not be written, or does not read back as it was written.
    case storage(StorageError)
}

extension SnapshotFailure: CustomStringConvertible {
    /// For the operator.
    package var description: String {
        switch self {
        case .noSpace: "there is no space for it"
        case .logFailed: "the log has failed"
        case .fellBehind: "more than \(SnapshotFeed.waitingBytesMax) bytes waited to be written"
        case .notLeader: "another server leads, and nothing has changed since the last one"
        case .stopping: "the server is shutting down"
        case .tooManyRequests: "too many requests wait for a snapshot"
        case .storage(let error): error.description
        }
    }
}

/// Hands the blocks of one snapshot at a time from the committer, which makes them, to the
/// snapshotter, which writes them.
///
/// idle --want--> wanted --begin--> running --complete, fail, abandon--> idle
///
/// Each snapshot that is wanted has a number, so that what the committer still has of one that was
/// abandoned reaches no later one.
package final class SnapshotFeed: Sendable {
    /// Bytes waiting for the disk above which the committer makes no block unless it must: two
    /// blocks, so that the writer never waits for one.
    static let headroomBytes = 2 << 20
    /// Bytes that may wait for the disk in all. What is about to change must be copied at once;
    /// with more than this the snapshot is abandoned.
    static let waitingBytesMax = 256 << 20

    private enum Phase: UInt64 {
        case idle = 0
        case wanted = 1
        case running = 2
    }

    /// What the snapshotter takes from the feed.
    enum Event: Sendable {
        case nothing
        case begun(SnapshotPosition)
        case block(SnapshotBlock)
        case complete
        case failed(SnapshotFailure)
    }

    private struct State: Sendable {
        var number: UInt64 = 0
        var phase = Phase.idle
        var events: [Event] = []
        var bytes = 0

        var word: UInt64 { self.number << 2 | self.phase.rawValue }
    }

    private let state = Guarded(State())
    /// Number and phase, and the bytes that wait: for the committer, which reads them after every
    /// frame.
    private let word = Atomic<UInt64>(0)
    private let waitingBytes = Atomic<Int>(0)
    private let logWaker: any Waker
    private let waker: any Waker

    /// - Parameters:
    ///   - logWaker: Wakes the committer's driver.
    ///   - waker: Wakes the snapshotter's driver.
    package init(logWaker: any Waker, waker: any Waker) {
        self.logWaker = logWaker
        self.waker = waker
    }

    private func change<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        self.state.withLock { state in
            defer {
                self.word.store(state.word, ordering: .releasing)
                self.waitingBytes.store(state.bytes, ordering: .relaxed)
            }
            return body(&state)
        }
    }

    // MARK: The snapshotter

    /// Asks for a snapshot; the first event says how it went.
    func want() {
        self.change { $0 = State(number: $0.number + 1, phase: .wanted) }
        self.logWaker.wake()
    }

    /// The next event.
    func next() -> Event {
        let event = self.change { state -> Event in
            guard !state.events.isEmpty else { return .nothing }
            let event = state.events.removeFirst()
            if case .block(let block) = event { state.bytes -= block.bytes.count }
            return event
        }
        if case .block = event { self.logWaker.wake() }
        return event
    }

    /// Bytes of blocks that wait.
    var bytesWaiting: Int { self.waitingBytes.load(ordering: .relaxed) }

    /// Ends a snapshot that cannot be written; the committer notices before its next piece.
    func abandon() {
        self.change { $0 = State(number: $0.number) }
        self.logWaker.wake()
    }

    // MARK: The committer

    /// The number of the snapshot that is wanted; `nil`: none is.
    var wanted: UInt64? {
        let word = self.word.load(ordering: .acquiring)
        return word & 3 == Phase.wanted.rawValue ? word >> 2 : nil
    }

    /// Whether a snapshot is still the running one.
    func isRunning(_ number: UInt64) -> Bool {
        self.word.load(ordering: .acquiring) == number << 2 | Phase.running.rawValue
    }

    /// Whether the committer should make more than it must.
    var hasHeadroom: Bool { self.bytesWaiting < Self.headroomBytes }

    func begin(_ number: UInt64, at position: SnapshotPosition) {
        self.post(.begun(position), of: number, from: .wanted) { $0.phase = .running }
    }

    /// - Returns: Bytes that wait for the disk now.
    func push(_ block: SnapshotBlock, of number: UInt64) -> Int {
        self.post(.block(block), of: number, from: .running) { $0.bytes += block.bytes.count }
        return self.bytesWaiting
    }

    func complete(_ number: UInt64) {
        self.post(.complete, of: number, from: .running) { $0.phase = .idle }
    }

    func fail(_ number: UInt64, _ failure: SnapshotFailure) {
        self.post(.failed(failure), of: number, from: .wanted) { $0.phase = .idle }
        self.post(.failed(failure), of: number, from: .running) { $0.phase = .idle }
    }

    private func post(
        _ event: Event, of number: UInt64, from phase: Phase, _ body: (inout State) -> Void
    ) {
        let isPosted = self.change { state -> Bool in
            guard state.number == number, state.phase == phase else { return false }
            state.events.append(event)
            body(&state)
            return true
        }
        if isPosted { self.waker.wake() }
    }
}
