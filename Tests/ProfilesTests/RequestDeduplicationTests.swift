import Bytes
import Testing

@testable import Profiles

/// The deduplication entries as a part of its own.
@Suite struct RequestDeduplicationTests {
    private func withRequests(
        _ limits: StoreLimits = StoreLimits(), _ body: (RequestDeduplication, Slab) throws -> Void
    ) rethrows {
        let slab = Slab()
        let snapshot = UnsafeMutablePointer<SnapshotWork>.allocate(capacity: 1)
        snapshot.initialize(to: SnapshotWork())
        let requests = RequestDeduplication(
            slab: slab, hash: KeyedHash(key: SipHashKey(k0: 1, k1: 2), mask: .max), limits: limits,
            snapshot: snapshot)
        defer {
            requests.destroy()
            snapshot.deinitialize(count: 1)
            snapshot.deallocate()
            slab.destroy()
        }
        try body(requests, slab)
    }

    private func remember(
        _ id: String, at now: Int64, hash: UInt64 = 5, in requests: RequestDeduplication
    ) {
        withBytes(id) { id in
            withBytes("response of \(now), long enough for a header") {
                requests.remember(
                    .track, id, hash: hash, fingerprint: Fingerprint(low: 1, high: 2), response: $0,
                    receivedAt: now, now: now)
            }
        }
    }

    private func response(
        _ id: String, _ kind: RecordKind = .track, now: Int64, hash: UInt64 = 5,
        in requests: RequestDeduplication
    ) -> String? {
        withBytes(id) {
            requests.find(kind, $0, hash: hash, now: now).map {
                String(decoding: $0.response, as: UTF8.self)
            }
        }
    }

    @Test func entryIsFoundByIdAndKindAmongThoseOfTheSameHash() {
        self.withRequests { requests, _ in
            self.remember("a", at: 1, in: requests)
            self.remember("b", at: 2, in: requests)
            #expect(self.response("a", now: 3, in: requests)?.hasPrefix("response of 1") == true)
            #expect(self.response("b", now: 3, in: requests)?.hasPrefix("response of 2") == true)
            #expect(self.response("c", now: 3, in: requests) == nil)
            #expect(self.response("a", .identify, now: 3, in: requests) == nil)
        }
    }

    @Test func entryEndsWithItsTimeAndIsDroppedInPieces() {
        var limits = StoreLimits()
        limits.requestIDSeconds = 10
        self.withRequests(limits) { requests, slab in
            for number in 0 ..< 5 { self.remember("r\(number)", at: Int64(number), in: requests) }
            let due: Int64 = 10 * 1_000_000
            #expect(requests.nextDue == due + 1)
            #expect(self.response("r0", now: due, in: requests) != nil)
            #expect(
                self.response("r0", now: due + 1, in: requests) == nil, "hidden before the drop")
            #expect(requests.dropPastDue(now: due + 100, most: 3) == 3 && requests.count == 2)
            #expect(requests.dropPastDue(now: due + 100, most: 3) == 2)
            #expect(requests.bytes == 0 && requests.nextDue == nil && slab.bytesInUse == 0)
        }
    }

    @Test func oldestEntryLeavesOverTheLimitOfCount() {
        var limits = StoreLimits()
        limits.requestIDsPerProject = 2
        self.withRequests(limits) { requests, _ in
            for number in 0 ..< 3 { self.remember("r\(number)", at: Int64(number), in: requests) }
            #expect(requests.count == 2)
            #expect(self.response("r0", now: 3, in: requests) == nil)
            #expect(self.response("r2", now: 3, in: requests) != nil)
        }
    }
}
