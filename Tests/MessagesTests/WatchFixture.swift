import Bytes
import CMessages
import CProtobufC
import Profiles
import Testing

@testable import Messages

/// A store that records the changes of the messages that it is sent.
final class WatchFixture {
    static let project = ProjectID(rawValue: 1)
    static let second: Int64 = 1_000_000

    let store: Store
    let decoder = MessageDecoder()
    let encoder = MessageEncoder()
    var now: Int64 = 1_700_000_000_000_000
    /// One record each.
    private(set) var changes: [[UInt8]] = []

    init() {
        self.store = Store(
            genesis: Genesis(
                directoryID: ProfileID(high: 1, low: 2), hashKey: SipHashKey(k0: 3, k1: 4),
                secret: SipHashKey(k0: 5, k1: 6), limits: StoreLimits()))
        self.store.recordsChanges = true
    }

    /// Applies a record that `write` appends, and takes its changes.
    private func apply(_ write: (inout ByteBuffer) -> Void) throws {
        var record = ByteBuffer()
        write(&record)
        self.now += Self.second
        var results = ByteBuffer()
        let view = try #require(RecordView(record.bytes))
        try self.store.apply(
            view, firstLSN: self.store.appliedLSN + 1, receivedAt: self.now, results: &results)
        self.store.takeChanges { records, _ in
            var reader = ChangeReader(records)
            while let change = try? reader.next() { self.changes.append(Array(change.bytes)) }
        }
    }

    private func apply(
        _ wire: [UInt8],
        _ decode: (MessageDecoder, UnsafeRawBufferPointer) -> Decoded<DecodedWrite>
    ) throws {
        try wire.withUnsafeBytes { bytes -> Void in
            guard case .message(let write) = decode(self.decoder, bytes) else {
                Issue.record("not a valid request")
                return
            }
            try self.apply {
                self.decoder.appendRecord(of: write, project: Self.project, to: &$0)
            }
        }
    }

    func track(_ wire: [UInt8]) throws {
        let windows = AdvisoryWindows(
            nowMicroseconds: self.now, lateMicroseconds: 86_400_000_000,
            historicalMicroseconds: 86_400_000_000, aheadMicroseconds: 300_000_000)
        try self.apply(wire) { $0.decodeTrack($1, windows: { _ in windows }) }
    }

    func identify(_ fields: [UInt8]) throws {
        try self.apply(Wire.field(1, "default") + fields) { $0.decodeIdentify($1) }
    }

    func subscribe(_ fields: [UInt8]) throws {
        try self.apply(Wire.field(1, "default") + fields) { $0.decodeUpdateSubscription($1) }
    }

    func erase(_ customID: String) throws {
        try self.apply { record in
            let start = beginRecord(.erase, in: &record)
            Array(customID.utf8).withUnsafeBytes {
                self.store.withEraseCommand(
                    Self.project, IdentifierView(kind: .customID, bytes: $0),
                    requestID: UnsafeRawBufferPointer(start: nil, count: 0), expectedRevision: nil
                ) { $0.write(into: &record) }
            }
            endRecord(at: start, operations: 1, in: &record)
        }
    }

    func suppress(_ email: String, _ reason: SuppressionReason) throws {
        try self.apply { record in
            let address = Array(email.utf8).withUnsafeBytes {
                self.store.addressHash(Self.project, .email, $0)
            }
            let start = beginRecord(.addSuppression, in: &record)
            SuppressionCommand(
                project: Self.project, reason: reason, address: address,
                requestID: UnsafeRawBufferPointer(start: nil, count: 0)
            ).write(into: &record)
            endRecord(at: start, operations: 1, in: &record)
        }
    }

    // MARK: Responses

    /// The response of a record; `nil`: it is malformed.
    func response(_ record: [UInt8]) -> [UInt8]? {
        record.withUnsafeBytes { bytes in
            guard let change = ChangeView(bytes) else { return nil }
            var output = ByteBuffer()
            output.append(UInt8(0xAA))
            let resolver = self.store.resolver(of: change.project)
            let isWritten = self.encoder.encodeChange(change, resolver, into: &output)
            if !isWritten { #expect(output.count == 1) }
            return isWritten ? Array(output.bytes.dropFirst()) : nil
        }
    }

    /// Calls `body` with what protobuf-c reads out of the response to a record, after it gave the
    /// same bytes again.
    func withResponse(
        _ record: [UInt8],
        _ body: (Profiles__V1__WatchResponse, Profiles__V1__Change) throws -> Void
    ) throws {
        let written = try #require(self.response(record))
        let message = try #require(
            written.withUnsafeBytes {
                profiles__v1__watch_response__unpack(
                    nil, $0.count, $0.baseAddress?.assumingMemoryBound(to: UInt8.self))
            })
        defer { profiles__v1__watch_response__free_unpacked(message, nil) }
        var again = ByteBuffer()
        MessageEncoder.pack(UnsafeMutableRawPointer(message), into: &again)
        #expect(Array(again.bytes) == written)
        let change = try #require(message.pointee.change)
        try body(message.pointee, change.pointee)
    }
}
