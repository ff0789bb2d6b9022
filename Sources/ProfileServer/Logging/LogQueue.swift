import IOCore

/// Lines on their way to the thread that writes them.
///
/// Its size is bounded, because whoever reads the log may stop: then lines are dropped and counted,
/// and the service continues. Safe to use from several threads, except for `take` and `finished`,
/// which belong to the writer. Source: docs/decisions/0331-a-log-that-never-blocks.md.
package final class LogQueue: Sendable {
    /// Most bytes of lines that wait, those in the hands of the writer included: about a thousand
    /// lines, more than a server logs in a day.
    package static let bytesMax = 256 << 10

    /// Who is told of the loss of a line.
    package enum Source: Int, CaseIterable, Sendable {
        /// Whoever reads the log: it says how many are missing.
        case log
        /// Whoever has given the line, by `dropped(of:)`.
        case offered
    }

    /// A line that waits.
    package struct Line: Equatable, Sendable {
        package let bytes: [UInt8]
        package let source: Source
    }

    private struct State: Sendable {
        var lines: [Line] = []
        /// Of the lines that are not written yet.
        var bytes = 0
        /// Lines dropped since the start, by source.
        var dropped = [UInt64](repeating: 0, count: Source.allCases.count)
        /// Lines dropped that no line of the log reports yet.
        var droppedUnreported: UInt64 = 0
        var isStopping = false

        mutating func drop(_ source: Source) {
            self.dropped[source.rawValue] += 1
            if source == .log { self.droppedUnreported += 1 }
        }
    }

    /// What the writer does next.
    package enum Next: Equatable, Sendable {
        /// Write these, then call `finished` for each.
        case lines([Line])
        /// Report that so many lines were dropped: the reader follows again.
        case report(dropped: UInt64)
        case wait
        case end
    }

    private let state = Guarded(State())
    private let waker: any Waker

    /// - Parameter waker: Woken when there is something to write, or nothing will come any more.
    package init(waker: any Waker) {
        self.waker = waker
    }

    /// Lines of the log itself that were dropped since the start.
    package var dropped: UInt64 { self.dropped(of: .log) }

    /// Lines of a source that were dropped since the start.
    package func dropped(of source: Source) -> UInt64 {
        self.state.withLock { $0.dropped[source.rawValue] }
    }

    /// Adds a copy of a line, or drops it if there is no space. Never blocks.
    ///
    /// - Parameter bytesMax: Most bytes that wait with this line among them: less than the whole
    ///   for lines that must not displace others.
    /// - Returns: Whether there was space; what becomes of the line then, `dropped` says.
    @discardableResult
    package func append(
        _ line: UnsafeRawBufferPointer, of source: Source = .log,
        bytesMax: Int = LogQueue.bytesMax
    ) -> Bool {
        let isAdded = self.state.withLock { state -> Bool in
            guard state.bytes + line.count <= bytesMax else {
                state.drop(source)
                return false
            }
            state.bytes += line.count
            state.lines.append(Line(bytes: Array(line), source: source))
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
    package func finished(_ line: Line, isLost: Bool) {
        self.state.withLock { state in
            state.bytes -= line.bytes.count
            if isLost { state.drop(line.source) }
        }
    }

    /// Lets the writer end once it has written what waits.
    package func stop() {
        self.state.withLock { $0.isStopping = true }
        self.waker.wake()
    }
}
