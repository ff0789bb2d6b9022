import Bytes
import GRPCTransport
import Profiles

/// Who the connections and open calls of one loop belong to.
///
/// Used by its loop's thread only. Empty as long as no keys are configured.
struct CallerTable: ~Copyable {
    /// The key that a connection presented last. Calls come with the same header again and again:
    /// it is compared instead of hashed.
    private struct Cached: BitwiseCopyable {
        /// Of the connection; another one: nothing is cached.
        var generation: UInt32 = 0
        /// Not set: nothing is cached.
        var header = HeaderBytes()
        var version = AccessVersion(keys: 0, operators: 0)
        var grant = Grant.none
        /// Which `cache` it came from; no two have the same.
        var serial: UInt64 = 0
    }

    /// An open call, or one that has ended.
    private struct Call: BitwiseCopyable {
        /// Of loop `UInt32.max`, which no node has: the slot was never used.
        var token = CallToken(
            loop: .max, connectionSlot: 0, connectionGeneration: 0, streamSlot: 0,
            streamGeneration: 0)
        var method = 0
        var grant = Grant.none
        /// That of the grant; 0: none. Most calls in a slot have the grant of the one before.
        var serial: UInt64 = 0
        /// As of which the grant is known to hold.
        var version = AccessVersion(keys: 0, operators: 0)
        var isStream = false
        /// It counts as open in its key's usage.
        var isCounted = false
        /// Its slot is in `streamSlots`.
        var isWatched = false
    }

    /// By the slot of the connection.
    private var connections = SlotTable(empty: Cached())
    /// By the slot of the stream.
    private var calls = SlotTable(empty: Call())
    private var lastSerial: UInt64 = 0
    /// Slots of streams: they end with their key. Each is in it once.
    private var streamSlots: [Int] = []
    /// The keys that the streams were compared with last.
    private var watchedVersion = AccessVersion(keys: 0, operators: 0)
    private var lastWatchNanoseconds: UInt64 = 0

    /// How often the expiries of streams are looked at, in nanoseconds: half of the second within
    /// which they end.
    private static let watchNanoseconds: UInt64 = 500_000_000
    /// How soon streams are looked at again after a change of keys, in nanoseconds: each look costs
    /// as much as there are streams, and one project's keys may change all the time.
    private static let changeNanoseconds: UInt64 = 100_000_000

