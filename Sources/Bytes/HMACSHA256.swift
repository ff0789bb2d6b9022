/// HMAC with SHA-256; authenticates tokens.
///
/// Source: RFC 2104, section 2; vectors of RFC 4231.
public enum HMACSHA256 {
    /// The code of `message` under a key of any length.
    ///
    /// - Complexity: O(bytes of key and message).
    public static func code(_ message: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer)
        -> SHA256Digest
    {
        var shortKey = ByteBuffer(capacity: SHA256.blockBytes)
        if key.count > SHA256.blockBytes {
            SHA256.hash(key).write(into: &shortKey)
        } else {
            shortKey.append(key)
        }
        while shortKey.count < SHA256.blockBytes { shortKey.append(UInt8(0)) }
        defer { shortKey.wipe() }
        var inner = SHA256()
        Self.pad(&shortKey, with: 0x36)
        inner.update(shortKey.bytes)
        inner.update(message)
        var innerDigest = ByteBuffer(capacity: SHA256Digest.bytes)
        inner.finish().write(into: &innerDigest)
        var outer = SHA256()
        // Removes the inner pad and applies the outer one in a single XOR.
        Self.pad(&shortKey, with: 0x36 ^ 0x5c)
        outer.update(shortKey.bytes)
        outer.update(innerDigest.bytes)
        return outer.finish()
    }

    private static func pad(_ key: inout ByteBuffer, with byte: UInt8) {
        let bytes = key.mutableBytes
        for index in bytes.indices { bytes[index] ^= byte }
    }
}
