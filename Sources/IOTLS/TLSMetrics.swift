import Synchronization

/// How a handshake has ended; the raw value labels a metric.
package enum TLSHandshakeEnd: String, CaseIterable, Sendable {
    case done
    /// No version from 1.2 on in common.
    case version
    /// No suite, group or signature algorithm in common.
    case suite
    /// The client does not offer the protocol that is served (ALPN).
    case alpn
    /// The client has shown no certificate, or one that does not verify.
    case certificate
    /// The first bytes are not those of TLS.
    case notTLS = "not_tls"
    /// More bytes than a handshake may have.
    case tooLarge = "too_large"
    /// The client left, or its time was over.
    case abandoned
    case other
}

/// What the encrypted sockets of a process count; from any thread.
package final class TLSMetrics: Sendable {
    /// By the index in `TLSHandshakeEnd.allCases`; no fewer than these.
    private let ends = InlineArray<16, Atomic<UInt64>> { _ in Atomic<UInt64>(0) }
    private let openCell = Atomic<Int>(0)
    private let handshakesCell = Atomic<Int>(0)
    private let validUntilCell = Atomic<Int64>(-1)

    package init() {
        precondition(TLSHandshakeEnd.allCases.count <= self.ends.count, "a counter for each")
    }

    /// Encrypted connections whose handshake is done.
    package var connections: Int { self.openCell.load(ordering: .relaxed) }
    /// Connections whose handshake has begun and is not done.
    package var handshakes: Int { self.handshakesCell.load(ordering: .relaxed) }

    /// Handshakes that ended in this way.
    package func count(of end: TLSHandshakeEnd) -> UInt64 {
        self.ends[Self.index(end)].load(ordering: .relaxed)
    }

    /// Until when the certificate of new connections is valid, in seconds since 1970.
    package var validUntilSeconds: Int64 { self.validUntilCell.load(ordering: .relaxed) }

    /// A certificate was read, which new connections get.
    package func certificateRead(validUntilSeconds: Int64) {
        self.validUntilCell.store(validUntilSeconds, ordering: .relaxed)
    }

    func handshakeBegan() {
        self.handshakesCell.wrappingAdd(1, ordering: .relaxed)
    }

    func handshakeEnded(_ end: TLSHandshakeEnd) {
        self.handshakesCell.wrappingSubtract(1, ordering: .relaxed)
        self.ends[Self.index(end)].wrappingAdd(1, ordering: .relaxed)
        if end == .done { self.openCell.wrappingAdd(1, ordering: .relaxed) }
    }

    func connectionEnded() {
        self.openCell.wrappingSubtract(1, ordering: .relaxed)
    }

    private static func index(_ end: TLSHandshakeEnd) -> Int {
        TLSHandshakeEnd.allCases.firstIndex(of: end) ?? 0
    }
}
