import IOTLS

extension ServerStatus {
    /// The figures of encrypted connections, of gRPC and of probes.
    static func write(_ tls: TLSMetrics, to text: inout MetricsText) {
        text.counter(
            "profiles_tls_handshakes_total", help: "TLS handshakes, by how they ended.",
            samples: TLSHandshakeEnd.allCases.map {
                .init(labels: [.init("result", $0.rawValue)], value: tls.count(of: $0))
            })
        text.gauge(
            "profiles_tls_handshakes_open", help: "TLS handshakes that have begun and not ended.",
            value: Double(tls.handshakes))
        text.gauge(
            "profiles_tls_connections", help: "Open connections whose TLS handshake is done.",
            value: Double(tls.connections))
        text.gauge(
            "profiles_tls_certificate_not_after_seconds",
            help: "Until when the certificate that new connections get is valid, since 1970.",
            value: Double(tls.validUntilSeconds))
    }
}
