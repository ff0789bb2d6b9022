import IOCore

/// Makes file space ahead of a log's use, on a driver of its own.
package protocol LogPreparer: Steppable {
    /// Why the last step failed; `nil`: it did not. It is tried again.
    var failure: IOError? { get }
}
