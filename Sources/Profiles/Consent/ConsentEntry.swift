import Bytes

// One entry of the consent ledger as the bytes that are hashed. They are the protobuf form of
// `ConsentEntry` without its two hashes, so that every holder of an entry can compute them again;
// written here, because the state machine may not depend on a codec. Source: docs/rules.md, section
// 5, "Ledger"; the encoding rules of protobuf, fields in the order of their numbers, defaults left
// out.
//
// SAFETY: the temporary memory has `ProfileID.textBytes`, which `writeText` fills, and is only used
// inside of the closure.

/// How consent was given, borrowed; in the layout of a record.
///
/// Layout: `method, ip, userAgent, textVersion, actor, reference: prefixed`.
package struct EvidenceView {
    package var method = UnsafeRawBufferPointer.none
    package var ip = UnsafeRawBufferPointer.none
    package var userAgent = UnsafeRawBufferPointer.none
    package var textVersion = UnsafeRawBufferPointer.none
    package var actor = UnsafeRawBufferPointer.none
    package var reference = UnsafeRawBufferPointer.none

    package init(
        method: UnsafeRawBufferPointer, ip: UnsafeRawBufferPointer,
        userAgent: UnsafeRawBufferPointer,
        textVersion: UnsafeRawBufferPointer, actor: UnsafeRawBufferPointer,
        reference: UnsafeRawBufferPointer
    ) {
        self.method = method
        self.ip = ip
        self.userAgent = userAgent
        self.textVersion = textVersion
        self.actor = actor
        self.reference = reference
    }

    package init(from reader: inout ByteReader) {
        self.method = reader.readPrefixed()
        self.ip = reader.readPrefixed()
        self.userAgent = reader.readPrefixed()
        self.textVersion = reader.readPrefixed()
        self.actor = reader.readPrefixed()
        self.reference = reader.readPrefixed()
    }

    package func write(into buffer: inout ByteBuffer) {
        for text in self.fields { buffer.appendPrefixed(text) }
    }

    /// In the order of the message's field numbers, from 1 on.
    fileprivate var fields: [UnsafeRawBufferPointer] {
        [self.method, self.ip, self.userAgent, self.textVersion, self.actor, self.reference]
    }
}

/// The content of an entry.
struct ConsentEntry {
    var channel: Channel
    /// Empty: the whole channel.
    var topic: UnsafeRawBufferPointer
    var before: SubscriptionState
    var after: SubscriptionState
    var applied: Bool
    var source: ConsentSource
    /// `nil`: none was given.
    var evidence: EvidenceView?
    /// Microseconds since 1970.
    var effectiveTime: Int64
    var receivedAt: Int64
    var lsn: UInt64
    /// Of the profile that the entry was written for; after a merge it still names that one.
    var profileID: ProfileID

    /// Field numbers of `profiles.v1.ConsentEntry`; 11 and 12 are the hashes.
    fileprivate enum Field {
        static let channel: UInt64 = 1
        static let topic: UInt64 = 2
        static let before: UInt64 = 3
        static let after: UInt64 = 4
        static let applied: UInt64 = 5
        static let source: UInt64 = 6
        static let evidence: UInt64 = 7
        static let effectiveTime: UInt64 = 8
        static let receivedAt: UInt64 = 9
        static let lsn: UInt64 = 10
        static let profileID: UInt64 = 13
    }

    /// Appends the bytes that are hashed.
    func write(into buffer: inout ByteBuffer) {
        Self.append(number: UInt64(self.channel.rawValue), Field.channel, to: &buffer)
        Self.append(text: self.topic, Field.topic, to: &buffer)
        Self.append(number: UInt64(self.before.rawValue), Field.before, to: &buffer)
        Self.append(number: UInt64(self.after.rawValue), Field.after, to: &buffer)
        Self.append(number: self.applied ? 1 : 0, Field.applied, to: &buffer)
        Self.append(number: UInt64(self.source.rawValue), Field.source, to: &buffer)
        if let evidence = self.evidence {
            Self.append(message: Field.evidence, to: &buffer) { message in
                for (index, text) in evidence.fields.enumerated() {
                    Self.append(text: text, UInt64(index + 1), to: &message)
                }
            }
        }
        Self.append(time: self.effectiveTime, Field.effectiveTime, to: &buffer)
        Self.append(time: self.receivedAt, Field.receivedAt, to: &buffer)
        Self.append(number: self.lsn, Field.lsn, to: &buffer)
        withUnsafeTemporaryAllocation(byteCount: ProfileID.textBytes, alignment: 1) { text in
            self.profileID.writeText(into: text)
            Self.append(text: UnsafeRawBufferPointer(text), Field.profileID, to: &buffer)
        }
    }

    /// The lsn of an entry that `write` wrote.
    static func lsn(of entry: UnsafeRawBufferPointer) -> UInt64 {
        var reader = ByteReader(entry)
        while reader.remaining > 0 {
            let key = reader.readVarint()
            guard key & 7 == 0 else {
                _ = reader.readPrefixed()
                continue
            }
            let number = reader.readVarint()
            if key >> 3 == Field.lsn { return number }
        }
        return 0
    }

