import IOCore
import Profiles
import Synchronization

/// What the calls under one key use, counted by all loops without a lock.
struct KeyCounters: ~Copyable {
    /// The generation of the use of this memory in the high half, open calls in the low one: a call
    /// of an earlier key in the same memory changes nothing.
    fileprivate let calls = Atomic<UInt64>(0)
    /// When the tokens that were taken are all there again, in monotonic nanoseconds (GCRA).
    fileprivate let fullNanoseconds = Atomic<UInt64>(0)
    /// Minutes since 1970; 0: never.
    fileprivate let lastUsedMinute = Atomic<UInt32>(0)
}

/// The counters of one key.
///
/// Their memory lives as long as the table, and may serve another key once this one is gone; then
/// this handle counts nothing.
// SAFETY: `KeyUsageTable` allocates the memory, and frees it in deinit; whoever has a handle keeps
// the table. All that changes in it is atomic.
struct KeyUsageHandle: BitwiseCopyable, @unchecked Sendable {
    fileprivate let cell: UnsafeMutablePointer<KeyCounters>
    fileprivate let generation: UInt32

    /// Nanoseconds that the bucket holds: a burst of one second's worth.
    static let burstNanoseconds: UInt64 = 1_000_000_000

    /// Of no key: counts nothing.
    // SAFETY: allocated once and never freed; what changes in it is atomic.
    static let nothing: KeyUsageHandle = {
        let cell = UnsafeMutablePointer<KeyCounters>.allocate(capacity: 1)
        cell.initialize(to: KeyCounters())
        return KeyUsageHandle(cell: cell, generation: .max)
    }()

    private var isCurrent: Bool {
        self.cell.pointee.calls.load(ordering: .relaxed) >> 32 == UInt64(self.generation)
    }

    // MARK: Calls

    /// Counts one more open call, unless there are `maximum` already.
    ///
    /// - Returns: Whether it was counted; `endCall` follows once it has ended.
    func beginCall(maximum: UInt32) -> Bool {
        var value = self.cell.pointee.calls.load(ordering: .relaxed)
        while true {
            guard value >> 32 == UInt64(self.generation) else { return true }
            guard UInt32(truncatingIfNeeded: value) < maximum else { return false }
            let (exchanged, current) = self.cell.pointee.calls.weakCompareExchange(
                expected: value, desired: value + 1, ordering: .relaxed)
            if exchanged { return true }
            value = current
        }
    }

    /// A counted call has ended.
    func endCall() {
        var value = self.cell.pointee.calls.load(ordering: .relaxed)
        while value >> 32 == UInt64(self.generation), UInt32(truncatingIfNeeded: value) > 0 {
            let (exchanged, current) = self.cell.pointee.calls.weakCompareExchange(
                expected: value, desired: value - 1, ordering: .relaxed)
            if exchanged { return }
            value = current
        }
    }

    // MARK: Updates

    /// Takes tokens for so many operations.
    ///
    /// More operations at once than one second allows need a full bucket, and leave it in debt:
    /// otherwise a call within every other limit could never be made.
    ///
    /// - Returns: Nanoseconds to wait before it can be tried again; 0: they were taken.
    func take(_ operations: Int, perSecond: UInt32, nowNanoseconds now: UInt64) -> UInt64 {
        guard self.isCurrent else { return 0 }
        let cost = UInt64(operations) * Self.burstNanoseconds / UInt64(max(perSecond, 1))
        let needed = min(cost, Self.burstNanoseconds)
        var full = self.cell.pointee.fullNanoseconds.load(ordering: .relaxed)
        while true {
            let start = max(full, now)
            let used = start - now
            guard used + needed <= Self.burstNanoseconds else {
                return used + needed - Self.burstNanoseconds
            }
            let (exchanged, current) = self.cell.pointee.fullNanoseconds.weakCompareExchange(
                expected: full, desired: start + cost, ordering: .relaxed)
            if exchanged { return 0 }
            full = current
        }
    }

