import IOLinux

/// How the server reaches the service manager that asked for it.
struct Supervision: Sendable {
    let socket: LinuxNotifySocket
    /// Its watchdog's period; `nil`: it does not watch.
    let watchdogMicroseconds: UInt64?
}
