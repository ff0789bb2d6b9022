import Bytes
import GRPCTransport
import Profiles

/// Who the connections and open calls of one loop belong to.
///
/// Used by its loop's thread only. Empty as long as no keys are configured.
struct CallerTable {
    /// The key that a connection presented last. Calls come with the same header again and again:
    /// it is compared instead of hashed.
    private struct Cached {
        /// Of the connection; another one: nothing is cached.
        var generation: UInt32 = 0
        /// Not set: nothing is cached.
        var header = HeaderBytes()
        var version = AccessVersion(keys: 0, operators: 0)
        var grant = Grant.none
    }

    /// An open call, or one that has ended.
    private struct Call {
        /// `nil`: the slot was never used.
        var token: CallToken?
        var method = 0
        var grant = Grant.none
        var isStream = false
        /// It counts as open in its key's usage.
        var isCounted = false
        /// Its slot is in `streamSlots`.
        var isWatched = false
    }

    /// By the slot of the connection.
    private var connections: [Cached] = []
    /// By the slot of the stream.
    private var calls: [Call] = []
    /// Slots of streams: they end with their key. Each is in it once.
    private var streamSlots: [Int] = []
    /// The keys that the streams were compared with last.
    private var watchedVersion = AccessVersion(keys: 0, operators: 0)
    private var nextWatchNanoseconds: UInt64 = 0

    /// How often the expiries of streams are looked at, in nanoseconds: half of the second within
    /// which they end.
    private static let watchNanoseconds: UInt64 = 500_000_000

    // MARK: Connections

    /// Whether the header is the one that the connection brought last, and nothing has changed
    /// since: `latest` holds then.
    ///
    /// Budget: no hash, no lock; the time does not depend on where two headers differ.
    @inline(__always)
    func isCached(
        _ token: CallToken, _ header: UnsafeRawBufferPointer, _ version: AccessVersion, now: Int64
    ) -> Bool {
        let slot = Int(token.connectionSlot)
        return slot < self.connections.count
            && self.connections[slot].generation == token.connectionGeneration
            && self.connections[slot].header.equals(header)
            && self.connections[slot].version == version
            && now < self.connections[slot].grant.expiresAt
    }

    /// What the header was good for when it was checked last, though keys have changed since.
    func outdated(_ token: CallToken, _ header: UnsafeRawBufferPointer) -> Grant? {
        let slot = Int(token.connectionSlot)
        guard slot < self.connections.count,
            self.connections[slot].generation == token.connectionGeneration,
            self.connections[slot].header.equals(header)
        else { return nil }
        return self.connections[slot].grant
    }

    /// Reads something of what the connection's last header allows; after `isCached` or `cache`.
    @inline(__always)
    func latest<Value>(_ token: CallToken, _ field: (borrowing Grant) -> Value) -> Value {
        field(self.connections[Int(token.connectionSlot)].grant)
    }

    /// Remembers what a header allows.
    ///
    /// - Parameter version: Read before the key was looked up: a change in between makes the grant
    ///   outdated.
    mutating func cache(
        _ grant: Grant, _ token: CallToken, _ header: UnsafeRawBufferPointer,
        _ version: AccessVersion
    ) {
        let slot = Int(token.connectionSlot)
        while self.connections.count <= slot { self.connections.append(Cached()) }
        self.connections[slot] = Cached(
            generation: token.connectionGeneration, header: HeaderBytes(header), version: version,
            grant: grant)
    }

    /// A connection is gone: its secret does not stay in memory.
    mutating func forget(connection slot: Int) {
        guard slot < self.connections.count else { return }
        self.connections[slot] = Cached()
    }

    // MARK: Calls

    /// A call was admitted by what its connection's last header allows.
    @inline(__always)
    mutating func open(_ token: CallToken, method: Int, isStream: Bool, isCounted: Bool) {
        let slot = Int(token.streamSlot)
        while self.calls.count <= slot { self.calls.append(Call()) }
        self.calls[slot].token = token
        self.calls[slot].method = method
        self.calls[slot].grant = self.connections[Int(token.connectionSlot)].grant
        self.calls[slot].isStream = isStream
        self.calls[slot].isCounted = isCounted
        guard isStream, !self.calls[slot].isWatched else { return }
        self.calls[slot].isWatched = true
        self.streamSlots.append(slot)
    }

