import GRPCTransport
import IOCore

/// Makes the pages of what the loops have open. They wait for the loops, so they are made on a
/// thread of their own, and probes do not wait with them.
final class DebugPages: Sendable {
    /// Most pages that wait for the thread: each connection of the listener asks for one at a time.
    static let waitingMax = AdminListener.connectionsMax

    private let workers: HTTPWorkers<LoopPages>
    private let makePages: @Sendable () -> LoopPages

    init(
        _ inspectors: [LoopInspector], clock: any Clock,
        makeParker: @escaping @Sendable () -> any Parker
    ) {
        self.workers = HTTPWorkers(
            count: 1, waitingMax: Self.waitingMax, makeParker: makeParker)
        self.makePages = { LoopPages(inspectors, clock: clock, parker: makeParker()) }
    }

    func start(_ threads: any ThreadStarter) -> [any RunningThread] {
        self.workers.start(threads, name: "debug-pages", makeTool: self.makePages)
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
