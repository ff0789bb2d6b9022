import IOCore
import Synchronization

/// Lines on their way to the thread that writes them.
///
/// Its size is bounded, because whoever reads the log may stop: then lines are dropped and counted,
/// and the service continues. Safe to use from several threads, except for `take` and `finished`,
/// which belong to the writer. Source: docs/decisions/0331-a-log-that-never-blocks.md.
package final class LogQueue: Sendable {
    /// Most bytes of lines that wait, those in the hands of the writer included: about a thousand
    /// lines, more than a server logs in a day.
    package static let bytesMax = 256 << 10

    private struct State: Sendable {
        var lines: [[UInt8]] = []
        /// Of the lines that are not written yet.
        var bytes = 0
        /// Lines dropped that no line of the log reports yet.
        var droppedUnreported: UInt64 = 0
        var isStopping = false
    }

    /// What the writer does next.
    package enum Next: Equatable, Sendable {
        /// Write these, then call `finished` for each.
        case lines([[UInt8]])
        /// Report that so many lines were dropped: the reader follows again.
        case report(dropped: UInt64)
        case wait
        case end
    }

    private let state = Guarded(State())
    private let droppedCell = Atomic<UInt64>(0)
    private let waker: any Waker

    /// - Parameter waker: Woken when there is something to write, or nothing will come any more.
    package init(waker: any Waker) {
        self.waker = waker
    }

    /// Lines dropped since the start.
    package var dropped: UInt64 { self.droppedCell.load(ordering: .relaxed) }

    /// Adds a copy of a line, or drops it if there is no space. Never blocks.
    ///
    /// - Parameter bytesMax: As for `offer`.
    package func append(_ line: UnsafeRawBufferPointer, bytesMax: Int = LogQueue.bytesMax) {
        if !self.add(line, bytesMax: bytesMax, reportsLoss: true) {
            self.droppedCell.add(1, ordering: .relaxed)
        }
    }

    /// Adds a copy of a line whose loss the caller counts. Never blocks.
    ///
    /// - Parameter bytesMax: Most bytes that wait with this line among them: less than the whole
    ///   for lines that must not displace others.
    /// - Returns: Whether there was space.
    package func offer(_ line: UnsafeRawBufferPointer, bytesMax: Int) -> Bool {
        self.add(line, bytesMax: bytesMax, reportsLoss: false)
    }

    private func add(_ line: UnsafeRawBufferPointer, bytesMax: Int, reportsLoss: Bool) -> Bool {
        let isAdded = self.state.withLock { state -> Bool in
            guard state.bytes + line.count <= bytesMax else {
                if reportsLoss { state.droppedUnreported += 1 }
                return false
            }
            state.bytes += line.count
            state.lines.append(Array(line))
            return true
        }
        if isAdded { self.waker.wake() }
        return isAdded
    }

    /// What the writer does next.
    ///
    /// - Parameter isFlowing: Whether the last line could be written. The report about dropped
    ///   lines waits for that: it would be dropped as well.
    package func take(isFlowing: Bool) -> Next {
        self.state.withLock { state in
            if !state.lines.isEmpty {
                defer { state.lines = [] }
                return .lines(state.lines)
            }
            if isFlowing, state.droppedUnreported > 0 {
                defer { state.droppedUnreported = 0 }
                return .report(dropped: state.droppedUnreported)
            }
            return state.isStopping ? .end : .wait
        }
    }

    /// A line is written, or lost because nobody reads any more.
    package func finished(_ line: [UInt8], isLost: Bool) {
        self.state.withLock { state in
            state.bytes -= line.count
            if isLost { state.droppedUnreported += 1 }
        }
        if isLost { self.droppedCell.add(1, ordering: .relaxed) }
    }

    /// Lets the writer end once it has written what waits.
    package func stop() {
        self.state.withLock { $0.isStopping = true }
        self.waker.wake()
    }
}
