import Bytes

// The text of a key, and the hash under which the state knows it. The text is read once per
// connection, the secret lies in memory of the caller, who wipes it.
//
// SAFETY: the caller provides 32 bytes for a secret and 64 for a text, which is checked; slices are
// of the text, whose length is checked first.

/// The secret part of a key: 32 random bytes.
package enum KeySecret {
    /// Bytes of a secret: 256 bits cannot be guessed, so a fast hash suffices.
    package static let bytes = 32
    /// Characters of a secret in base64url.
    package static let textBytes = 43

    /// Separates these hashes from everything else that the directory's secret keys.
    private static let domain: StaticString = "profiles.access-key.1"

    /// The hash that the state keeps: HMAC-SHA-256 under a key of this directory, so that neither a
    /// log nor a backup lets anybody test a guess elsewhere.
    ///
    /// - Parameters:
    ///   - secret: 32 bytes.
    ///   - key: The directory's secret (`Genesis.secret`).
    package static func hash(_ secret: UnsafeRawBufferPointer, key: SipHashKey) -> SHA256Digest {
        var bytes = ByteBuffer(capacity: 64)
        bytes.append(key.k0)
        bytes.append(key.k1)
        bytes.append(Self.domain)
        defer { bytes.wipe() }
        return HMACSHA256.code(secret, key: bytes.bytes)
    }
}

/// The text of a whole key: `pk_<name>_<secret in base64url>`.
package enum KeyText {
    /// `pk_`, the name, `_`, the secret.
    package static let bytes = 3 + KeyName.textBytes + 1 + KeySecret.textBytes

    private static let prefix: StaticString = "pk_"

    /// Reads a key's text.
    ///
    /// The time it takes does not depend on the characters of the secret.
    ///
    /// - Parameters:
    ///   - text: Untrusted bytes of any length.
    ///   - secret: 32 bytes, which get the secret; the caller wipes them. Their content is
    ///     unspecified if the text is not a key.
    /// - Returns: The key's name; `nil`: not a key.
    package static func read(
        _ text: UnsafeRawBufferPointer, secret: UnsafeMutableRawBufferPointer
    ) -> KeyName? {
        precondition(secret.count == KeySecret.bytes, "a secret has 32 bytes")
        guard text.count == Self.bytes, text[0] == UInt8(ascii: "p"), text[1] == UInt8(ascii: "k"),
            text[2] == UInt8(ascii: "_"), text[19] == UInt8(ascii: "_"),
            let name = KeyName(text: UnsafeRawBufferPointer(rebasing: text[3 ..< 19]))
        else { return nil }
        var (bits, count): (UInt32, UInt32) = (0, 0)
        var (index, invalid): (Int, UInt32) = (0, 0)
        for character in text[20...] {
            let digit = Self.digit(character)
            invalid |= digit >> 8
            bits = bits << 6 | digit & 63
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            secret[index] = UInt8(truncatingIfNeeded: bits >> count)
            index += 1
        }
        // 43 characters hold two bits more than 32 bytes: zeros in the one valid text.
        invalid |= bits & 3
        return invalid == 0 ? name : nil
    }

    /// Appends the text of a key.
    package static func write(
        _ name: KeyName, secret: UnsafeRawBufferPointer, into buffer: inout ByteBuffer
    ) {
        precondition(secret.count == KeySecret.bytes, "a secret has 32 bytes")
        buffer.append(Self.prefix)
        name.withText { buffer.append($0) }
        buffer.append(UInt8(ascii: "_"))
        Base64URL.encode(secret, into: &buffer)
    }

    /// The value of a character of base64url, 0...63; 256 or more for any other. Without branches
    /// and tables: caches and branch predictors learn nothing of a secret.
    private static func digit(_ character: UInt8) -> UInt32 {
        let value = UInt32(character)
        let upper = Self.mask(value, from: "A", through: "Z")
        let lower = Self.mask(value, from: "a", through: "z")
        let decimal = Self.mask(value, from: "0", through: "9")
        let minus = Self.mask(value, from: "-", through: "-")
        let line = Self.mask(value, from: "_", through: "_")
        let valid = upper | lower | decimal | minus | line
        return upper & (value &- 65) | lower & (value &- 71) | decimal & (value &+ 4) | minus & 62
            | line & 63 | ~valid & 256
    }

    /// All ones if `value` is in the range, else zeros.
    private static func mask(
        _ value: UInt32, from first: Unicode.Scalar, through last: Unicode.Scalar
    )
        -> UInt32
    {
        let below = (value &- first.value) >> 31
        let above = (last.value &- value) >> 31
        return (below | above) &- 1
    }
}
