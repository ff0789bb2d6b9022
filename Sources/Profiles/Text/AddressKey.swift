/// Addresses as they are compared; responses show them as they were written.
///
/// Keys of suppressed addresses are stored as hashes, and keys decide outcomes of records. They are
/// therefore made by tables of this module, never by those of the toolchain, and change only
/// together with `Store.rulesVersion` (docs/decisions/0130-address-keys.md).
///
/// Source: docs/rules.md, section 1, "Addresses".
// SAFETY: the temporary memory has as many bytes as the address, each of which is set before it is
// read, and does not leave the closure; the bytes of an array are borrowed for its closure.
enum AddressKey {
    /// Runs `body` with the key of an address, which is borrowed for this call only.
    ///
    /// A phone number is its own key, an e-mail address of ASCII is so in lower case: neither
    /// allocates.
    static func with<Result>(
        _ channel: Channel, _ address: UnsafeRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        guard channel == .email else { return body(address) }
        return withUnsafeTemporaryAllocation(byteCount: address.count, alignment: 1) { lower in
            guard self.lower(address, into: lower) else {
                return self.key(of: address).withUnsafeBytes { body($0) }
            }
            return body(UnsafeRawBufferPointer(lower))
        }
    }

    /// As `with`, with the key of rules version 1: only letters of ASCII are in lower case.
    static func withFormer<Result>(
        _ channel: Channel, _ address: UnsafeRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        guard channel == .email else { return body(address) }
        return withUnsafeTemporaryAllocation(byteCount: address.count, alignment: 1) { lower in
            _ = self.lower(address, into: lower)
            return body(UnsafeRawBufferPointer(lower))
        }
    }

    /// Whether an address is ASCII, as nearly all are: then both of its keys are equal.
    static func isASCII(_ address: UnsafeRawBufferPointer) -> Bool {
        var bits: UInt8 = 0
        for index in 0 ..< address.count { bits |= address[index] }
        return bits < 0x80
    }

    /// Copies an address with its ASCII letters in lower case; true if it is ASCII.
    private static func lower(
        _ address: UnsafeRawBufferPointer, into lower: UnsafeMutableRawBufferPointer
    ) -> Bool {
        var bits: UInt8 = 0
        for index in 0 ..< address.count {
            let byte = address[index]
            bits |= byte
            lower[index] = byte | (byte &- UInt8(ascii: "A") < 26 ? 0x20 : 0)
        }
        return bits < 0x80
    }

    /// The key of an e-mail address that is not ASCII.
    ///
    /// - Parameter address: Valid UTF-8.
    private static func key(of address: UnsafeRawBufferPointer) -> [UInt8] {
        let scalars = String(decoding: address, as: UTF8.self).unicodeScalars.map(\.value)
        let at = scalars.lastIndex(of: UInt32(UInt8(ascii: "@"))) ?? scalars.count
        var local: [UInt32] = []
        for scalar in scalars[..<at] where !InvisibleCharacters.contains(scalar) {
            LowerCase.append(scalar == Self.finalSigma ? Self.sigma : scalar, to: &local)
        }
        var text = String.UnicodeScalarView()
        text.append(contentsOf: CanonicalText.composed(local).compactMap { Unicode.Scalar($0) })
        var key = Array(String(text).utf8)
        guard at < scalars.count else { return key }
        key.append(UInt8(ascii: "@"))
        HostName.append(scalars[(at + 1)...], to: &key)
        return key
    }

    /// The sigma at the end of a word is the same letter: its upper case is `sigma`'s.
    private static let finalSigma: UInt32 = 0x3C2
    private static let sigma: UInt32 = 0x3C3
}
