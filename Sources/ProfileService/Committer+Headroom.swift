import Storage

extension Committer {
    /// Whether a frame may be written: not once the reserve is touched, until there is space to
    /// continue in (L9). The log is not touched in between: what waits for space only asks the
    /// disk, and never makes a write that may tear.
    ///
    /// A write that fails although there seemed to be space ends in the same state, and costs one
    /// attempt per probe as long as that lasts.
    func hasHeadroom() -> Bool {
        switch self.log.headroom(isStopped: self.pipeline.isDiskFull) {
        case .low: self.pipeline.setDiskFull(true)
        case .high: self.pipeline.setDiskFull(false)
        case .middle: break
        }
        return !self.pipeline.isDiskFull
    }
}
