import Synchronization

/// A value behind a lock, for short critical sections that neither block nor call other components.
///
/// `Synchronization.Mutex` waits inside a library that is built without the thread sanitizer, which
/// therefore misses the ordering between two threads that contend for the lock. The atomic word
/// expresses the same ordering in instrumented code: a plain load and a plain store on x86.
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
