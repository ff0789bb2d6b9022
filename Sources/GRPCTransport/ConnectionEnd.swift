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
    case headerTimeout = "header_timeout"
    /// Its header block was the oldest when its peer, or the loop, had too many that wait.
    case headerBlocks = "too_many_header_blocks"
    case keepaliveTimeout = "keepalive_timeout"
    case maxAge = "max_age"
    case idle
    /// It was the most idle one when a new connection found none free.
    case yielded
    case tooMany = "too_many_connections"
    case tooManyOfPeer = "too_many_connections_of_address"
    /// Its unread responses were the largest when their budget was used up.
    case outputBudget = "output_budget"
    /// It has more rejected calls waiting than may wait.
    case failedLogins = "too_many_failed_logins"
    case drained

    /// The last GOAWAY of a connection that is cut off.
    struct Goodbye: Equatable {
        /// The peer misbehaved (ENHANCE_YOUR_CALM), else NO_ERROR.
        var isPeerAtFault: Bool
        /// Debug data of the frame; empty: none.
        var reason = ""
    }

    /// What the peer is told; `nil`: nothing, because it knows, does not respond, or is no client.
    var goodbye: Goodbye? {
        switch self {
        case .pings: Goodbye(isPeerAtFault: true, reason: "too_many_pings")
        case .rapidReset: Goodbye(isPeerAtFault: true, reason: "too_many_resets")
        case .frameFlood: Goodbye(isPeerAtFault: true, reason: "too_many_frames_without_progress")
        case .flood: Goodbye(isPeerAtFault: true, reason: "too_many_unread_acknowledgements")
        case .headerFlood: Goodbye(isPeerAtFault: true, reason: "too_large_headers")
        case .notReading: Goodbye(isPeerAtFault: true, reason: "output_not_read")
        case .headerTimeout: Goodbye(isPeerAtFault: true, reason: "header_timeout")
        case .outputBudget: Goodbye(isPeerAtFault: true, reason: "too_many_unread_responses")
        case .idle: Goodbye(isPeerAtFault: false, reason: "max_idle")
        case .maxAge: Goodbye(isPeerAtFault: false, reason: "max_age")
        case .yielded: Goodbye(isPeerAtFault: false, reason: "idle_and_too_many_connections")
        case .drained: Goodbye(isPeerAtFault: false)
        case .tooMany, .tooManyOfPeer, .failedLogins, .headerBlocks:
            Goodbye(isPeerAtFault: true, reason: self.rawValue)
        case .protocolError, .done, .peerClosed, .prefaceTimeout, .keepaliveTimeout: nil
        }
    }
}
