import Bytes
import IOCore
import Synchronization

/// Fills the next segment with zeros ahead of use: a write into zeroed blocks costs half of one
/// that extends the file, and cannot run out of space, so the spare segment is also the reserve
/// that shows a full disk before a write starts (L9).
///
/// `step` belongs to one thread, `take` to the log's.
package final class SegmentPreparer: LogPreparer, Sendable {
    /// Pause between two pieces, in nanoseconds: the log's own syncs go first.
    private static let paceNanoseconds: UInt64 = 5_000_000
    /// Pause after a failure such as a full disk, in nanoseconds.
    private static let retryNanoseconds: UInt64 = 1_000_000_000

    /// A file being filled. Only whoever took it out of the lock touches it.
    // SAFETY: a file is used by whoever took the spare out of the lock, one thread at a time.
    private struct Spare: @unchecked Sendable {
        var file: any File
        var filledBytes: Int
    }

    // SAFETY: kept and changed under the lock of `state`; see `Spare` for its files.
    private enum State: @unchecked Sendable {
        case none
        case filling(Spare)
        /// A step has it out of the lock.
        case busy
        case ready(Spare)
    }

    private static let name = "next" + SegmentFiles.temporarySuffix
    private let state = Guarded<State>(.none)
    private let keptBytesCell = Atomic<Int>(0)
    private let files: SegmentFiles
    private let segmentBytes: Int
    private let reserveBytes: Int
    private let stepBytes: Int
    /// One piece of zeros, made once: fresh memory for each would cost as much as the write.
    private let zeros: Zeros
    /// Wakes the preparer's driver when a spare was taken and the next one is wanted.
    private let waker: (any Waker)?
    private let failureCell = Guarded<IOError?>(nil)
    /// A segment that the log has left, at most one.
    private let left = Guarded<Left>(Left(file: nil))

    // SAFETY: used by whoever took it out of the lock of `left`.
    private struct Left: @unchecked Sendable {
        var file: (any File)?
    }

    /// Space that no segment may take, in bytes: what the next snapshot needs, or a disk full of
    /// log could not be freed by one.
    var keptBytes: Int { self.keptBytesCell.load(ordering: .relaxed) }

    init(files: SegmentFiles, options: LogOptions, waker: (any Waker)?) {
        self.files = files
        self.segmentBytes = options.segmentBytes
        self.reserveBytes = options.reserveBytes
        self.stepBytes = options.prepareStepBytes
        self.zeros = Zeros(count: min(options.prepareStepBytes, options.segmentBytes))
        self.waker = waker
    }

    deinit {
        self.left.withLock { $0.file?.close() }
    }

    /// Immutable zeros.
    // SAFETY: allocated and written in `init`, only read from then on, freed in `deinit`.
    private final class Zeros: @unchecked Sendable {
        private let memory: UnsafeMutableRawBufferPointer

        init(count: Int) {
            self.memory = .allocate(byteCount: count, alignment: 16)
            self.memory.initializeMemory(as: UInt8.self, repeating: 0)
        }

        deinit {
            self.memory.deallocate()
        }

        func prefix(_ count: Int) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: self.memory[..<count])
        }
    }

    /// Whether a whole spare segment is ready.
    package var isReady: Bool {
        self.state.withLock { if case .ready = $0 { true } else { false } }
    }

    /// Why the last step failed; `nil` if it did not. For the operator, on any thread.
    package var failure: IOError? { self.failureCell.withLock { $0 } }

    package func step() -> NextStep {
        self.dropLeft()
        do throws(IOError) {
            let hasMore = try self.prepare()
            self.failureCell.withLock { $0 = nil }
            return hasMore ? .after(nanoseconds: Self.paceNanoseconds) : .whenWoken
        } catch {
            self.failureCell.withLock { $0 = error }
            return .after(nanoseconds: Self.retryNanoseconds)
        }
    }

    /// Writes and syncs the next piece of zeros.
    ///
    /// - Returns: Whether there is more to do.
    /// - Throws: `.noSpace` before a file is begun if there is not space for all of it; else what
    ///   the file system said. After a write without space the next call continues, after anything
    ///   else it begins a new file.
    package func prepare() throws(IOError) -> Bool {
        guard var spare = try self.begin() else { return false }
        let count = min(self.stepBytes, self.segmentBytes - spare.filledBytes)
        var isWritten = false
        do throws(IOError) {
            try spare.file.write(self.zeros.prefix(count), at: spare.filledBytes)
            isWritten = true
            try spare.file.sync()
        } catch {
            // A full disk heals. After a failed sync, and any other failure, the file is not to be
            // trusted again (L8): the next step begins another.
            let isWorthKeeping = !isWritten && error.kind == .noSpace
            if !isWorthKeeping { spare.file.close() }
            self.state.withLock { $0 = isWorthKeeping ? .filling(spare) : .none }
            throw error
        }
        spare.filledBytes += count
        let isReady = spare.filledBytes == self.segmentBytes
        self.state.withLock { $0 = isReady ? .ready(spare) : .filling(spare) }
        return !isReady
    }

    private func begin() throws(IOError) -> Spare? {
        let before = self.state.withLock { state in
            let before = state
            switch before {
            case .none, .filling: state = .busy
            case .busy, .ready: break
            }
            return before
        }
        switch before {
        case .filling(let spare): return spare
        case .busy, .ready: return nil
        case .none: break
        }
        do throws(IOError) {
            let path = self.files.path(Self.name)
            // Left by a segment that could not be published.
            let names = try self.files.fileSystem.list(self.files.directory)
            if names.contains(Self.name) { try self.files.fileSystem.remove(path) }
            try self.noteKept(names)
            // A part of a segment is no reserve, and the space that it took may be what a snapshot
            // needs to free the rest.
            guard
                try self.files.fileSystem.freeBytes(self.files.directory)
                    >= UInt64(self.segmentBytes + self.keptBytes)
            else {
                throw IOError(
                    .noSpace, operation: "statvfs", subject: self.files.directory, code: 0)
            }
            return Spare(file: try self.files.fileSystem.open(path, .create), filledBytes: 0)
        } catch {
            self.state.withLock { $0 = .none }
            throw error
        }
    }

    /// Keeps as much as the newest snapshot took; its checkpoint and what the next one has grown by
    /// come out of the reserve.
    private func noteKept(_ names: [String]) throws(IOError) {
        guard let newest = SnapshotCatalogue.names(in: names).first else { return }
        let file: any File
        do throws(IOError) {
            file = try self.files.fileSystem.open(self.files.path(newest), .read)
        } catch {
            // Pruned a moment ago, after a newer one.
            guard error.kind != .notFound else { return }
            throw error
        }
        defer { file.close() }
        self.keptBytesCell.store(try file.size() + 2 * self.reserveBytes, ordering: .relaxed)
    }

    /// Takes the spare segment, whole; `wakeForNext` lets the next one be made.
    ///
    /// Waits for nothing: when none is ready the caller makes its own.
    func take() -> (file: any File, name: String)? {
        let spare = self.state.withLock { state -> Spare? in
            guard case .ready(let spare) = state else { return nil }
            state = .busy
            return spare
        }
        guard let spare else { return nil }
        return (spare.file, Self.name)
    }

    /// Takes a durable segment that the log writes to no more, for the next step to close.
    ///
    /// Only a start, a scrub or a backup reads it again. Its pages are given to the segments that
    /// come next: a fresh page costs more than what is written to it, most of all in a virtual
    /// machine.
    func leave(_ file: any File) {
        let newest = Left(file: file)
        let before = self.left.withLock { left in
            defer { left = newest }
            return left
        }
        before.file?.close()
        self.waker?.wake()
    }

    /// Takes the segment that the log has left out of the page cache, and closes it.
    package func dropLeft() {
        let left = self.left.withLock { left in
            defer { left = Left(file: nil) }
            return left
        }
        left.file?.dropCache()
        left.file?.close()
    }

    /// The file that `take` gave has its own name now, or never will: the next one may be made.
    func wakeForNext() {
        self.state.withLock { $0 = .none }
        self.waker?.wake()
    }
}
