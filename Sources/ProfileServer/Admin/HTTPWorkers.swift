import IOCore

/// A number of threads that make responses and may block; the listener's thread never does.
final class HTTPWorkers<Tool>: Sendable {
    /// Makes one response; gets what its thread has for that.
    typealias Job = @Sendable (Tool) -> Void

    private struct State: Sendable {
        /// Jobs that wait for a thread, the oldest first.
        var waiting: [Job] = []
        /// Threads that wait for a job.
        var idle: [Int] = []
        /// The job that a thread was woken for.
        var assigned: [Int: Job] = [:]
        var isStopping = false
    }

    private let parkers: [any Parker]
    /// Most jobs that wait for a thread.
    private let waitingMax: Int
    private let state = Guarded(State())

    init(count: Int, waitingMax: Int, makeParker: () -> any Parker) {
        self.parkers = (0 ..< count).map { _ in makeParker() }
        self.waitingMax = waitingMax
    }

    var isStopping: Bool { self.state.withLock { $0.isStopping } }

    /// Starts the threads.
    ///
    /// - Parameter makeTool: Called once on each of them.
    func start(
        _ threads: any ThreadStarter, name: String, makeTool: @escaping @Sendable () -> Tool
    ) -> [any RunningThread] {
        self.parkers.indices.map { index in
            threads.start(name: "\(name)-\(index)") { self.run(index, makeTool()) }
        }
    }

    /// Queues a job; false if all threads are busy and too many jobs wait.
    func submit(_ job: @escaping Job) -> Bool {
        let (isTaken, idle) = self.state.withLock { state -> (Bool, Int?) in
            guard !state.isStopping else { return (false, nil) }
            if let idle = state.idle.popLast() {
                state.assigned[idle] = job
                return (true, idle)
            }
            guard state.waiting.count < self.waitingMax else { return (false, nil) }
            state.waiting.append(job)
            return (true, nil)
        }
        if let idle { self.parkers[idle].wake() }
        return isTaken
    }

    /// Makes the threads end when they have no job.
    func stop() {
        self.state.withLock { $0.isStopping = true }
        for parker in self.parkers { parker.wake() }
    }

    private enum Next {
        case job(Job)
        case wait
        case end
    }

    private func run(_ index: Int, _ tool: Tool) {
        while true {
            switch self.next(index) {
            case .job(let job): job(tool)
            case .wait: self.parkers[index].park(forNanoseconds: nil)
            case .end: return
            }
        }
    }

    private func next(_ index: Int) -> Next {
        self.state.withLock { state in
            if let job = state.assigned.removeValue(forKey: index) { return .job(job) }
            if !state.waiting.isEmpty { return .job(state.waiting.removeFirst()) }
            guard !state.isStopping else { return .end }
            // It may have been woken for nothing, and be idle already.
            if !state.idle.contains(index) { state.idle.append(index) }
            return .wait
        }
    }
}
