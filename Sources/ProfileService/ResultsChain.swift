import Storage

/// Which results the frames of a log carry: each names the digest of one earlier frame.
///
/// A frame names the oldest applied frame that no frame has named yet, or the last named one again
/// if there is none. With one frame in flight that is always the frame right before; with n, at
/// most n applied frames are unnamed. So each frame is named once, in order, and a replay that
/// differs is found at most n frames later. Source:
/// docs/decisions/0021-digests-of-frames-in-flight.md.
struct ResultsChain {
    /// Applied, and named by no frame yet; the oldest first.
    private var unnamed: [ResultsMark] = []
    private var lastNamed: ResultsMark
    /// Of the last applied frame.
    private(set) var newest: ResultsMark
    /// Frames up to this lsn are in the snapshot that was loaded; older ones cannot be compared.
    private let baseLSN: UInt64

    /// The chain of an empty log.
    init() {
        self.newest = ResultsMark(lsn: 0, digest: 0)
        self.lastNamed = self.newest
        self.baseLSN = 0
    }

    /// The chain behind a snapshot.
    init(behind mark: ResultsMark) {
        self.newest = mark
        self.lastNamed = mark
        self.unnamed = [mark]
        self.baseLSN = mark.lsn
    }

    /// The lsn of the last applied operation.
    var appliedLSN: UInt64 { self.newest.lsn }

    /// The results that the next frame names.
    var next: ResultsMark { self.unnamed.first ?? self.lastNamed }

    /// Notes the results of a frame that was applied.
    mutating func applied(_ mark: ResultsMark) {
        self.unnamed.append(mark)
        self.newest = mark
    }

    /// Notes that a frame that names `next` was appended.
    ///
    /// - Returns: The results, if no frame named them before.
    mutating func name() -> ResultsMark? {
        guard let mark = self.unnamed.first else { return nil }
        self.unnamed.removeFirst()
        self.lastNamed = mark
        return mark
    }

    /// Undoes `name` for a frame that was discarded, so that a later frame names these results. For
    /// several frames, the newest first.
    mutating func restore(_ mark: ResultsMark) {
        precondition(mark.lsn <= self.lastNamed.lsn, "only what was named is restored")
        self.unnamed.insert(mark, at: 0)
    }

    /// Compares the results that a frame of the log names with those that this node got.
    ///
    /// A frame that no later one names is passed over: a leader that recovered from a snapshot does
    /// not know the digests before it.
    ///
    /// - Returns: Whether they are the same, or older than the snapshot.
    mutating func check(_ mark: ResultsMark) -> Bool {
        guard mark.lsn >= self.baseLSN else { return true }
        while let first = self.unnamed.first, first.lsn < mark.lsn { self.unnamed.removeFirst() }
        guard self.unnamed.first?.lsn == mark.lsn else { return mark == self.lastNamed }
        self.lastNamed = self.unnamed.removeFirst()
        return mark == self.lastNamed
    }
}
