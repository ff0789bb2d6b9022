import Profiles

/// What the page shows of the server itself; nothing of a person. Any thread.
protocol ConsoleFigures: AnyObject, Sendable {
    /// Whether the server is ready, and if not, why.
    var readiness: AdminCheck { get }
    /// The last lsn that is applied, and the last one that the change feed has; `nil` before the
    /// recovery.
    var positions: (applied: UInt64, feed: UInt64)? { get }
    /// The merges into a profile that can still be undone, the newest first.
    ///
    /// - Parameter profileID: The text form.
    func merges(project: String, profileID: String) -> [MergeView]
}
