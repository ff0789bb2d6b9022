/// The answer to a probe: whether it passes, and why in one line.
package struct AdminCheck: Equatable, Sendable {
    package var ok: Bool
    /// Shown to whoever asks; no line break at the end, no client data.
    package var text: String

    package init(ok: Bool, text: String) {
        self.ok = ok
        self.text = text
    }
}

/// What the admin listener shows. Called on its thread, so everything read here must be safe to
/// read from there.
package protocol AdminPages: AnyObject, Sendable {
    /// Whether the process should be left running; false makes a supervisor kill it.
    func livez() -> AdminCheck
    /// Whether it should get traffic now.
    func readyz() -> AdminCheck
    /// Whether recovery is over, so that liveness may be judged.
    func startupz() -> AdminCheck
    /// Prometheus text, at most `AdminResponse.pageBytesMax` bytes.
    func metrics() -> String
    /// One JSON object.
    func version() -> String
}
