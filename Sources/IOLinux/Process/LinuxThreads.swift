import CLinux
import Glibc
import IOCore
import Synchronization

/// Starts operating system threads.
package final class LinuxThreadStarter: ThreadStarter {
    /// Stack of a thread, in bytes: ample, since the recursion depth of decoding is bounded.
    private static let stackBytes = 1 << 20

    package init() {}

    package func start(name: String, body: @escaping @Sendable () -> Void) -> any RunningThread {
        LinuxThread(name: name, stackBytes: Self.stackBytes, body: body)
    }
}

/// One started thread.
final class LinuxThread: RunningThread {
    private final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    private let thread: pthread_t

    init(name: String, stackBytes: Int, body: @escaping @Sendable () -> Void) {
        // SAFETY: the retained start is taken over, once, by the thread that begins.
        let start = Unmanaged.passRetained(Start(name: name, body: body))
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, stackBytes)
        var thread = pthread_t()
        // SAFETY: the new thread takes over the retained `Start`, exactly once.
        let result = pthread_create(
            &thread, &attributes,
            { argument in
                let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                linux_name_thread(start.name)
                start.body()
                return nil
            }, start.toOpaque())
        precondition(result == 0, "pthread_create failed")
        pthread_attr_destroy(&attributes)
        self.thread = thread
    }

    func join() {
        pthread_join(self.thread, nil)
    }
}

/// Parks a thread on a condition variable; waking a thread that is awake costs one atomic exchange.
// SAFETY: `state` is atomic; the mutex and the condition have fixed addresses, are made for use by
// several threads, and live as long as the object.
package final class LinuxParker: Parker, @unchecked Sendable {
    private enum State: UInt8 {
        case awake = 0
        case notified = 1
        case parked = 2
    }

    private let state = Atomic<UInt8>(State.awake.rawValue)
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    package init() {
        // SAFETY: both are initialised here, used by address only, and destroyed with the object,
        // when no thread is parked.
        self.mutex = .allocate(capacity: 1)
        self.condition = .allocate(capacity: 1)
        pthread_mutex_init(self.mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(self.condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(self.condition)
        pthread_mutex_destroy(self.mutex)
        self.condition.deallocate()
        self.mutex.deallocate()
    }

    package func park(forNanoseconds nanoseconds: UInt64?) {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        let (isParked, _) = self.state.compareExchange(
            expected: State.awake.rawValue, desired: State.parked.rawValue,
            ordering: .acquiringAndReleasing)
        if isParked { self.wait(forNanoseconds: nanoseconds) }
        self.state.store(State.awake.rawValue, ordering: .releasing)
    }

    private func wait(forNanoseconds nanoseconds: UInt64?) {
        guard let nanoseconds else {
            while self.state.load(ordering: .acquiring) == State.parked.rawValue {
                pthread_cond_wait(self.condition, self.mutex)
            }
            return
        }
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        let total = UInt64(until.tv_nsec) + nanoseconds
        until.tv_sec += Int(total / 1_000_000_000)
        until.tv_nsec = Int(total % 1_000_000_000)
        while self.state.load(ordering: .acquiring) == State.parked.rawValue {
            if pthread_cond_timedwait(self.condition, self.mutex, &until) == ETIMEDOUT { return }
        }
    }

    package func wake() {
        let before = self.state.exchange(State.notified.rawValue, ordering: .acquiringAndReleasing)
        guard before == State.parked.rawValue else { return }
        // Taking the lock ensures that the parked thread has reached its wait. The signal is sent
        // after unlocking, so that the woken thread does not block on the lock again.
        pthread_mutex_lock(self.mutex)
        pthread_mutex_unlock(self.mutex)
        pthread_cond_signal(self.condition)
    }
}
