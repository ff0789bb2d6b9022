import Bytes

// Tokens carry what they stand for and a code that only this directory can make. Nothing is kept of
// them; a loop verifies one before its command enters the log, and the record carries the content.
//
// SAFETY: `verify` checks that the content has more than `codeBytes` bytes, so both words of the
// code are within it; the slice is borrowed from the caller's buffer.

/// The content of a confirmation or unsubscribe token; the topic is borrowed.
///
/// Layout:
/// `kind: UInt8 | project: UInt32 | profileID: 16 bytes | channel: UInt8 | [issuedAt: Int64 µs |
/// lsn: UInt64] | topic to the
/// end`; the part in brackets in confirmations. The text is base64url of that and the first 16
/// bytes of its HMAC-SHA-256.
package struct ConsentToken {
    /// What a token is for.
    package enum Kind: UInt8, Sendable {
        case confirmation = 1
        case unsubscribe = 2
    }

    package var kind: Kind
    package var project: ProjectID
    package var profileID: ProfileID
    package var channel: Channel
    /// Empty: the whole channel.
    package var topic: UnsafeRawBufferPointer
    /// Of a confirmation: when the request was received, and its lsn.
    package var issuedAt: Int64 = 0
    package var lsn: UInt64 = 0

    /// Bytes of the code: 128 bits cannot be guessed, and links stay short.
    static let codeBytes = 16
    /// Longest text that may be a token, in bytes: a topic of 300, the rest of the content, and the
    /// code.
    package static let textBytesMax = 512

    package init(
        kind: Kind, project: ProjectID, profileID: ProfileID, channel: Channel,
        topic: UnsafeRawBufferPointer,
        issuedAt: Int64 = 0, lsn: UInt64 = 0
    ) {
        self.kind = kind
        self.project = project
        self.profileID = profileID
        self.channel = channel
        self.topic = topic
        self.issuedAt = issuedAt
        self.lsn = lsn
    }

    /// Leaves nothing but what kind of token it is: its person is gone.
    package mutating func forgetPerson() {
        self.profileID = ProfileID(high: 0, low: 0)
        self.topic = .none
        (self.issuedAt, self.lsn) = (0, 0)
    }

    /// Appends the content: in a token, and in the record of one that was verified.
    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.kind.rawValue)
        buffer.append(self.project.rawValue)
        buffer.append(self.profileID.high.bigEndian)
        buffer.append(self.profileID.low.bigEndian)
        buffer.append(self.channel.rawValue)
        if self.kind == .confirmation {
            buffer.append(self.issuedAt)
            buffer.append(self.lsn)
        }
        buffer.append(self.topic)
    }

    /// Reads a content; `nil` if it is not one.
    package init?(content: UnsafeRawBufferPointer) {
        var reader = ByteReader(content)
        guard let kind = Kind(rawValue: reader.read()) else { return nil }
        self.kind = kind
        self.project = ProjectID(rawValue: reader.read())
        let id = reader.read(count: ProfileID.binaryBytes)
        guard let channel = Channel(rawValue: reader.read()) else { return nil }
        self.channel = channel
        if kind == .confirmation {
            self.issuedAt = reader.read()
            self.lsn = reader.read()
        }
        guard !reader.overrun else { return nil }
        self.profileID = ProfileID(binary: id)
        self.topic = reader.read(count: reader.remaining)
    }
}

/// Where a page of a ledger's listing ended.
///
/// Layout: `3: UInt8 | project: UInt32 | profileID: 16 bytes | lsn: UInt64 | number: UInt32`.
package struct HistoryPosition: Equatable, Sendable {
    package var project: ProjectID
    /// The identifier's holder when the page was made; after a merge, pages continue with its
    /// survivor.
    package var profileID: ProfileID
    /// Of the last entry shown; several entries of a merge have one.
    package var lsn: UInt64
    /// Entries of that lsn that were shown.
    package var number: UInt32

    /// Beside those of `ConsentToken.Kind`.
    private static let kind: UInt8 = 3

    package init(project: ProjectID, profileID: ProfileID, lsn: UInt64, number: UInt32) {
        self.project = project
        self.profileID = profileID
        self.lsn = lsn
        self.number = number
    }

    func write(into buffer: inout ByteBuffer) {
        buffer.append(Self.kind)
        buffer.append(self.project.rawValue)
        buffer.append(self.profileID.high.bigEndian)
        buffer.append(self.profileID.low.bigEndian)
        buffer.append(self.lsn)
        buffer.append(self.number)
    }

    init?(content: UnsafeRawBufferPointer) {
        var reader = ByteReader(content)
        guard reader.read(UInt8.self) == Self.kind else { return nil }
        self.project = ProjectID(rawValue: reader.read())
        let id = reader.read(count: ProfileID.binaryBytes)
        self.lsn = reader.read()
        self.number = reader.read()
        guard reader.isAtCleanEnd else { return nil }
        self.profileID = ProfileID(binary: id)
    }
}

/// Makes and verifies tokens of one directory. Any thread.
struct TokenKey {
    private let secret: SipHashKey

    /// Separates these codes from everything else that the secret keys.
    private static let domain: StaticString = "profiles.consent-token.1"

    init(secret: SipHashKey) {
        self.secret = secret
    }

    /// Appends the text of a token of this content, whose first byte is its kind.
    func appendText(_ content: UnsafeRawBufferPointer, to buffer: inout ByteBuffer) {
        var bytes = ByteBuffer(capacity: 128)
        bytes.append(content)
        let code = self.code(content)
        bytes.append(code.high.bigEndian)
        bytes.append(code.low.bigEndian)
        Base64URL.encode(bytes.bytes, into: &buffer)
    }

    /// Appends the content of a token to `content` and returns it; `nil` if this directory did not
    /// make it so.
    func verify(_ text: UnsafeRawBufferPointer, into content: inout ByteBuffer)
        -> UnsafeRawBufferPointer?
    {
        guard text.count <= ConsentToken.textBytesMax, Base64URL.decode(text, into: &content),
            content.count > ConsentToken.codeBytes
        else { return nil }
        let bytes = content.bytes
        let contentBytes = bytes.count - ConsentToken.codeBytes
        let code = self.code(UnsafeRawBufferPointer(rebasing: bytes[..<contentBytes]))
        let high = UInt64(
            bigEndian: bytes.loadUnaligned(fromByteOffset: contentBytes, as: UInt64.self))
        let low = UInt64(
            bigEndian: bytes.loadUnaligned(fromByteOffset: contentBytes + 8, as: UInt64.self))
        // One comparison of all bits: the time it takes does not depend on where two codes
        // differ.
        guard (code.high ^ high) | (code.low ^ low) == 0 else { return nil }
        return UnsafeRawBufferPointer(rebasing: bytes[..<contentBytes])
    }

    private func code(_ content: UnsafeRawBufferPointer) -> (high: UInt64, low: UInt64) {
        var key = ByteBuffer(capacity: 64)
        key.append(self.secret.k0)
        key.append(self.secret.k1)
        key.append(Self.domain)
        let digest = HMACSHA256.code(content, key: key.bytes)
        return (digest.words.0, digest.words.1)
    }
}
