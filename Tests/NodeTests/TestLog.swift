import Storage

/// The logs that a node is tested on.
enum TestLog: CaseIterable, Sendable {
    /// Segments in one directory, one frame in flight.
    case local

    /// Makes the log of a data directory.
    var makeStore: (LogEnvironment) -> any LogStore {
        switch self {
        case .local: { SegmentedLogStore($0) }
        }
    }
}
