import Bytes
import Messages
import Profiles

/// A store of people with a device, three attributes and an event each, and what a loop and the
/// log's thread need to carry out calls on it. Everything follows from constants.
final class PathStore {
    /// Of those paths that go over all people.
    static let people = 1_000
    static let project = ProjectID(rawValue: 1)
    private static let startMicroseconds: Int64 = 1_700_000_000_000_000
    /// Between two records.
    private static let stepMicroseconds: Int64 = 10

    let store: Store
    let decoder = MessageDecoder()
    let encoder = MessageEncoder()
    /// The record that was written last.
    private(set) var record = ByteBuffer(capacity: 4 << 10)
    /// The result that was applied last.
    private(set) var results = ByteBuffer(capacity: 4 << 10)
    private var image = ByteBuffer(capacity: 4 << 10)
    private(set) var now = PathStore.startMicroseconds

    /// - Parameter people: How many there are.
    init(people: Int = PathStore.people) {
        self.store = Store(
            genesis: Genesis(
                directoryID: ProfileID(high: 1, low: 2), hashKey: SipHashKey(k0: 3, k1: 4),
                secret: SipHashKey(k0: 5, k1: 6), limits: StoreLimits()))
        for person in 0 ..< people {
            let identify = PathBytes(PathRequests.identify(person))
            self.apply(self.decoder.decodeIdentify(identify.bytes).whole)
            let track = PathBytes(PathRequests.track(person))
            self.apply(self.decodeTrack(track.bytes))
        }
    }

    /// Decodes a Track without anything wrong.
    @inline(__always)
    func decodeTrack(_ message: UnsafeRawBufferPointer) -> DecodedWrite {
        self.decoder.decodeTrack(
            message, windows: { _ in preconditionFailure("nothing is wrong with the request") }
        ).whole
    }

    /// Writes the record of what the decoder has decoded last.
    func writeRecord(of write: DecodedWrite) {
        self.record.removeAll()
        let start = beginRecord(write.kind, in: &self.record)
        self.decoder.writePayload(of: write, project: Self.project, into: &self.record)
        endRecord(at: start, operations: write.operations, in: &self.record)
    }

    /// Writes the record of what the decoder has decoded last, and applies it.
    func apply(_ write: DecodedWrite) {
        self.writeRecord(of: write)
        self.apply(self.record.bytes)
    }

    /// Applies a record, which must be carried out.
    func apply(_ record: UnsafeRawBufferPointer) {
        guard let view = RecordView(record) else {
            preconditionFailure("a record that was written is not read")
        }
        self.results.removeAll()
        self.now += Self.stepMicroseconds
        do throws(ApplyError) {
            try self.store.apply(
                view, firstLSN: self.store.appliedLSN + 1, receivedAt: self.now,
                results: &self.results)
        } catch {
            preconditionFailure("a record is malformed: \(error)")
        }
    }

    /// The header of the last result; `reader` stands behind it.
    func result(_ reader: inout ByteReader) -> ResultHeader {
        guard let header = ResultHeader(from: &reader), header.rejection == .none else {
            preconditionFailure("a request of the paths is rejected")
        }
        return header
    }

    /// The profile of an identifier, which lies in this object until the next read.
    func readImage(_ identifier: IdentifierView) -> (image: ProfileImage, appliedLSN: UInt64) {
        self.image.removeAll()
        let outcome = self.store.read(
            project: Self.project, identifier: identifier, now: self.now, into: &self.image)
        guard case .found = outcome.finding, let image = ProfileImage(self.image.bytes) else {
            preconditionFailure("a person of the paths is unknown")
        }
        return (image, outcome.appliedLSN)
    }
}

extension Decoded {
    /// The request; nothing is wrong with those of the paths.
    @inline(__always)
    var whole: Request {
        guard case .message(let request) = self else {
            preconditionFailure("a request of the paths is invalid")
        }
        return request
    }
}
