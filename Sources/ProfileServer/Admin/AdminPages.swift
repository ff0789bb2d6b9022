/// The result of a probe: whether it passes, and the reason in one line.
package struct AdminCheck: Equatable, Sendable {
    package var ok: Bool
    /// The response body, without a line break at the end; never contains client data.
    package var text: String

    package init(ok: Bool, text: String) {
        self.ok = ok
        self.text = text
    }
}

/// The pages of the admin listener. Called on its thread, so everything read here must be safe to
/// read from that thread.
package protocol AdminPages: AnyObject, Sendable {
    /// Whether the process should keep running; false makes a supervisor kill it.
    func livez() -> AdminCheck
    /// Whether it should receive traffic now.
    func readyz() -> AdminCheck
    /// Whether recovery is complete, so that liveness probes may begin.
    func startupz() -> AdminCheck
    /// At most `AdminResponse.pageBytesMax` bytes.
    func metrics(_ format: MetricsFormat) -> String
    /// What the loops have open, as one JSON object that another thread makes; `nil`: too many
    /// pages wait for it.
    func debug(_ page: DebugPage) -> PendingContent?
    /// One JSON object.
    func version() -> String
}
