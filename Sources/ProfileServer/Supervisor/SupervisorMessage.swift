/// One datagram to the service manager.
///
/// Source: sd_notify(3).
enum SupervisorMessage: Equatable, Sendable {
    /// Calls are served: the start is complete.
    case ready
    /// A reload begins, at this time of the monotonic clock.
    case reloading(microseconds: UInt64)
    /// The reload is complete.
    case reloaded
    /// The end has begun, and takes at most so long.
    case stopping(microseconds: UInt64)
    /// The start goes on, and needs so long from now.
    case extendStart(microseconds: UInt64)
    /// A line for people, which `systemctl status` shows.
    case status(String)
    /// The watchdog is fed.
    case alive

    /// A kind of messages; of each kind at most one waits to be sent.
    enum Kind: CaseIterable {
        case ready, reloading, reloaded, stopping, extendStart, status, alive
    }

    var kind: Kind {
        switch self {
        case .ready: .ready
        case .reloading: .reloading
        case .reloaded: .reloaded
        case .stopping: .stopping
        case .extendStart: .extendStart
        case .status: .status
        case .alive: .alive
        }
    }

    /// The content of the datagram.
    var text: String {
        switch self {
        case .ready, .reloaded: "READY=1"
        case .reloading(let time): "RELOADING=1\nMONOTONIC_USEC=\(time)"
        case .stopping(let time): "STOPPING=1\nEXTEND_TIMEOUT_USEC=\(time)"
        case .extendStart(let time): "EXTEND_TIMEOUT_USEC=\(time)"
        case .status(let line): "STATUS=\(line)"
        case .alive: "WATCHDOG=1"
        }
    }
}
