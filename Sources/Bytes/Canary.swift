#if CANARIES
    import Synchronization

    /// One deliberate fault of the product, or of a seam under it, that simulations must find.
    ///
    /// Exists in builds with `PROFILES_CANARIES=1` only. Source: docs/decisions/0493-canaries.md.
    package enum Canary: UInt8, CaseIterable, Sendable {
        /// Files other than snapshots are never synced.
        case logSyncSkipped = 1
        /// Snapshots get their names without a sync of their content.
        case snapshotSyncSkipped
        /// Names are never made durable.
        case directorySyncSkipped
        /// A frame is reported committed before its sync.
        case responseBeforeSync
        /// Segments stay although two snapshots are newer.
        case logNeverTruncated
        /// A leader that lost its office reports its frames in flight as committed.
        case staleLeaderAcknowledged
        /// A follower skips a frame of the leader.
        case followerSkipsFrame
        /// The payload of a frame is believed without its checksum.
        case checksumSkipped
        /// The commands of a frame are applied from the last to the first.
        case appliedOutOfOrder
        /// A frame is applied when it is appended, so that reads are ahead of what is durable.
        case readAheadOfCommit
        /// A completion goes to whatever call its stream serves now.
        case generationUnchecked
        /// Only the first command of a batch gets a response.
        case responseLost
        /// Changes made while a snapshot is written are missing in the feed.
        case feedEntryLost
        /// Acknowledgements of firings are never written.
        case acknowledgementLost
        /// No request id is found again.
        case requestIDForgotten
        /// A merge prefers an opt-in to an opt-out.
        case consentResubscribed
        /// Every key is for every project.
        case projectUnchecked
        /// A part of an import that is done is done again.
        case importRepeated
        /// The items before the one that fails stay of an atomic batch.
        case batchInPart

        /// The raw value of the one that is active; 0: none.
        private static let active = Atomic<UInt8>(0)

        /// Makes this the only active one, for the whole process: before a node starts.
        package func activate() { Self.active.store(self.rawValue, ordering: .relaxed) }

        /// From now on none is active.
        package static func deactivate() { Self.active.store(0, ordering: .relaxed) }

        package var isActive: Bool { Self.active.load(ordering: .relaxed) == self.rawValue }
    }
#endif