    /// Whether a token for one operation is there.
    func hasToken(perSecond: UInt32, nowNanoseconds now: UInt64) -> Bool {
        let cost = Self.burstNanoseconds / UInt64(max(perSecond, 1))
        let full = self.cell.pointee.fullNanoseconds.load(ordering: .relaxed)
        return max(full, now) - now + cost <= Self.burstNanoseconds || !self.isCurrent
    }

    // MARK: Last use

    /// Notes that the key was used; writes only once a minute.
    @inline(__always)
    func note(minute: UInt32) {
        guard self.cell.pointee.lastUsedMinute.load(ordering: .relaxed) != minute else { return }
        self.cell.pointee.lastUsedMinute.store(minute, ordering: .relaxed)
    }
}

/// The counters of every key that was used since the start and still exists.
///
/// Locked when a connection presents a key for the first time, never for a call.
final class KeyUsageTable: Sendable {
    /// Keys of one piece of memory.
    private static let pageKeys = 256
    /// Below this nothing is looked for that is gone.
    private static let countMin = 1_024

    /// A key's name as the key of a dictionary.
    private struct Name: Hashable {
        let high: UInt64
        let low: UInt64

        init(_ name: KeyName) { (self.high, self.low) = (name.high, name.low) }
    }

    // SAFETY: the pages belong to the table, which frees them in deinit; used under its lock only.
    private struct State: @unchecked Sendable {
        var pages: [UnsafeMutablePointer<KeyCounters>] = []
        var handles: [Name: KeyUsageHandle] = [:]
        var free: [KeyUsageHandle] = []
        var nextPrune = KeyUsageTable.countMin
    }

    private let state = Guarded(State())

    deinit {
        self.state.withLock { state in
            for page in state.pages {
                page.deinitialize(count: Self.pageKeys)
                page.deallocate()
            }
        }
    }

    /// Keys that have counters.
    var count: Int { self.state.withLock { $0.handles.count } }

    /// When a key was last used, in minutes since 1970; 0: not since the start.
    func lastUsedMinute(_ name: KeyName) -> UInt32 {
        self.state.withLock { state in
            // Optional chaining reads through the null pointer under the thread sanitizer.
            guard let handle = state.handles[Name(name)] else { return 0 }
            return handle.cell.pointee.lastUsedMinute.load(ordering: .relaxed)
        }
    }

    /// The counters of a key; it gets some if it has none.
    ///
    /// - Parameter isGone: Whether a key exists no more. Asked of all of them when their number has
    ///   doubled, so that keys which come and go leave nothing.
    /// - Complexity: O(1), amortised.
    func handle(of name: KeyName, isGone: (KeyName) -> Bool) -> KeyUsageHandle {
        self.state.withLock { state in
            if let known = state.handles[Name(name)] { return known }
            if state.handles.count >= state.nextPrune { Self.prune(&state, isGone) }
            if state.free.isEmpty { Self.addPage(&state) }
            let handle = state.free.removeLast()
            state.handles[Name(name)] = handle
            return handle
        }
    }

    private static func prune(_ state: inout State, _ isGone: (KeyName) -> Bool) {
        for (name, handle) in state.handles {
            guard let keyName = KeyName(high: name.high, low: name.low), isGone(keyName) else {
                continue
            }
            state.handles[name] = nil
            // The generation after it: calls that are still open count no more.
            let next = KeyUsageHandle(cell: handle.cell, generation: handle.generation &+ 1)
            next.cell.pointee.calls.store(UInt64(next.generation) << 32, ordering: .relaxed)
            next.cell.pointee.fullNanoseconds.store(0, ordering: .relaxed)
            next.cell.pointee.lastUsedMinute.store(0, ordering: .relaxed)
            state.free.append(next)
        }
        state.nextPrune = max(Self.countMin, state.handles.count * 2)
    }

    private static func addPage(_ state: inout State) {
        let page = UnsafeMutablePointer<KeyCounters>.allocate(capacity: Self.pageKeys)
        for index in 0 ..< Self.pageKeys { (page + index).initialize(to: KeyCounters()) }
        state.pages.append(page)
        for index in 0 ..< Self.pageKeys {
            state.free.append(KeyUsageHandle(cell: page + index, generation: 0))
        }
    }
}
