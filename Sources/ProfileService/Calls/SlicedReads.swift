import Bytes
import GRPCTransport
import Messages
import Profiles

// Reads that may walk for long: through the events of a person that no filter takes, through a
// ledger of thousands of entries. The first slice runs with the request and is nearly always the
// last; else the call lives on, and has a slice in every tick until it is done.

/// Bounds of one slice.
enum SliceLimits {
    /// Events to look at, or bytes of ledgers to copy and hash, in bytes: some 100 µs of a loop.
    static let bytesMax = 64 << 10
}

/// What a slice of a read came to.
enum SliceOutcome {
    /// The call has its response or its status.
    case done
    case more
}

/// A read under way: its request, decoded again for each slice, and its cursor.
///
/// The decoded form of a request is not kept, as it borrows from the decoder's memory, which the
/// calls of the meantime use.
final class SlicedCall<Request: DecodedRequest, Cursor: SliceCursor>: LiveCall
where Cursor.Request == Request {
    let token: CallToken
    // SAFETY: the loop owns its live calls, and closes them before it ends.
    private unowned(unsafe) let loop: ServiceLoop
    private let message: [UInt8]
    private var cursor: Cursor

    init(_ loop: ServiceLoop, _ context: RequestContext, _ cursor: consuming Cursor) {
        self.loop = loop
        self.token = context.token
        self.message = Array(context.message)
        self.cursor = cursor
        self.countKept()
    }

    /// Counts what it keeps among the responses that wait.
    private func countKept() {
        self.loop.transport.keep(
            responseBytes: self.message.count + self.cursor.keptBytes, of: self.token)
    }

    func drain() {
        self.loop.close(self.token)
        self.loop.reject(self.token, .rejected(.draining))
    }

    func proceed() -> CallProgress {
        guard self.loop.mayContinue(self.token) else { return .waiting }
        let outcome = self.message.withUnsafeBytes { message -> SliceOutcome in
            switch self.loop.resolve(message, of: self.token, decode: self.cursor.decode) {
            case .request(let request, let context):
                return self.cursor.advance(self.loop, request, context)
            // It was valid when it came; a project may have gone since.
            case .rejected(let failure):
                self.loop.reject(self.token, failure)
                return .done
            }
        }
        guard case .done = outcome else {
            self.countKept()
            return .more
        }
        self.loop.close(self.token)
        return .done
    }
}

/// How far a sliced read is.
protocol SliceCursor {
    associatedtype Request: DecodedRequest
    func decode(_ loop: ServiceLoop, _ message: UnsafeRawBufferPointer) -> Decoded<Request>
    /// Bytes that it keeps between two slices.
    var keptBytes: Int { get }
    /// Reads one slice, and responds to the call if it is the last.
    mutating func advance(
        _ loop: ServiceLoop, _ request: Request, _ context: RequestContext
    ) -> SliceOutcome
}

extension ServiceLoop {
    /// Whether a sliced read may have its turn: there is headroom for what it keeps, or it is the
    /// one that may go on without, so that not all wait for one another.
    fileprivate func mayContinue(_ token: CallToken) -> Bool {
        if self.transport.mayKeepMore(of: token) { return true }
        if let preferred = self.preferredRead, self.liveCalls[preferred] != nil {
            return preferred == token
        }
        self.preferredRead = token
        return true
    }

    /// Reads the first slice; if more are needed, the call goes on in the next tick.
    @inline(__always)
    func begin<Cursor: SliceCursor>(
        _ cursor: Cursor, _ request: Cursor.Request, _ context: RequestContext
    ) {
        var cursor = cursor
        guard case .more = cursor.advance(self, request, context) else { return }
        self.liveCalls.add(SlicedCall<Cursor.Request, Cursor>(self, context, cursor))
        self.continuing.add(context.token)
        self.transport.wake()
    }

    func listEvents(_ request: DecodedListEvents, _ context: RequestContext) {
        var position: EventPosition?
        if !request.pageToken.isEmpty {
            position = context.partition.store.verifyPage(
                request.pageToken, project: context.project, identifier: request.identifier,
                query: request.query)
            guard position != nil else { return self.rejectPageToken(context.token) }
        }
        let now = self.transport.nowWallMicroseconds
        self.begin(ListEventsCursor(after: position, now: now), request, context)
    }

    func listConsentHistory(_ request: DecodedLedgerRequest, _ context: RequestContext) {
        guard let read = self.readImage(request.identifier, context) else { return }
        var position = HistoryPosition(
            project: context.project, profileID: read.image.profileID, lsn: 0, number: 0)
        if !request.pageToken.isEmpty {
            guard
                let given = context.partition.store.verifyPage(
                    request.pageToken, in: context.project),
                Self.isOfPerson(given.profileID, read.image)
            else { return self.rejectPageToken(context.token) }
            position = given
        }
        self.begin(
            LedgerCursor(read.image, context, listingFrom: position), request, context)
    }

    func verifyConsentLedger(_ request: DecodedLedgerRequest, _ context: RequestContext) {
        guard let read = self.readImage(request.identifier, context) else { return }
        self.begin(LedgerCursor(read.image, context, listingFrom: nil), request, context)
    }

    /// Whether a page token was made for this person, under whatever profile id.
    private static func isOfPerson(_ id: ProfileID, _ image: ProfileImage) -> Bool {
        var isOne = image.profileID == id
        image.forEachProfileAlias { isOne = isOne || $0 == id }
        return isOne
    }

