/// One deadline of a stream or connection, linked into the wheel; owned by what it times.
final class Timer {
    /// Monotonic nanoseconds; meaningful while it is scheduled.
    fileprivate(set) var dueNanoseconds: UInt64 = 0
    fileprivate var slot = -1
    // SAFETY: what a timer times owns it, and cancels it before it ends: a linked timer is alive.
    fileprivate var previous: Unmanaged<Timer>?
    fileprivate var next: Unmanaged<Timer>?
    /// What to do; set by the owner once.
    var fire: (() -> Void)?

    var isScheduled: Bool { self.slot >= 0 }
}

/// Deadlines of everything on one loop: scheduling and cancelling cost the same whatever their
/// number, and a cancelled one leaves nothing behind, so the wheel holds at most one timer per open
/// stream and connection.
///
/// One turn is `slotCount` slots of `slotNanoseconds`; a timer further away stays in its slot for
/// more turns.
struct TimerWheel {
    /// Deadlines fire at most this late, in nanoseconds.
    static let slotNanoseconds: UInt64 = 4_000_000
    static let slotCount = 1_024

    // SAFETY: a slot refers to linked timers only, and their owners keep those alive.
    private var slots: [Unmanaged<Timer>?] = Array(repeating: nil, count: slotCount)
    private var tick: UInt64
    private(set) var count = 0

    init(nowNanoseconds: UInt64) {
        self.tick = nowNanoseconds / Self.slotNanoseconds
    }

    /// Schedules or moves `timer`, which must stay alive until it fires or is cancelled.
    mutating func schedule(_ timer: Timer, atNanoseconds due: UInt64) {
        self.cancel(timer)
        let tick = max(due / Self.slotNanoseconds &+ 1, self.tick + 1)
        let slot = Int(tick % UInt64(Self.slotCount))
        timer.dueNanoseconds = due
        timer.slot = slot
        timer.next = self.slots[slot]
        timer.previous = nil
        // SAFETY: every linked timer is kept alive by its owner, which cancels it before it ends.
        timer.next?._withUnsafeGuaranteedRef { $0.previous = Unmanaged.passUnretained(timer) }
        self.slots[slot] = Unmanaged.passUnretained(timer)
        self.count += 1
    }

    /// Takes `timer` out, if it is in.
    mutating func cancel(_ timer: Timer) {
        guard timer.isScheduled else { return }
        if let previous = timer.previous {
            previous._withUnsafeGuaranteedRef { $0.next = timer.next }
        } else {
            self.slots[timer.slot] = timer.next
        }
        timer.next?._withUnsafeGuaranteedRef { $0.previous = timer.previous }
        timer.slot = -1
        timer.previous = nil
        timer.next = nil
        self.count -= 1
    }

    /// Takes out the next timer that is due; call until `nil`.
    mutating func popDue(nowNanoseconds: UInt64) -> Timer? {
        let now = nowNanoseconds / Self.slotNanoseconds
        // After a long sleep one turn sees every slot.
        if now > self.tick + UInt64(Self.slotCount) { self.tick = now - UInt64(Self.slotCount) }
        while true {
            var cursor = self.slots[Int(self.tick % UInt64(Self.slotCount))]
            // SAFETY: a linked timer is alive; the reference counted here ends with the iteration.
            while let timer = cursor?.takeUnretainedValue() {
                if timer.dueNanoseconds <= nowNanoseconds {
                    self.cancel(timer)
                    return timer
                }
                cursor = timer.next
            }
            guard self.tick < now else { return nil }
            self.tick += 1
        }
    }
}