    /// A call that was admitted as counted has ended.
    mutating func end(_ token: CallToken) {
        guard self.isKnown(token), self.calls[Int(token.streamSlot)].isCounted else { return }
        self.calls[Int(token.streamSlot)].isCounted = false
        self.calls[Int(token.streamSlot)].grant.usage.endCall()
    }

    /// Whether the call was admitted with a key.
    @inline(__always)
    func isKnown(_ token: CallToken) -> Bool {
        Int(token.streamSlot) < self.calls.count && self.calls[Int(token.streamSlot)].token == token
    }

    /// Reads something of what an open call may do; `nil`: it was admitted without a key.
    @inline(__always)
    func grant<Value>(of token: CallToken, _ field: (borrowing Grant) -> Value) -> Value? {
        guard self.isKnown(token) else { return nil }
        return field(self.calls[Int(token.streamSlot)].grant)
    }

    /// The method of an open call; `nil`: it was admitted without a key.
    func method(of token: CallToken) -> Int? {
        self.isKnown(token) ? self.calls[Int(token.streamSlot)].method : nil
    }

    // MARK: Streams

    /// Whether the streams have to be compared with the keys, because these have changed or time
    /// has passed.
    mutating func isWatchDue(_ version: AccessVersion, nowNanoseconds: UInt64) -> Bool {
        guard
            version != self.watchedVersion || nowNanoseconds >= self.nextWatchNanoseconds
        else { return false }
        self.watchedVersion = version
        self.nextWatchNanoseconds = nowNanoseconds + Self.watchNanoseconds
        return true
    }

    var hasStreams: Bool { !self.streamSlots.isEmpty }

    /// The streams whose grant does not hold any more; they are forgotten, and so are those that
    /// have ended.
    ///
    /// - Complexity: O(open streams).
    mutating func takeEnded(
        isOpen: (CallToken) -> Bool, isValid: (Grant) -> Bool
    ) -> [CallToken] {
        var ended: [CallToken] = []
        var kept = 0
        for slot in self.streamSlots {
            guard let token = self.calls[slot].token else { continue }
            // A unary call may be in the slot meanwhile: it goes on, as it began in time.
            let isOpen = self.calls[slot].isStream && isOpen(token)
            if isOpen, isValid(self.calls[slot].grant) {
                self.streamSlots[kept] = slot
                kept += 1
                continue
            }
            self.calls[slot].isWatched = false
            if isOpen { ended.append(token) }
        }
        self.streamSlots.removeLast(self.streamSlots.count - kept)
        return ended
    }
}

/// The value of `authorization` in place, as long as that of a key is.
struct HeaderBytes: BitwiseCopyable {
    /// Bytes of `Bearer `.
    static let schemeBytes = 7
    /// Bytes of scheme and key.
    static let bytes = Self.schemeBytes + KeyText.bytes

    private var first = SIMD8<UInt64>()
    /// The last eight bytes, some of which are in `first` too.
    private var last: UInt64 = 0
    private var isSet = false

    init() {}

    /// - Precondition: The header has as many bytes as a key's.
    init(_ header: UnsafeRawBufferPointer) {
        precondition(header.count == Self.bytes, "only a key's header is kept")
        (self.first, self.last) = Self.words(of: header)
        self.isSet = true
    }

    /// Whether these are the bytes; the time does not depend on where they differ.
    @inline(__always)
    func equals(_ header: UnsafeRawBufferPointer) -> Bool {
        guard header.count == Self.bytes, self.isSet else { return false }
        let (first, last) = Self.words(of: header)
        let difference = self.first ^ first
        let halves = difference.lowHalf | difference.highHalf
        let quarters = halves.lowHalf | halves.highHalf
        return quarters[0] | quarters[1] | (self.last ^ last) == 0
    }

    // SAFETY: the caller owns the header for this call, and has compared its length: the first
    // load ends before it does, the second one with it.
    @inline(__always)
    private static func words(of header: UnsafeRawBufferPointer) -> (SIMD8<UInt64>, UInt64) {
        (
            header.loadUnaligned(as: SIMD8<UInt64>.self),
            header.loadUnaligned(fromByteOffset: Self.bytes - 8, as: UInt64.self)
        )
    }
}
