import CLinux
import Glibc
import IOCore

/// Level-triggered epoll that an eventfd wakes.
// SAFETY: one thread owns the poller; `wake`, the only call from other threads, just writes to the
// eventfd, whose descriptor never changes.
final class EpollPoller: Poller, @unchecked Sendable {
    /// Most descriptors reported by one wait; the next wait reports the rest.
    private static let readyMax = 256
    private static let wakeTag = UInt64.max - 1

    private let epoll: Int32
    private let event: Int32
    // SAFETY: both are allocated in `init` for the largest number of events a wait returns and
    // freed with the poller, which one thread uses; what `wait` returns is valid until the next
    // one.
    private let raw: UnsafeMutablePointer<linux_ready>
    private let ready: UnsafeMutablePointer<IOReadiness>

    init() throws(IOError) {
        self.epoll = linux_epoll_create()
        self.event = linux_eventfd()
        self.raw = .allocate(capacity: Self.readyMax)
        self.ready = .allocate(capacity: Self.readyMax)
        guard self.epoll >= 0, self.event >= 0 else {
            throw IOError(operation: "epoll_create1", subject: "poller")
        }
        try self.add(self.event, tag: Self.wakeTag, interest: .read)
    }

    deinit {
        Glibc.close(self.event)
        Glibc.close(self.epoll)
        self.raw.deallocate()
        self.ready.deallocate()
    }

    func add(_ descriptor: Int32, tag: UInt64, interest: IOInterest) throws(IOError) {
        guard linux_epoll_ctl(self.epoll, 1, descriptor, Self.events(interest), tag) == 0 else {
            throw IOError(operation: "epoll_ctl", subject: "descriptor \(descriptor)")
        }
    }

    func modify(_ descriptor: Int32, tag: UInt64, interest: IOInterest) {
        let result = linux_epoll_ctl(self.epoll, 3, descriptor, Self.events(interest), tag)
        precondition(result == 0, "only a watched descriptor is modified")
    }

    func remove(_ descriptor: Int32) {
        // The error for a descriptor that is not watched is ignored.
        _ = linux_epoll_ctl(self.epoll, 2, descriptor, 0, 0)
    }

    func wait(forNanoseconds nanoseconds: UInt64?) -> (
        ready: UnsafeBufferPointer<IOReadiness>, woken: Bool
    ) {
        // Rounded up, because a wait that ends before the timer is due would spin.
        let milliseconds = nanoseconds.map { Int32(clamping: ($0 + 999_999) / 1_000_000) } ?? -1
        let found = linux_epoll_wait(self.epoll, self.raw, Int32(Self.readyMax), milliseconds)
        var count = 0
        var woken = false
        for index in 0 ..< max(0, Int(found)) {
            let entry = self.raw[index]
            if entry.tag == Self.wakeTag {
                woken = true
                linux_eventfd_clear(self.event)
                continue
            }
            let failed = entry.events & (linux_epollerr | linux_epollhup) != 0
            var interest = IOInterest(rawValue: 0)
            if failed || entry.events & (linux_epollin | linux_epollrdhup) != 0 {
                interest.insert(.read)
            }
            if failed || entry.events & linux_epollout != 0 { interest.insert(.write) }
            (self.ready + count).initialize(to: IOReadiness(tag: entry.tag, interest: interest))
            count += 1
        }
        return (UnsafeBufferPointer(start: self.ready, count: count), woken)
    }

    func wake() {
        linux_eventfd_signal(self.event)
    }

    private static func events(_ interest: IOInterest) -> UInt32 {
        (interest.contains(.read) ? linux_epollin | linux_epollrdhup : 0)
            | (interest.contains(.write) ? linux_epollout : 0)
    }
}