    /// Whether bytes are in the form of what `write` writes, so that a reader of protobuf takes
    /// them.
    ///
    /// - Complexity: O(bytes); a start asks for every entry.
    static func isWhole(_ entry: UnsafeRawBufferPointer) -> Bool {
        self.isMessage(entry) { field, bytes in
            switch field {
            case Field.topic, Field.profileID: bytes != nil
            case Field.evidence:
                bytes.map { self.isMessage($0) { $0 <= 6 && $1 != nil } } ?? false
            case Field.effectiveTime, Field.receivedAt:
                bytes.map { self.isMessage($0) { $0 <= 2 && $1 == nil } } ?? false
            case Field.channel, Field.before, Field.after, Field.applied, Field.source, Field.lsn:
                bytes == nil
            default: false
            }
        }
    }

    /// Whether bytes are fields in ascending order below 16.
    ///
    /// - Parameter isField: Of a number and the bytes of a text or message; `nil`: it is a number.
    private static func isMessage(
        _ bytes: UnsafeRawBufferPointer, isField: (UInt64, UnsafeRawBufferPointer?) -> Bool
    ) -> Bool {
        var reader = ByteReader(bytes)
        var last: UInt64 = 0
        while reader.remaining > 0 {
            // One byte, as of all fields below 16.
            let key = UInt64(reader.read(UInt8.self))
            guard key >> 3 > last, key < 0x80 else { return false }
            last = key >> 3
            var content: UnsafeRawBufferPointer?
            switch key & 7 {
            case 0: _ = reader.readVarint()
            case 2:
                let start = reader.offset
                let bytes = reader.readPrefixed()
                // protobuf-c rejects a length of more bytes than it may have.
                guard reader.offset - start == RawWriter.prefixedBytes(bytes.count) else {
                    return false
                }
                content = bytes
            default: return false
            }
            guard !reader.overrun, isField(last, content) else { return false }
        }
        return reader.isAtCleanEnd
    }

    private static func append(number: UInt64, _ field: UInt64, to buffer: inout ByteBuffer) {
        guard number != 0 else { return }
        buffer.appendVarint(field << 3)
        buffer.appendVarint(number)
    }

    private static func append(
        text: UnsafeRawBufferPointer, _ field: UInt64, to buffer: inout ByteBuffer
    ) {
        guard text.count > 0 else { return }
        buffer.appendVarint(field << 3 | 2)
        buffer.appendPrefixed(text)
    }

    private static func append(
        message field: UInt64, to buffer: inout ByteBuffer, _ body: (inout ByteBuffer) -> Void
    ) {
        var message = ByteBuffer()
        body(&message)
        buffer.appendVarint(field << 3 | 2)
        buffer.appendPrefixed(message.bytes)
    }

    /// A `google.protobuf.Timestamp`, whose nanoseconds count forward also before 1970.
    private static func append(time: Int64, _ field: UInt64, to buffer: inout ByteBuffer) {
        var (seconds, rest) = time.quotientAndRemainder(dividingBy: 1_000_000)
        if rest < 0 { (seconds, rest) = (seconds - 1, rest + 1_000_000) }
        buffer.appendVarint(field << 3 | 2)
        // At most 1 + 10 + 1 + 5 bytes, so the length has one.
        buffer.append(UInt8(0))
        let start = buffer.count
        Self.append(number: UInt64(bitPattern: seconds), 1, to: &buffer)
        Self.append(number: UInt64(rest * 1_000), 2, to: &buffer)
        buffer.mutableBytes[start - 1] = UInt8(buffer.count - start)
    }
}

/// What an un-merge reads of an entry; the topic is borrowed.
struct ConsentEntryView {
    var channel = Channel.email
    var topic = UnsafeRawBufferPointer.none
    var after = SubscriptionState.unset
    var applied = false
    var source = ConsentSource.system
    var hasEvidence = false
    /// Microseconds since 1970.
    var effectiveTime: Int64 = 0
    var lsn: UInt64 = 0

    /// Reads the bytes that `ConsentEntry.write` wrote; `nil` if they are not.
    init?(_ entry: UnsafeRawBufferPointer) {
        typealias Field = ConsentEntry.Field
        var reader = ByteReader(entry)
        while reader.remaining > 0 {
            let key = reader.readVarint()
            if key & 7 == 0 {
                let number = reader.readVarint()
                let byte = UInt8(truncatingIfNeeded: number)
                switch key >> 3 {
                case Field.channel:
                    guard let channel = Channel(rawValue: byte) else { return nil }
                    self.channel = channel
                case Field.after:
                    guard let after = SubscriptionState(rawValue: byte) else { return nil }
                    self.after = after
                case Field.applied: self.applied = number != 0
                case Field.source:
                    guard let source = ConsentSource(rawValue: byte) else { return nil }
                    self.source = source
                case Field.lsn: self.lsn = number
                default: break
                }
                continue
            }
            let bytes = reader.readPrefixed()
            switch key >> 3 {
            case Field.topic: self.topic = bytes
            case Field.evidence: self.hasEvidence = true
            case Field.effectiveTime: self.effectiveTime = Self.time(bytes)
            default: break
            }
        }
        guard !reader.overrun else { return nil }
    }

    private static func time(_ timestamp: UnsafeRawBufferPointer) -> Int64 {
        var reader = ByteReader(timestamp)
        var (seconds, nanoseconds): (Int64, Int64) = (0, 0)
        while reader.remaining > 0 {
            let key = reader.readVarint()
            let number = Int64(bitPattern: reader.readVarint())
            if key >> 3 == 1 { seconds = number } else { nanoseconds = number }
        }
        return seconds &* 1_000_000 &+ nanoseconds / 1_000
    }
}
