import Bytes
import Testing

@testable import Profiles

/// The blocks of consent and the bytes that are hashed.
@Suite struct ConsentPartTests {
    private static func bytes(_ body: (inout ByteBuffer) -> Void) -> [UInt8] {
        var buffer = ByteBuffer()
        body(&buffer)
        return Array(buffer.bytes)
    }

    /// A literal as bytes that live for ever.
    private static func text(_ literal: StaticString) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount)
    }

    // MARK: Entries

    private static func entry(effectiveTime: Int64 = 1_500_000, evidence: EvidenceView? = nil)
        -> ConsentEntry
    {
        ConsentEntry(
            channel: .sms, topic: Self.text("ab"), before: .unset, after: .unsubscribed,
            applied: true, source: .user,
            evidence: evidence, effectiveTime: effectiveTime, receivedAt: 2_000_000, lsn: 300,
            profileID: ProfileID(high: 0, low: 0))
    }

    @Test func entryIsProtobufInTheOrderOfItsFields() {
        let head: [UInt8] = [0x08, 2, 0x12, 2, 0x61, 0x62, 0x18, 1, 0x20, 4, 0x28, 1, 0x30, 1]
        // 1.5 s: seconds 1, nanoseconds 500,000,000; 2 s; lsn 300; the id of zeros in text.
        let tail: [UInt8] =
            [
                0x42, 8, 0x08, 1, 0x10, 0x80, 0xCA, 0xB5, 0xEE, 0x01, 0x4A, 2, 0x08, 2, 0x50, 0xAC,
                0x02, 0x6A, 26,
            ]
            + [UInt8](repeating: UInt8(ascii: "0"), count: 26)
        #expect(Self.bytes { Self.entry().write(into: &$0) } == head + tail)
        let evidence = EvidenceView(
            method: .none, ip: Self.text("x"), userAgent: .none, textVersion: .none, actor: .none,
            reference: Self.text("y"))
        #expect(
            Self.bytes { Self.entry(evidence: evidence).write(into: &$0) }
                == head + [0x3A, 6, 0x12, 1, 0x78, 0x32, 1, 0x79] + tail)
    }

    @Test func timeBefore1970CountsItsNanosecondsForward() {
        let bytes = Self.bytes { Self.entry(effectiveTime: -1).write(into: &$0) }
        let minusOne: [UInt8] = [UInt8](repeating: 0xFF, count: 9) + [0x01]
        // Seconds -1, nanoseconds 999,999,000.
        let time: [UInt8] = [0x42, 17, 0x08] + minusOne + [0x10, 0x98, 0x8C, 0xEB, 0xDC, 0x03]
        #expect(bytes[14 ..< 14 + time.count].elementsEqual(time))
    }

    @Test func lsnIsFoundInAnEntry() {
        let bytes = Self.bytes { Self.entry().write(into: &$0) }
        #expect(bytes.withUnsafeBytes { ConsentEntry.lsn(of: $0) } == 300)
    }

    // MARK: Ledger

    @Test func ledgerFoldsItsOldestEntriesAndItsChainStillCloses() {
        let slab = Slab()
        defer { slab.destroy() }
        var ledger = LedgerBlock()
        var heads: [SHA256Digest] = []
        // Most in one call, the last ones each in its own.
        let calls =
            [0 ..< LedgerPart.entriesMax - 2]
            + (LedgerPart.entriesMax - 2 ..< LedgerPart.entriesMax + 10).map { $0 ..< $0 + 1 }
        for call in calls {
            var chain = LedgerAppend(after: ledger.head)
            for number in call {
                let entry = Self.bytes { $0.append(UInt32(number)) }
                entry.withUnsafeBytes { chain.append($0) }
                heads.append(chain.head)
            }
            Self.append(chain, to: &ledger, in: slab)
        }
        var block = Self.serialized(ledger, in: slab)
        #expect(ledger.count == LedgerPart.entriesMax && block.count == ledger.serializedBytes)
        block.withUnsafeBytes { bytes in
            let ledger = LedgerPart(bytes)
            #expect(ledger.foldedCount == 10 && ledger.keptCount == LedgerPart.entriesMax)
            #expect(ledger.foldedHash == heads[9] && ledger.head == heads.last)
            let verified = Self.verified(bytes)
            #expect(verified.isValid && verified.entryCount == UInt64(LedgerPart.entriesMax + 10))
        }
        // A changed bit anywhere in the entries is found.
        block[LedgerPart.fixedBytes + 3] ^= 1
        block.withUnsafeBytes { bytes in
            #expect(!Self.verified(bytes).isValid)
        }
    }

    private static func append(
        _ chain: borrowing LedgerAppend, to ledger: inout LedgerBlock, in slab: Slab
    ) {
        let replaced = ledger.append(
            chain.added, count: chain.addedCount, head: chain.head, in: slab
        ) { slab.allocate($0) }
        if let replaced { slab.deallocate(replaced.block, bytes: replaced.bytes) }
    }

    /// A ledger as snapshots have it, by way of its fixed block.
    private static func serialized(_ ledger: LedgerBlock, in slab: Slab) -> [UInt8] {
        let handle = slab.allocate(LedgerBlock.bytes)
        ledger.write(to: handle, in: slab)
        return Self.bytes { slab.appendLedger(handle, to: &$0) }
    }

    /// Random appends, each of which leaves the fixed block of before as a reader may still have
    /// it; sometimes the block of before is where the next one goes on, as after a rollback.
    @Test(arguments: [UInt64(1), 2, 3])
    func ledgerOfBeforeIsWhatItWasWhileEntriesAreAppended(seed: UInt64) {
        var random = SeededRandom(state: seed)
        let slab = Slab()
        defer { slab.destroy() }
        var ledger = LedgerBlock()
        var entries: [[UInt8]] = []
        for round in 0 ..< 2_400 {
            let before = ledger
            let isCompared = round.isMultiple(of: 16)
            let old = isCompared ? Self.serialized(before, in: slab) : []
            var chain = LedgerAppend(after: ledger.head)
            var added: [[UInt8]] = []
            for _ in 0 ..< Int.random(in: 1 ... 4, using: &random) {
                let entry = (0 ..< Int.random(in: 0 ... 300, using: &random)).map {
                    UInt8(truncatingIfNeeded: $0 + entries.count)
                }
                entry.withUnsafeBytes { chain.append($0) }
                added.append(entry)
            }
            // Nothing is freed here: what a reader or a rollback still has must be intact.
            _ = ledger.append(
                chain.added, count: chain.addedCount, head: chain.head, in: slab
            ) { slab.allocate($0) }
            if isCompared { #expect(Self.serialized(before, in: slab) == old) }
            if Int.random(in: 0 ..< 10, using: &random) == 0 {
                ledger = before
            } else {
                entries += added
            }
        }
        let bytes = Self.serialized(ledger, in: slab)
        bytes.withUnsafeBytes { bytes in
            var kept: [[UInt8]] = []
            LedgerPart(bytes).forEach { kept.append(Array($0)) }
            #expect(kept == Array(entries.suffix(LedgerPart.entriesMax)))
            #expect(Self.verified(bytes).isValid)
            // A snapshot's bytes make the same ledger again, and pieces of it are the whole.
            let loaded = slab.allocateLedger(bytes)
            var pieces = ByteBuffer()
            while pieces.count < bytes.count {
                slab.appendLedger(loaded, from: pieces.count, bytesMax: 1_000, to: &pieces)
            }
            #expect(pieces.bytes.elementsEqual(bytes))
        }
    }

    /// Hashes a ledger in slices of one entry.
    private static func verified(_ ledger: UnsafeRawBufferPointer) -> VerifiedLedger {
        var scan = LedgerScan(copies: [Array(ledger)])
        var left = 1
        while !scan.hashEntries(&left) { left = 1 }
        return scan.verified
    }

    @Test func emptyLedgerIsValidAndHasTheZeroHead() {
        let verified = Self.verified(.none)
        #expect(verified.isValid && verified.entryCount == 0 && verified.head == .zero)
    }

    // MARK: Subscriptions

    @Test func keysAreKeptInTheOrderOfChannelAndTopic() {
        var part = ConsentPart()
        let topics = ["b", "", "a", "c"]
        topics.withTopics { topics in
            for (index, topic) in topics.enumerated() {
                for channel in [Channel.push, .email] {
                    let stored = StoredConsent(
                        state: .subscribed, source: .api, effectiveTime: Int64(index),
                        isByKeyword: index == 2)
                    part.set(
                        .init(
                            channel: channel, topic: topic, stored: stored,
                            pendingSince: UInt64(index)))
                }
            }
            let block = Self.bytes { part.write(into: &$0) }
            block.withUnsafeBytes { bytes in
                let read = ConsentPart(bytes)
                let keys = read.keys.map {
                    "\($0.channel)-" + String(decoding: $0.topic, as: UTF8.self)
                }
                #expect(
                    keys == [
                        "email-", "email-a", "email-b", "email-c", "push-", "push-a", "push-b",
                        "push-c",
                    ])
                #expect(read.keys.map(\.stored) == part.keys.map(\.stored))
                #expect(read.keys.map(\.pendingSince) == part.keys.map(\.pendingSince))
                #expect(read.topicCount(.email) == 3 && read.topicCount(.sms) == 0)
                #expect(read.find(.email, topics[2])?.stored.isByKeyword == true)
                #expect(read.find(.sms, topics[2]) == nil)
            }
        }
    }

    // MARK: Tokens

    @Test func tokenIsReadAsItWasMadeAndNoChangedOneIs() throws {
        let key = TokenKey(secret: SipHashKey(k0: 1, k1: 2))
        let token = ConsentToken(
            kind: .confirmation, project: ProjectID(rawValue: 1),
            profileID: ProfileID(high: 3, low: 4), channel: .sms,
            topic: Self.text("news"), issuedAt: 5, lsn: 6)
        let content = Self.bytes { token.write(into: &$0) }
        let text = Self.bytes { buffer in
            content.withUnsafeBytes { key.appendText($0, to: &buffer) }
        }
        func verify(_ text: [UInt8], _ key: TokenKey) -> [UInt8]? {
            var buffer = ByteBuffer()
            return text.withUnsafeBytes { key.verify($0, into: &buffer).map { Array($0) } }
        }
        #expect(verify(text, key) == content)
        #expect(verify(text, TokenKey(secret: SipHashKey(k0: 1, k1: 3))) == nil)
        for index in text.indices {
            var changed = text
            changed[index] =
                changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(verify(changed, key) == nil)
            #expect(verify(Array(text[..<index]), key) == nil)
        }
        let read = try #require(
            content.withUnsafeBytes {
                ConsentToken(content: $0).map { ($0.lsn, $0.issuedAt, $0.topic.count) }
            })
        #expect(read == (6, 5, 4))
    }

    // MARK: Suppression

    @Test func suppressionTableIsAsADictionary() {
        let table = SuppressionTable()
        defer { table.destroy() }
        var model: [UInt64: SuppressionReasons] = [:]
        var seed: UInt64 = 1
        for _ in 0 ..< 40_000 {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            // Few distinct addresses in few shards and slots, so that runs of slots form and are
            // cut.
            let number = seed >> 33 & 4_095
            let address = AddressHash(low: number % 97, high: number << 62 | number)
            let reasons = SuppressionReasons(rawValue: UInt8(seed >> 59) & 0b11110)
            table.set(ProjectID(rawValue: 1), address, reasons) {}
            model[number] = reasons.isEmpty ? nil : reasons
        }
        for number in 0 ..< UInt64(4_096) {
            #expect(
                table.reasons(
                    ProjectID(rawValue: 1),
                    AddressHash(low: number % 97, high: number << 62 | number)) == model[
                        number] ?? [])
        }
        #expect(table.count == model.count)
        var listed = 0
        table.forEach { _, _, _ in listed += 1 }
        #expect(listed == model.count)
    }
}

extension [String] {
    /// Calls `body` with the bytes of all at once.
    fileprivate func withTopics(_ body: ([UnsafeRawBufferPointer]) -> Void) {
        let bytes = self.map { [UInt8]($0.utf8) }
        let all = bytes.flatMap { $0 }
        all.withUnsafeBytes { all in
            var offset = 0
            body(
                bytes.map { topic in
                    defer { offset += topic.count }
                    return UnsafeRawBufferPointer(rebasing: all[offset ..< offset + topic.count])
                })
        }
    }
}
