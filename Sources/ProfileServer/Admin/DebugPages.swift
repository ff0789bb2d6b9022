import GRPCTransport
import IOCore
import IOLinux

/// Makes the pages of what the loops have open. They wait for the loops, so they are made on a
/// thread of their own, and probes do not wait with them.
final class DebugPages: Sendable {
    /// Most pages that wait for the thread: each connection of the listener asks for one at a time.
    private static let waitingMax = AdminListener.connectionsMax

    private let inspectors: [LoopInspector]
    private let workers = HTTPWorkers<LoopPages>(
        count: 1, waitingMax: waitingMax, makeParker: { LinuxParker() })

    init(_ inspectors: [LoopInspector]) {
        self.inspectors = inspectors
    }

    func start(_ threads: any ThreadStarter) -> [any RunningThread] {
        let inspectors = self.inspectors
        return self.workers.start(threads, name: "debug-pages") {
            LoopPages(inspectors, clock: LinuxClock(), parker: LinuxParker())
        }
    }

    /// Makes the thread end when it has no page to make.
    func stop() { self.workers.stop() }

    /// Begins to make a page; `nil`: too many wait.
    func make(_ page: DebugPage) -> PendingContent? {
        let pending = PendingContent()
        let isQueued = self.workers.submit { loops in
            guard !pending.isAbandoned else { return }
            pending.complete(
                HTTPContent(
                    status: .ok, type: "application/json",
                    body: Array((loops.render(page) + "\n").utf8)))
        }
        return isQueued ? pending : nil
    }
}
