/// How one bounded piece of a long job on files ended.
///
/// Jobs that read or write whole files (verification, pruning, backup, scrub) are driven by their
/// caller one piece at a time, so that the caller decides how long the disk rests in between.
package enum JobStep<Outcome> {
    /// There is more to do; this piece moved so many bytes.
    case progress(bytes: Int)
    /// The job has ended; it is not stepped again.
    case finished(Outcome)
}
