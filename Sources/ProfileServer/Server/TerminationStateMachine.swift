import IOLinux

/// What a signal does to the server, at each time of its life.
///
/// ```
/// starting --serve--> serving --terminate--> draining --terminate--> ended
///    +--terminate--> ended      any state --abort--> ended
/// ```
package struct TerminationStateMachine: Sendable {
    private enum State {
        case starting
        case serving
        case draining
        case ended
    }

    private var state = State.starting

    /// Whether SIGTERM was received while the server served.
    package var isDraining: Bool { self.state == .draining }

    /// The server begins to serve: from now on SIGTERM drains.
    ///
    /// - Returns: `false` if the process is ending already.
    package mutating func serve() -> Bool {
        guard self.state == .starting else { return false }
        self.state = .serving
        return true
    }

    package init() {}

    /// What to do about a signal.
    package enum OnSignal: Equatable {
        /// End open calls in order, then the process.
        case drain
        /// End the process. Recovery can be interrupted anywhere, like by a crash, and nobody has a
        /// call open.
        case endBeforeServing
        /// End the process at once, whatever still runs: every acknowledged write is on disk.
        case endNow
        /// End the process at once, with a line in the log.
        case abort(signal: Int)
        case reload
        case ignore
    }

    /// Handles a signal.
    package mutating func received(_ signal: LinuxSignals.Signal) -> OnSignal {
        switch (signal, self.state) {
        case (.reload, .ended): return .ignore
        case (.reload, _): return .reload
        case (.abort(let number), _):
            self.state = .ended
            return .abort(signal: Int(number))
        case (.terminate, .starting):
            self.state = .ended
            return .endBeforeServing
        case (.terminate, .serving):
            self.state = .draining
            return .drain
        case (.terminate, .draining), (.terminate, .ended):
            self.state = .ended
            return .endNow
        }
    }
}
