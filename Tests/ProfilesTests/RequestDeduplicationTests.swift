import Bytes
import Testing

@testable import Profiles

/// The deduplication entries as a part of its own.
@Suite struct RequestDeduplicationTests {
    private func withRequests(
        _ limits: StoreLimits = StoreLimits(),
        _ body: (RequestDeduplication, Project, Slab) throws -> Void
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
        try withProject { try body(requests, $0, slab) }
    }

    private func remember(
        _ id: String, at now: Int64, hash: UInt64 = 5, of project: Project,
        in requests: RequestDeduplication
    ) {
        withBytes(id) { id in
            withBytes("response of \(now), long enough for a header") {
                requests.remember(
                    project, .track, id, hash: hash, fingerprint: Fingerprint(low: 1, high: 2),
                    response: $0, receivedAt: now, now: now)
            }
        }
    }

    private func response(
        _ id: String, _ kind: RecordKind = .track, now: Int64, hash: UInt64 = 5,
        of project: UInt32 = 1, in requests: RequestDeduplication
    ) -> String? {
        withBytes(id) {
            requests.find(ProjectID(rawValue: project), kind, $0, hash: hash, now: now).map {
                String(decoding: $0.response, as: UTF8.self)
            }
        }
    }

    @Test func entryIsFoundByIdAndKindAmongThoseOfTheSameHash() {
        self.withRequests { requests, project, _ in
            self.remember("a", at: 1, of: project, in: requests)
            self.remember("b", at: 2, of: project, in: requests)
            #expect(self.response("a", now: 3, in: requests)?.hasPrefix("response of 1") == true)
            #expect(self.response("b", now: 3, in: requests)?.hasPrefix("response of 2") == true)
            #expect(self.response("c", now: 3, in: requests) == nil)
            #expect(self.response("a", .identify, now: 3, in: requests) == nil)
        }
    }

    @Test func entryEndsWithItsTimeAndIsDroppedInPieces() {
        var limits = StoreLimits()
        limits.requestIDSeconds = 10
        self.withRequests(limits) { requests, project, slab in
            for number in 0 ..< 5 {
                self.remember("r\(number)", at: Int64(number), of: project, in: requests)
            }
            let due: Int64 = 10 * 1_000_000
            #expect(requests.due(project.requests.entries.oldestTime) == due + 1)
            #expect(self.response("r0", now: due, in: requests) != nil)
            #expect(
                self.response("r0", now: due + 1, in: requests) == nil, "hidden before the drop")
            #expect(
                requests.dropPastDue(of: project, now: due + 100, most: 3) == 3
                    && project.requests.count == 2)
            #expect(requests.dropPastDue(of: project, now: due + 100, most: 3) == 2)
            #expect(project.requests.bytes == 0 && slab.bytesInUse == 0)
            #expect(project.requests.entries.oldestTime == .max)
        }
    }

    @Test func oldestEntryLeavesOverTheLimitOfCount() {
        var limits = StoreLimits()
        limits.requestIDsPerProject = 2
        self.withRequests(limits) { requests, project, _ in
            for number in 0 ..< 3 {
                self.remember("r\(number)", at: Int64(number), of: project, in: requests)
            }
            #expect(project.requests.count == 2)
            #expect(self.response("r0", now: 3, in: requests) == nil)
            #expect(self.response("r2", now: 3, in: requests) != nil)
        }
    }

    /// Equal hashes of two projects: the project decides.
    @Test func entryOfOneProjectIsNotFoundInAnother() {
        self.withRequests { requests, project, _ in
            withProject(2) { other in
                self.remember("a", at: 1, of: project, in: requests)
                #expect(self.response("a", now: 3, of: 2, in: requests) == nil)
                self.remember("a", at: 2, of: other, in: requests)
                #expect(
                    self.response("a", now: 3, in: requests)?.hasPrefix("response of 1") == true)
                #expect(
                    self.response("a", now: 3, of: 2, in: requests)?.hasPrefix("response of 2")
                        == true)
                #expect(requests.drop(of: other, most: 9) == 1)
                #expect(self.response("a", now: 3, in: requests) != nil)
                #expect(other.requests.count == 0 && project.requests.count == 1)
            }
        }
    }

    @Test func limitOfCountIsOfEachProject() {
        var limits = StoreLimits()
        limits.requestIDsPerProject = 2
        self.withRequests(limits) { requests, project, _ in
            withProject(2) { other in
                self.remember("mine", at: 0, of: project, in: requests)
                for number in 0 ..< 3 {
                    self.remember("r\(number)", at: Int64(number), of: other, in: requests)
                }
                #expect(project.requests.count == 1 && other.requests.count == 2)
                #expect(project.requests.forgotten == .min && other.requests.forgotten == 0)
            }
        }
    }
}
