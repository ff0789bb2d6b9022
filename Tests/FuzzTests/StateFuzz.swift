import Bytes
import Messages
import Profiles

/// What the state is made of: the payloads of records, and the items of a snapshot.
enum StateFuzz {
    private static let startMicroseconds: Int64 = 1_700_000_000_000_000
    /// From one record to the next.
    private static let stepMicroseconds: Int64 = 1_000_000

    /// The genesis of the kept snapshots, too: with limits so small that they are reached.
    private static let genesis: Genesis = {
        var limits = StoreLimits()
        limits.eventsPerProfile = 20
        limits.installationsPerProfile = 4
        limits.countersPerProfile = 5
        limits.attributesPerProfile = 5
        limits.requestIDsPerProject = 20
        limits.blocksPerProject = 4
        return Genesis(
            directoryID: ProfileID(high: 1, low: 2), hashKey: SipHashKey(k0: 3, k1: 4),
            secret: SipHashKey(k0: 5, k1: 6), limits: limits)
    }()

    /// Commands, each as `kind: UInt8 | operations: UInt8 | payloadBytes: UInt16 | payload`,
    /// applied one after the other. A snapshot of what they leave brings the same state back.
    static func commands(_ bytes: UnsafeRawBufferPointer) {
        let store = Store(genesis: self.genesis)
        var reader = ByteReader(bytes)
        var now = self.startMicroseconds
        while reader.remaining >= 4 {
            let kind = reader.read(UInt8.self)
            let operations = Int(reader.read(UInt8.self))
            let count = min(Int(reader.read(UInt16.self)), reader.remaining)
            let payload = reader.read(count: count)
            guard self.apply(kind, max(1, operations), payload, to: store, now) else { return }
            now += self.stepMicroseconds
        }
        let digest = store.digest()
        store.beginSnapshot()
        store.advanceSnapshot(bytes: .max)
        let loader = StoreLoader(bytes: .max)
        do throws(SnapshotError) {
            while let block = store.takeSnapshotBlock() { try loader.load(block.bytes) }
            let loaded = try loader.finish()
            precondition(loaded.digest() == digest, "a snapshot brings another state back")
        } catch {
            preconditionFailure("a snapshot of an applied state is rejected: \(error)")
        }
        store.endSnapshot()
    }

    /// - Returns: False if the record is not one. A start ends with such a record, and no snapshot
    ///   is ever taken of what it left: a part of it may have been applied.
    private static func apply(
        _ kind: UInt8, _ operations: Int, _ payload: UnsafeRawBufferPointer, to store: Store,
        _ now: Int64
    ) -> Bool {
        var record = ByteBuffer()
        let start = beginRecord(.tick, in: &record)
        record.patch(kind, at: start + 4)
        record.append(payload)
        endRecord(at: start, operations: operations, in: &record)
        guard let view = RecordView(record.bytes) else {
            preconditionFailure("a record that was written is not read")
        }
        var results = ByteBuffer()
        let before = store.appliedLSN
        do throws(ApplyError) {
            try store.apply(view, firstLSN: before + 1, receivedAt: now, results: &results)
        } catch {
            precondition(
                store.appliedLSN < before + UInt64(operations), "a rejected record is applied")
            return false
        }
        precondition(store.appliedLSN == before + UInt64(operations), "a record takes its lsns")
        precondition(results.count > 0, "a record has a result")
        return true
    }

    /// Projects of a loaded snapshot that are listed.
    private static let projectsListed: UInt32 = 4

    /// The content of a snapshot's blocks, one behind the other. If it is taken, then its profiles
    /// are listed, and each is encoded with its events and ledgers, as a dump does it, and asked
    /// for its merges.
    static func items(_ bytes: UnsafeRawBufferPointer) {
        let loader = StoreLoader(bytes: bytes.count)
        guard (try? loader.load(bytes)) != nil, let store = try? loader.finish(),
            let everybody = try? CompiledFilter("", .profile)
        else { return }
        self.scan(store, everybody)
        let encoder = MessageEncoder()
        var message = ByteBuffer()
        store.forEachProfile(now: self.startMicroseconds) { project, image in
            message.removeAll()
            encoder.encodeWholeProfile(image, appliedLSN: store.appliedLSN, into: &message)
            store.forEachEventPage(
                project: project, id: image.profileID, pageSize: 100, now: self.startMicroseconds
            ) { encoder.encodeEvents($0, images: $1, into: &message) }
            store.withHistory(of: image, project: project) {
                encoder.encodeConsentEntries($0, into: &message)
            }
            _ = store.merges(into: image.profileID, of: project, most: 100)
        }
    }

    private static func scan(_ store: Store, _ filter: CompiledFilter) {
        var copies = ByteBuffer()
        var images = ByteBuffer()
        for number in 1 ... self.projectsListed {
            var scan = store.makeScan(
                ProjectID(rawValue: number), filter, time: self.startMicroseconds)
            while !scan.isAtEnd {
                images.removeAll()
                _ = store.readNext(
                    &scan, limit: 100, now: self.startMicroseconds, copies: &copies, into: &images)
            }
        }
    }
}
