import Bytes
import Foundation
import Testing

@testable import Profiles

/// Figures, not promises:
/// `PROFILES_MEASURE=1 swift test -c release -Xswiftc -enable-testing --filter StoreMeasurements`.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["PROFILES_MEASURE"] != nil), .serialized)
struct StoreMeasurements {
    /// The records of one Track per id, each with one event of three attributes, packed one after
    /// the other.
    static func records(_ ids: Range<Int>) -> ByteBuffer {
        var buffer = ByteBuffer(capacity: 1 << 20)
        for number in ids {
            let text = "customer-\(1_000_000 + number)"
            let event = EventSpec(
                name: "order_placed", label: "web",
                attributes: [("amount", Int64(number)), ("items", 3), ("shop", 17)])
            TrackSpec(text, [event]).record.withUnsafeBytes { buffer.append($0) }
        }
        return buffer
    }

    static func apply(
        _ records: borrowing ByteBuffer, to store: Store, lsn: inout UInt64, at time: Int64
    ) throws {
        var results = ByteBuffer(capacity: 1 << 16)
        var rest = records.bytes[...]
        while let record = RecordView(UnsafeRawBufferPointer(rebasing: rest)) {
            if results.count > 60_000 { results.removeAll() }
            try store.apply(record, firstLSN: lsn, receivedAt: time, results: &results)
            lsn += UInt64(record.operations)
            rest = rest.dropFirst(record.totalBytes)
            if rest.isEmpty { break }
        }
    }

    @Test func tracksPerSecondOver100000IDs() throws {
        let store = Store(genesis: TrackFixture.genesis())
        let records = Self.records(0 ..< 100_000)
        var lsn: UInt64 = 1
        for round in 0 ..< 12 {
            let start = DispatchTime.now().uptimeNanoseconds
            try Self.apply(records, to: store, lsn: &lsn, at: TrackFixture.start + Int64(round))
            let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
            print("round \(round): \(Int(100_000 / seconds)) tracks/s")
        }
        let before = store.memory.totalBytes
        print("bytes per event: \(Double(before) / Double(store.memory.retainedEvents))")
        var buffer = ByteBuffer()
        let start = DispatchTime.now().uptimeNanoseconds
        var random = SeededRandom(state: 1)
        for _ in 0 ..< 1_000_000 {
            buffer.removeAll()
            _ = withBytes("customer-\(1_000_000 + random.below(100_000))") {
                store.read(
                    project: ProjectID(rawValue: 1),
                    identifier: IdentifierView(kind: .customID, bytes: $0),
                    now: TrackFixture.start, into: &buffer)
            }
        }
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
        print("reads: \(Int(1e6 / seconds))/s (the making of the test's string included)")
    }

    @Test func bytesPerProfileOfAMillion() throws {
        let store = Store(genesis: TrackFixture.genesis())
        var lsn: UInt64 = 1
        for part in 0 ..< 10 {
            let records = Self.records(part * 100_000 ..< (part + 1) * 100_000)
            let start = DispatchTime.now().uptimeNanoseconds
            try Self.apply(records, to: store, lsn: &lsn, at: TrackFixture.start)
            let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
            print("creating: \(Int(100_000 / seconds)) profiles/s")
        }
        print(
            "bytes per profile with one event: \(Double(store.memory.totalBytes) / 1e6)",
            store.memory)
        let one = store.memory
        for part in 0 ..< 10 {
            try Self.apply(
                Self.records(part * 100_000 ..< (part + 1) * 100_000), to: store, lsn: &lsn,
                at: TrackFixture.start)
        }
        print(
            "bytes of a second event: \(Double(store.memory.totalBytes - one.totalBytes) / 1e6)",
            store.memory)
    }

    @Test func snapshotOfAMillionProfilesOfTenAttributes() throws {
        let store = Store(genesis: TrackFixture.genesis())
        var results = ByteBuffer()
        for number in 0 ..< 1_000_000 {
            var spec = IdentifySpec(person: "customer-\(1_000_000 + number)")
            for index in 0 ..< 10 {
                spec.patch.append(("attribute_\(index)", .set, Int64(number + index), []))
            }
            results.removeAll()
            try spec.record.withUnsafeBytes { bytes in
                guard let view = RecordView(bytes) else { return }
                try store.apply(
                    view, firstLSN: UInt64(number + 1), receivedAt: TrackFixture.start,
                    results: &results)
            }
        }
        print("live:", store.memory)
        var start = DispatchTime.now().uptimeNanoseconds
        var blocks: [SnapshotBlock] = []
        store.beginSnapshot()
        while !store.isSnapshotComplete {
            store.advanceSnapshot(bytes: 64 << 10)
            while let block = store.takeSnapshotBlock() { blocks.append(block) }
        }
        store.endSnapshot()
        var seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
        let bytes = blocks.reduce(0) { $0 + $1.bytes.count }
        print("written: \(seconds) s, \(bytes) bytes, \(blocks.count) blocks")
        for _ in 0 ..< 3 {
            start = DispatchTime.now().uptimeNanoseconds
            let loader = StoreLoader(bytes: bytes)
            for block in blocks { try loader.load(block.bytes) }
            let loaded = try loader.finish()
            seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
            print("loaded: \(seconds) s", loaded.memory.totalBytes)
        }
    }
}
