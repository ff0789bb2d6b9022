import GRPCTransport
import IOCore

/// The figures of all loops together, as metrics.
struct TransportFigures {
    private let loops: [TransportMetrics]

    init(_ loops: [TransportMetrics]) {
        self.loops = loops
    }

    func write(to text: inout MetricsText) {
        let methods = self.methods()
        text.counter(
            "grpc_server_started_total", help: "Calls begun, by method.",
            samples: methods.map { .init(labels: [.init("method", $0.name)], value: $0.started) })
        text.counter(
            "grpc_server_handled_total", help: "Calls ended, by method and code.",
            samples: methods.flatMap { method in
                RPCStatusCode.allCases.compactMap { code in
                    let count = method.handled[Int(code.rawValue)]
                    guard count > 0 else { return nil }
                    return .init(
                        labels: [
                            .init("method", method.name), .init("grpc_code", code.metricName),
                        ],
                        value: count)
                }
            })
        text.histogram(
            "grpc_server_handling_seconds",
            help: "Time from a call's headers to its response, by method.",
            series: methods.filter { $0.started > 0 }.map {
                .init(labels: [.init("method", $0.name)], histogram: $0.handling)
            })
        text.counter(
            "grpc_server_msg_received_total", help: "Messages received.",
            value: self.sum(\.messagesReceived))
        text.counter(
            "grpc_server_msg_sent_total", help: "Messages sent.", value: self.sum(\.messagesSent))
        text.counter(
            "profiles_late_responses_dropped_total",
            help: "Responses whose call had ended before they were ready.",
            value: self.sum(\.lateResponses))
        text.gauge(
            "profiles_connections", help: "Open connections.",
            value: Double(self.loops.map(\.connections).reduce(0, +)))
        text.gauge(
            "profiles_streams", help: "Open streams.",
            value: Double(self.loops.map(\.streams).reduce(0, +)))
        self.writeConnectionEnds(to: &text)
    }

    private func writeConnectionEnds(to text: inout MetricsText) {
        var counts: [(reason: String, count: UInt64)] = []
        for loop in self.loops {
            let ends = loop.connectionEnds()
            counts =
                counts.isEmpty ? ends : zip(counts, ends).map { ($0.reason, $0.count + $1.count) }
        }
        text.counter(
            "profiles_connections_ended_total", help: "Connections that ended, by reason.",
            samples: counts.map { .init(labels: [.init("reason", $0.reason)], value: $0.count) })
    }

    private func sum(_ figure: KeyPath<TransportMetrics, UInt64>) -> UInt64 {
        self.loops.reduce(0) { $0 + $1[keyPath: figure] }
    }

    private func methods() -> [TransportMetrics.Method] {
        guard var total = self.loops.first?.snapshot() else { return [] }
        for loop in self.loops.dropFirst() {
            for (index, method) in loop.snapshot().enumerated() {
                total[index].started += method.started
                for code in method.handled.indices {
                    total[index].handled[code] += method.handled[code]
                }
                total[index].handling.add(method.handling)
            }
        }
        return total
    }
}

extension RPCStatusCode {
    /// The code's name in the contract, such as `INVALID_ARGUMENT`.
    var metricName: String {
        switch self {
        case .ok: "OK"
        case .cancelled: "CANCELLED"
        case .unknown: "UNKNOWN"
        case .invalidArgument: "INVALID_ARGUMENT"
        case .deadlineExceeded: "DEADLINE_EXCEEDED"
        case .notFound: "NOT_FOUND"
        case .alreadyExists: "ALREADY_EXISTS"
        case .permissionDenied: "PERMISSION_DENIED"
        case .resourceExhausted: "RESOURCE_EXHAUSTED"
        case .failedPrecondition: "FAILED_PRECONDITION"
        case .aborted: "ABORTED"
        case .outOfRange: "OUT_OF_RANGE"
        case .unimplemented: "UNIMPLEMENTED"
        case .internalError: "INTERNAL"
        case .unavailable: "UNAVAILABLE"
        case .dataLoss: "DATA_LOSS"
        case .unauthenticated: "UNAUTHENTICATED"
        }
    }
}
