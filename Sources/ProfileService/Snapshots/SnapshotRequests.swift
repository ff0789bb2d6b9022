import IOCore
import Storage
import Synchronization

/// Requests for snapshots on their way to the `Snapshotter`. May be used on any thread.
package final class SnapshotRequests: Sendable {
    /// Requests that may wait; further ones are rejected. Each waits for at most two snapshots.
    private static let requestsMax = 64

    package typealias Response = @Sendable (Result<SnapshotFile, SnapshotFailure>) -> Void

    private struct State: Sendable {
        var responses: [Response] = []
        var isStopping = false
    }

    private let state = Guarded(State())
    private let isDiskFullCell = Atomic<Bool>(false)
    private let waker: any Waker

    /// - Parameter waker: Wakes the snapshotter.
    package init(waker: any Waker) {
        self.waker = waker
    }

    /// Asks for a snapshot of everything that is applied now.
    ///
    /// - Parameter response: Called once, on the snapshotter's thread, or at once if the request is
    ///   rejected.
    package func request(_ response: @escaping Response) {
        let rejection = self.state.withLock { state -> SnapshotFailure? in
            if state.isStopping { return .stopping }
            guard state.responses.count < Self.requestsMax else { return .tooManyRequests }
            state.responses.append(response)
            return nil
        }
        guard let rejection else { return self.waker.wake() }
        response(.failure(rejection))
    }

    /// Notes that writes wait for space, or no longer do: a snapshot may free some of the log.
    package func note(isDiskFull: Bool) {
        self.isDiskFullCell.store(isDiskFull, ordering: .relaxed)
        self.waker.wake()
    }

    /// Makes the snapshotter end after the snapshot that it is verifying, or without the one that
    /// it is writing.
    package func stop() {
        self.state.withLock { $0.isStopping = true }
        self.waker.wake()
    }

    // MARK: The snapshotter

    var isStopping: Bool { self.state.withLock { $0.isStopping } }

    var isDiskFull: Bool { self.isDiskFullCell.load(ordering: .relaxed) }

    /// Takes all requests that wait.
    func take() -> [Response] {
        self.state.withLock { state in
            defer { state.responses = [] }
            return state.responses
        }
    }
}
