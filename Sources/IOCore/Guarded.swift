import Synchronization

/// A value behind a lock, for short sections that neither wait nor call out.
///
/// `Synchronization.Mutex` waits inside a library that is built without the thread sanitizer, which
/// then misses the hand-over between two threads that met at the lock. The ordering word says the
/// same in our own code: a plain load and a plain store on x86.
package final class Guarded<Value: ~Copyable & Sendable>: Sendable {
    private let mutex: Mutex<Value>
    private let order = Atomic<UInt32>(0)

    package init(_ value: consuming sending Value) {
        self.mutex = Mutex(value)
    }

    /// Runs `body` while holding the lock.
    package func withLock<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        self.mutex.withLock { value in
            _ = self.order.load(ordering: .acquiring)
            defer { self.order.store(1, ordering: .releasing) }
            return body(&value)
        }
    }
}
