import Bytes

// SAFETY: the arrays are allocated by `init`, freed by `destroy`, and touched by the applier only;
// the bounds are `eventsMax`, `droppedCapacity * 2 + eventsMax` and `Store.prefetchMax`. An id's
// text is the first 26 bytes of four words.

/// What the first pass over a Track found out of one event; all of it borrowed from the record or
/// the work's buffer.
struct PendingEvent {
    var flags = TrackEventFlags()
    /// As sent; empty: the server makes one.
    var eventID = UnsafeRawBufferPointer.none
    /// Where none was sent.
    var madeID = MadeID()
    var content = UnsafeRawBufferPointer.none
    var violations = UnsafeRawBufferPointer.none
    var lsn: UInt64 = 0
    /// Of the event id under the identifier.
    var hash: UInt64 = 0
    var effectiveTime: Int64 = 0
    var outcome = EventOutcome.rejected
    var rejection = Rejection.none
    var contentDiffers = false
    var detail: Int64 = 0
    /// Of a duplicate of a retained event: who holds that; 0: the present holder.
    var holder: UInt32 = 0
    /// Of an event of a time when another profile held the installation: that profile; 0: the
    /// present holder.
    var target: UInt32 = 0
    /// The block of a stored event, once the call is staged.
    var block: Handle = 0
    /// Offsets of the stored form of its content in the work's buffer.
    var storedStart = 0
    var storedEnd = 0
    var name: UInt16 = 0
    /// Whether it needs a counter that neither the profile nor an earlier event of the call has.
    var addsCounter = false
}

/// The text of an id that the server makes, in place.
struct MadeID {
    // The 26 characters, and 6 bytes of nothing.
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    init() {}

    init(_ id: ProfileID) {
        withUnsafeMutableBytes(of: &self.words) {
            id.writeText(into: UnsafeMutableRawBufferPointer(rebasing: $0[..<ProfileID.textBytes]))
        }
    }

    /// Calls `body` with the text.
    func withText<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        withUnsafeBytes(of: self.words) {
            body(UnsafeRawBufferPointer(rebasing: $0[..<ProfileID.textBytes]))
        }
    }
}

/// The applier's scratch memory for one Track, reused by the next.
///
/// Budget: no allocation per record once its buffers have grown.
struct TrackWork: ~Copyable {
    /// Events that one record can carry: its count is a byte.
    static let eventsMax = 255

    let pending: UnsafeMutablePointer<PendingEvent>
    let dropped: UnsafeMutablePointer<Handle>
    var droppedCount = 0
    /// Stored forms of the events' contents.
    var contents = ByteBuffer(capacity: 1 << 16)
    /// The Tracks among the next records, as `Store.prefetch` saw them, and which of them comes
    /// next.
    let expected: UnsafeMutablePointer<ExpectedTrack>
    var expectedCount = 0
    var expectedNext = 0
    /// The sum of what the prefetch read; never used.
    var seen: UInt64 = 0
    /// A part of a profile before it becomes a block.
    var part = ByteBuffer(capacity: 1 << 12)

    /// - Parameter droppedCapacity: Most events that one profile retains; a merge can drop twice as
    ///   many, a call these and its own.
    init(droppedCapacity: Int) {
        self.pending = .allocate(capacity: Self.eventsMax)
        self.pending.initialize(repeating: PendingEvent(), count: Self.eventsMax)
        self.expected = .allocate(capacity: Store.prefetchMax)
        self.dropped = .allocate(capacity: droppedCapacity * 2 + Self.eventsMax)
    }

    func destroy() {
        self.pending.deallocate()
        self.dropped.deallocate()
        self.expected.deallocate()
    }
}
