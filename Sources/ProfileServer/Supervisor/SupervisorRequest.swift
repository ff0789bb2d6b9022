import IOLinux

/// What a service manager such as systemd asks of the server by its environment.
///
/// Source: sd_notify(3), sd_watchdog_enabled(3).
package struct SupervisorRequest: Equatable, Sendable {
    /// Where messages go: an absolute path, or `@` and an abstract name.
    package let socketPath: String
    /// Without a sign of life for so long, in microseconds, the server is killed; `nil`: it is not
    /// watched.
    package let watchdogMicroseconds: UInt64?

    /// A value that would be ignored in silence, while the service manager waits for messages.
    package struct Invalid: Error, Equatable, CustomStringConvertible {
        package let variable: String
        package let found: String
        package let allowed: String

        /// One line: variable, the value found, the values allowed.
        package var description: String {
            "environment: \(self.variable): found"
                + " \(JSONText.quoted(self.found, bytesMax: 128)); allowed: \(self.allowed)"
        }
    }

    /// - Parameters:
    ///   - environment: Of the process.
    ///   - processID: Of the process: `WATCHDOG_PID` may say that another one is watched.
    /// - Returns: `nil`: there is no `NOTIFY_SOCKET`, so nobody wants messages.
    /// - Throws: `Invalid` for a variable that cannot be understood.
    package static func read(
        from environment: [String: String], processID: Int32
    ) throws(Invalid) -> SupervisorRequest? {
        guard let path = environment["NOTIFY_SOCKET"], !path.isEmpty else { return nil }
        let bytes = path.utf8
        let begins = bytes.first == UInt8(ascii: "/") || bytes.first == UInt8(ascii: "@")
        guard begins, bytes.count > 1, bytes.count <= LinuxNotifySocket.pathBytesMax else {
            throw Invalid(
                variable: "NOTIFY_SOCKET", found: path,
                allowed: "an absolute path, or @ and a name, of 2..."
                    + "\(LinuxNotifySocket.pathBytesMax) bytes")
        }
        return SupervisorRequest(
            socketPath: path, watchdogMicroseconds: try Self.watchdog(environment, processID))
    }

    private static func watchdog(
        _ environment: [String: String], _ processID: Int32
    ) throws(Invalid) -> UInt64? {
        guard let text = environment["WATCHDOG_USEC"] else { return nil }
        if let owner = environment["WATCHDOG_PID"] {
            guard let number = Int32(owner), number > 0 else {
                throw Invalid(variable: "WATCHDOG_PID", found: owner, allowed: "a process id")
            }
            guard number == processID else { return nil }
        }
        guard let microseconds = UInt64(text), Self.watchdogRange.contains(microseconds) else {
            throw Invalid(
                variable: "WATCHDOG_USEC", found: text,
                allowed: "\(Self.watchdogRange.lowerBound)...\(Self.watchdogRange.upperBound)"
                    + " microseconds")
        }
        return microseconds
    }

    /// At least 0.1 s, since a busy machine may not run a thread for as long as that; at most a
    /// day, which is no watchdog any more.
    static let watchdogRange: ClosedRange<UInt64> = 100_000 ... 86_400_000_000
}