    func rejectPageToken(_ token: CallToken) {
        self.reject(token, .invalid("page_token", "not a token of this listing"))
    }
}

/// A ListEvents: the events that its page has so far.
struct ListEventsCursor: SliceCursor {
    private var scan: EventScan
    /// Images of the page, once the first slice is over; within it they are in the loop's buffer.
    private var images: ImageBuffer?

    /// Keeps images between slices.
    private final class ImageBuffer {
        var bytes = ByteBuffer()
    }

    var keptBytes: Int { self.images?.bytes.count ?? 0 }

    init(after position: EventPosition?, now: Int64) {
        self.scan = EventScan(after: position, at: 0, now: now)
    }

    func decode(
        _ loop: ServiceLoop, _ message: UnsafeRawBufferPointer
    ) -> Decoded<DecodedListEvents> {
        loop.decoder.decodeListEvents(message)
    }

    mutating func advance(
        _ loop: ServiceLoop, _ request: DecodedListEvents, _ context: RequestContext
    ) -> SliceOutcome {
        loop.image.removeAll()
        if let images = self.images { swap(&images.bytes, &loop.image) }
        let step = context.partition.store.advance(
            &self.scan, project: context.project, identifier: request.identifier,
            query: request.query, budgetBytes: SliceLimits.bytesMax, piece: &loop.piece,
            into: &loop.image)
        switch step {
        case .more:
            let images = self.images ?? ImageBuffer()
            swap(&images.bytes, &loop.image)
            self.images = images
            return .more
        case .notFound: loop.reject(context.token, .rejected(.profileNotFound))
        case .page(let page): Self.respond(with: page, loop, request, context)
        }
        loop.forgetImages()
        return .done
    }

    private static func respond(
        with page: EventPage, _ loop: ServiceLoop, _ request: DecodedListEvents,
        _ context: RequestContext
    ) {
        var token = ByteBuffer(capacity: 128)
        if let next = page.next {
            context.partition.store.appendPageToken(
                project: context.project, identifier: request.identifier, query: request.query,
                position: next, to: &token)
        }
        loop.transport.respond(to: context.token) {
            loop.encoder.encodeListEventsResponse(
                page, images: loop.image.bytes, of: request, nextPageToken: token.bytes, into: &$0)
        }
    }
}

/// A ListConsentHistory or VerifyConsentLedger: the copies and hashes that it has so far.
struct LedgerCursor: SliceCursor {
    /// Bytes of entries that end a page: responses stay far below the 4 MiB that clients take.
    private static let pageBytesMax = 1 << 20

    /// Holds the scan, which is too large to be moved about.
    private final class Scan {
        var ledgers: LedgerScan

        init(_ ledgers: consuming LedgerScan) { self.ledgers = ledgers }
    }

    private let scan: Scan
    /// `nil`: the ledger is verified.
    private let position: HistoryPosition?

    var keptBytes: Int { self.scan.ledgers.keptBytes }

    init(_ image: ProfileImage, _ context: RequestContext, listingFrom position: HistoryPosition?) {
        self.scan = Scan(LedgerScan(of: image, project: context.project))
        self.position = position
    }

    func decode(
        _ loop: ServiceLoop, _ message: UnsafeRawBufferPointer
    ) -> Decoded<DecodedLedgerRequest> {
        self.position == nil
            ? loop.decoder.decodeVerifyConsentLedger(message)
            : loop.decoder.decodeListConsentHistory(message)
    }

    mutating func advance(
        _ loop: ServiceLoop, _ request: DecodedLedgerRequest, _ context: RequestContext
    ) -> SliceOutcome {
        let isComplete = self.scan.ledgers.advance(
            in: context.partition.store, budgetBytes: SliceLimits.bytesMax)
        guard isComplete else { return .more }
        guard let position = self.position else {
            let verified = self.scan.ledgers.verified
            loop.transport.respond(to: context.token) {
                loop.encoder.encodeVerifyConsentLedgerResponse(verified, into: &$0)
            }
            return .done
        }
        self.scan.ledgers.withEntries {
            Self.respond(with: $0, from: position, loop, request.pageSize, context)
        }
        return .done
    }

    /// Responds with the page of `entries` that follows a position.
    private static func respond(
        with entries: [ListedEntry], from position: HistoryPosition, _ loop: ServiceLoop,
        _ pageSize: Int, _ context: RequestContext
    ) {
        var start = entries.firstIndex { $0.lsn >= position.lsn } ?? entries.count
        var left = position.number
        while left > 0, start < entries.count, entries[start].lsn == position.lsn {
            start += 1
            left -= 1
        }
        // At least one entry, then as many as the page and its bytes allow.
        var end = start
        var bytes = 0
        while end < min(entries.count, start + pageSize), bytes < Self.pageBytesMax {
            bytes += entries[end].entry.count
            end += 1
        }
        let page = entries[start ..< end]
        var token = ByteBuffer(capacity: 128)
        if page.endIndex < entries.count, let last = page.last {
            var next = position
            next.lsn = last.lsn
            next.number = UInt32(
                entries[..<page.endIndex].reversed().prefix { $0.lsn == last.lsn }.count)
            context.partition.store.appendText(of: next, to: &token)
        }
        loop.transport.respond(to: context.token) {
            loop.encoder.encodeListConsentHistoryResponse(
                page, nextPageToken: token.bytes, into: &$0)
        }
    }
}
