/// Why a connection ends; the raw value labels a metric.
enum ConnectionEnd: String, CaseIterable {
    case done
    case peerClosed = "peer_closed"
    case protocolError = "protocol_error"
    case flood
    case rapidReset = "rapid_reset"
    case headerFlood = "header_flood"
    case frameFlood = "frame_flood"
    case pings = "too_many_pings"
    case notReading = "not_reading"
    case prefaceTimeout = "preface_timeout"
    case idle
    case tooMany = "too_many_connections"
    case drained

    /// The last GOAWAY of a connection that is cut off.
    struct Goodbye: Equatable {
        /// The peer misbehaved (ENHANCE_YOUR_CALM), else NO_ERROR.
        var isPeerAtFault: Bool
        /// Debug data of the frame; empty: none.
        var reason = ""
    }

    /// What the peer is told; `nil`: nothing, because it knows, or because it is not a client.
    var goodbye: Goodbye? {
        switch self {
        case .pings: Goodbye(isPeerAtFault: true, reason: "too_many_pings")
        case .rapidReset: Goodbye(isPeerAtFault: true, reason: "too_many_resets")
        case .frameFlood: Goodbye(isPeerAtFault: true, reason: "too_many_frames_without_progress")
        case .flood: Goodbye(isPeerAtFault: true, reason: "too_many_unread_acknowledgements")
        case .headerFlood: Goodbye(isPeerAtFault: true, reason: "too_large_headers")
        case .notReading: Goodbye(isPeerAtFault: true, reason: "output_not_read")
        case .idle: Goodbye(isPeerAtFault: false, reason: "max_idle")
        case .drained: Goodbye(isPeerAtFault: false)
        case .protocolError, .done, .peerClosed, .prefaceTimeout, .tooMany: nil
        }
    }
}
