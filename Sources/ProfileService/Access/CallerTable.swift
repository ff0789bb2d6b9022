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
        var header = HeaderBytes()
        var version = AccessVersion(keys: 0, operators: 0)
        var grant: Grant?
    }

    /// An open call, or one that has ended.
    private struct Call {
        var token: CallToken
        var method: Int
        var grant: Grant
        var isStream: Bool
        /// It counts as open in its key's usage.
        var isCounted: Bool
        /// Its slot is in `streamSlots`.
        var isWatched: Bool
    }

    /// By the slot of the connection.
    private var connections: [Cached] = []
    /// By the slot of the stream.
    private var calls: [Call?] = []
    /// Slots of streams: they end with their key. Each is in it once.
    private var streamSlots: [Int] = []
    /// The keys that the streams were compared with last.
    private var watchedVersion = AccessVersion(keys: 0, operators: 0)
    private var nextWatchNanoseconds: UInt64 = 0

    /// How often the expiries of streams are looked at, in nanoseconds: half of the second within
    /// which they end.
    private static let watchNanoseconds: UInt64 = 500_000_000

    // MARK: Connections

    /// What the header allows, if it is the one that the connection brought last and nothing has
    /// changed since.
    ///
    /// Budget: no hash, no lock; the time does not depend on where two headers differ.
    @inline(__always)
    func cached(
        _ token: CallToken, _ header: UnsafeRawBufferPointer, _ version: AccessVersion, now: Int64
    ) -> Grant? {
        let slot = Int(token.connectionSlot)
        guard slot < self.connections.count,
            self.connections[slot].generation == token.connectionGeneration,
            self.connections[slot].header.equals(header),
            self.connections[slot].version == version
        else { return nil }
        guard let grant = self.connections[slot].grant, now < grant.expiresAt else { return nil }
        return grant
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

    /// A call was admitted.
    mutating func open(
        _ token: CallToken, method: Int = 0, _ grant: Grant, isStream: Bool, isCounted: Bool
    ) {
        let slot = token.slot
        while self.calls.count <= slot { self.calls.append(nil) }
        let isWatched = self.calls[slot]?.isWatched ?? false
        if isStream, !isWatched { self.streamSlots.append(slot) }
        self.calls[slot] = Call(
            token: token, method: method, grant: grant, isStream: isStream, isCounted: isCounted,
            isWatched: isWatched || isStream)
    }

    /// A call that was admitted as counted has ended.
    mutating func end(_ token: CallToken) {
        let slot = token.slot
        guard slot < self.calls.count, let call = self.calls[slot], call.token == token,
            call.isCounted
        else { return }
        self.calls[slot]?.isCounted = false
        call.grant.usage.endCall()
    }

    /// What an open call may do; `nil`: it was admitted without a key.
    @inline(__always)
    func grant(of token: CallToken) -> Grant? {
        let slot = token.slot
        guard slot < self.calls.count, let call = self.calls[slot], call.token == token else {
            return nil
        }
        return call.grant
    }

    /// The method of an open call; `nil`: it was admitted without a key.
    func method(of token: CallToken) -> Int? {
        let slot = token.slot
        guard slot < self.calls.count, let call = self.calls[slot], call.token == token else {
            return nil
        }
        return call.method
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
            guard let call = self.calls[slot] else { continue }
            // A unary call may be in the slot meanwhile: it goes on, as it began in time.
            let isOpen = call.isStream && isOpen(call.token)
            if isOpen, isValid(call.grant) {
                self.streamSlots[kept] = slot
                kept += 1
                continue
            }
            self.calls[slot]?.isWatched = false
            if isOpen { ended.append(call.token) }
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

    private var words = InlineArray<9, UInt64>(repeating: 0)
    private var isSet = false

    init() {}

    /// - Precondition: The header has as many bytes as a key's.
    init(_ header: UnsafeRawBufferPointer) {
        precondition(header.count == Self.bytes, "only a key's header is kept")
        for index in 0 ..< 9 { self.words[index] = Self.word(index, of: header) }
        self.isSet = true
    }

    /// Whether these are the bytes; the time does not depend on where they differ.
    @inline(__always)
    func equals(_ header: UnsafeRawBufferPointer) -> Bool {
        guard header.count == Self.bytes, self.isSet else { return false }
        var difference: UInt64 = 0
        for index in 0 ..< 9 { difference |= self.words[index] ^ Self.word(index, of: header) }
        return difference == 0
    }

    /// The last word overlaps the one before.
    // SAFETY: the caller owns the header for this call, and has compared its length; the last word
    // ends with it.
    @inline(__always)
    private static func word(_ index: Int, of header: UnsafeRawBufferPointer) -> UInt64 {
        header.loadUnaligned(
            fromByteOffset: index < 8 ? index * 8 : Self.bytes - 8, as: UInt64.self)
    }
}
