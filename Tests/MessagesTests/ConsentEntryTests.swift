import Bytes
import CMessages
import Testing

@testable import Profiles

/// Entries of the ledger, which the state machine writes as protobuf and the encoder unpacks.
@Suite struct ConsentEntryTests {
    private struct Numbers: SeededNumbers {
        var state: UInt64
    }

    private static func entry() -> [UInt8] {
        let text = Array("text".utf8)
        var buffer = ByteBuffer()
        text.withUnsafeBytes { text in
            ConsentEntry(
                channel: .email, topic: text, before: .unset, after: .subscribed, applied: true,
                source: .user,
                evidence: EvidenceView(
                    method: text, ip: text, userAgent: text, textVersion: text, actor: text,
                    reference: text),
                effectiveTime: -1, receivedAt: 1_700_000_000_000_001, lsn: .max,
                profileID: ProfileID(high: 1, low: 2)
            ).write(into: &buffer)
        }
        return Array(buffer.bytes)
    }

    private static func isUnpacked(_ bytes: [UInt8]) -> Bool {
        guard let message = profiles__v1__consent_entry__unpack(nil, bytes.count, bytes) else {
            return false
        }
        profiles__v1__consent_entry__free_unpacked(message, nil)
        return true
    }

    private static func isWhole(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { ConsentEntry.isWhole($0) }
    }

    /// The encoder relies on it: what a snapshot brings has been checked when it was loaded.
    @Test func whateverIsWholeIsUnpacked() {
        let entry = Self.entry()
        #expect(Self.isWhole(entry) && Self.isUnpacked(entry))
        var random = Numbers(state: 7)
        var (taken, rejected) = (0, 0)
        for _ in 0 ..< 50_000 {
            var changed = entry
            for _ in 0 ... random.below(3) {
                let index = random.below(changed.count)
                switch random.below(3) {
                case 0: changed[index] ^= 1 << UInt8(random.below(8))
                case 1: changed.remove(at: index)
                default: changed.insert(changed[random.below(changed.count)], at: index)
                }
            }
            guard Self.isWhole(changed) else {
                rejected += 1
                continue
            }
            taken += 1
            #expect(Self.isUnpacked(changed), "\(changed)")
        }
        #expect(taken > 1_000 && rejected > 1_000)
    }

    /// A topic of one byte, whose length has one byte as well as six.
    @Test func lengthsAreAsShortAsTheyCanBe() {
        #expect(Self.isWhole([0x12, 1, 65]) && Self.isUnpacked([0x12, 1, 65]))
        let long: [UInt8] = [0x12, 0x81, 0x80, 0x80, 0x80, 0x80, 0, 65]
        #expect(!Self.isWhole(long) && !Self.isUnpacked(long))
    }
}