    init() {}

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
        guard slot < self.connections.count else { return false }
        let cached = self.connections[slot]
        return cached.pointee.generation == token.connectionGeneration
            && cached.pointee.header.equals(header) && cached.pointee.version.equals(version)
            && now < cached.pointee.grant.expiresAt
    }

    /// As above for a connection whose certificate stands for a key, and which sends none.
    @inline(__always)
    func isCertificateCached(_ token: CallToken, _ version: AccessVersion, now: Int64) -> Bool {
        let slot = Int(token.connectionSlot)
        guard slot < self.connections.count else { return false }
        let cached = self.connections[slot]
        return cached.pointee.generation == token.connectionGeneration
            && cached.pointee.grant.certificate != .zero && cached.pointee.version.equals(version)
            && now < cached.pointee.grant.expiresAt
    }

    /// What the header was good for when it was checked last, though keys have changed since.
    func outdated(_ token: CallToken, _ header: UnsafeRawBufferPointer) -> Grant? {
        let slot = Int(token.connectionSlot)
        guard slot < self.connections.count,
            self.connections[slot].pointee.generation == token.connectionGeneration,
            self.connections[slot].pointee.header.equals(header)
        else { return nil }
        return self.connections[slot].pointee.grant
    }

    /// Reads something of what the connection's last header allows; after `isCached` or `cache`.
    @inline(__always)
    func latest<Value>(_ token: CallToken, _ field: (borrowing Grant) -> Value) -> Value {
        field(self.connections[Int(token.connectionSlot)].pointee.grant)
    }

    /// Remembers what a header allows.
    ///
    /// - Parameter version: Read before the key was looked up: a change in between makes the grant
    ///   outdated.
    mutating func cache(
        _ grant: Grant, _ token: CallToken, _ header: UnsafeRawBufferPointer,
        _ version: AccessVersion
    ) {
        self.cache(grant, token, HeaderBytes(header), version)
    }

    /// Remembers what the connection's certificate allows; no header is equal to it.
    mutating func cacheCertificate(_ grant: Grant, _ token: CallToken, _ version: AccessVersion) {
        self.cache(grant, token, HeaderBytes(), version)
    }

    private mutating func cache(
        _ grant: Grant, _ token: CallToken, _ header: HeaderBytes, _ version: AccessVersion
    ) {
        let slot = Int(token.connectionSlot)
        self.connections.reach(slot)
        self.lastSerial += 1
        self.connections[slot].pointee = Cached(
            generation: token.connectionGeneration, header: header, version: version,
            grant: grant, serial: self.lastSerial)
    }

    /// A connection is gone: its secret does not stay in memory.
    mutating func forget(connection slot: Int) {
        guard slot < self.connections.count else { return }
        self.connections[slot].pointee = Cached()
    }

    // MARK: Calls

    /// A call was admitted by what its connection's last header allows.
    @inline(__always)
    mutating func open(_ token: CallToken, method: Int, isStream: Bool, isCounted: Bool) {
        let slot = Int(token.streamSlot)
        self.calls.reach(slot)
        let (call, cached) = (self.calls[slot], self.connections[Int(token.connectionSlot)])
        call.pointee.token = token
        call.pointee.method = method
        if call.pointee.serial != cached.pointee.serial {
            call.pointee.grant = cached.pointee.grant
            call.pointee.serial = cached.pointee.serial
        }
        call.pointee.version = cached.pointee.version
        call.pointee.isStream = isStream
        call.pointee.isCounted = isCounted
        guard isStream, !call.pointee.isWatched else { return }
        call.pointee.isWatched = true
        self.streamSlots.append(slot)
    }

    /// A call that was admitted as counted has ended.
    func end(_ token: CallToken) {
        guard let call = self.known(token), call.pointee.isCounted else { return }
        call.pointee.isCounted = false
        call.pointee.grant.usage.endCall()
    }

    /// The call, if it was admitted with a key.
    @inline(__always)
    private func known(_ token: CallToken) -> UnsafeMutablePointer<Call>? {
        let slot = Int(token.streamSlot)
        guard slot < self.calls.count, self.calls[slot].pointee.token.isSame(as: token) else {
            return nil
        }
        return self.calls[slot]
    }

    /// Whether the call was admitted with a key.
    @inline(__always)
    func isKnown(_ token: CallToken) -> Bool { self.known(token) != nil }

    /// Reads something of what an open call may do; `nil`: it was admitted without a key.
    @inline(__always)
    func grant<Value>(of token: CallToken, _ field: (borrowing Grant) -> Value) -> Value? {
        guard let call = self.known(token) else { return nil }
        return field(call.pointee.grant)
    }

    /// Whether the grant of a call is known to hold: keys have not changed since it was looked up,
    /// and it has not expired. Asked when the body of a call has come, which may be long after its
    /// headers. Streams are watched instead.
    @inline(__always)
    func isFresh(_ token: CallToken, _ version: AccessVersion, now: Int64) -> Bool {
        guard let call = self.known(token), !call.pointee.isStream else { return true }
        return call.pointee.version.equals(version) && now < call.pointee.grant.expiresAt
    }

    /// The grant of a call was looked up again, and holds.
    func renew(_ token: CallToken, _ version: AccessVersion) {
        self.known(token)?.pointee.version = version
    }

    /// The method of an open call; `nil`: it was admitted without a key.
    func method(of token: CallToken) -> Int? {
        self.known(token)?.pointee.method
    }

    // MARK: Streams

    /// Whether the streams have to be compared with the keys, because these have changed or time
    /// has passed.
    mutating func isWatchDue(_ version: AccessVersion, nowNanoseconds: UInt64) -> Bool {
        let wait =
            version.equals(self.watchedVersion) ? Self.watchNanoseconds : Self.changeNanoseconds
        guard nowNanoseconds >= self.lastWatchNanoseconds + wait else { return false }
        self.watchedVersion = version
        self.lastWatchNanoseconds = nowNanoseconds
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
            let call = self.calls[slot]
            // A unary call may be in the slot meanwhile: it is looked at when its body has come.
            let isOpen = call.pointee.isStream && isOpen(call.pointee.token)
            if isOpen, isValid(call.pointee.grant) {
                self.streamSlots[kept] = slot
                kept += 1
                continue
            }
            call.pointee.isWatched = false
            if isOpen { ended.append(call.pointee.token) }
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
