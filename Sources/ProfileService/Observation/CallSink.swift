/// Where records of calls go. Called on the loops' threads.
package protocol CallSink: AnyObject, Sendable {
    /// Takes a record, or drops and counts it; never blocks.
    func record(_ record: CallRecord)
}
