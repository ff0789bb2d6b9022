import IOCore
import Synchronization

/// How a thread that writes what others queue rests, is woken, and ends once nothing more comes.
final class WriterEnd: Sendable {
    /// Wakes the thread.
    let parker: any Parker
    private let ended: any Parker
    private let hasEnded = Atomic<Bool>(false)
    private let isStopping = Atomic<Bool>(false)

    /// - Parameter makeParker: Called twice.
    init(makeParker: () -> any Parker) {
        self.parker = makeParker()
        self.ended = makeParker()
    }

    /// Nothing will be added any more: what cannot be written now need not be waited for.
    var isFinishing: Bool { self.isStopping.load(ordering: .acquiring) }

    /// The last the thread does.
    func announce() {
        self.hasEnded.store(true, ordering: .releasing)
        self.ended.wake()
    }

    /// Waits until the thread has ended, but not longer than `nanoseconds`. Called once.
    ///
    /// - Parameter stop: Called before the wait, once `isFinishing` holds.
    /// - Returns: Whether it has, and can be joined.
    func finish(withinNanoseconds nanoseconds: UInt64, stop: () -> Void = {}) -> Bool {
        self.isStopping.store(true, ordering: .releasing)
        stop()
        self.parker.wake()
        if !self.hasEnded.load(ordering: .acquiring) {
            self.ended.park(forNanoseconds: nanoseconds)
        }
        return self.hasEnded.load(ordering: .acquiring)
    }
}
