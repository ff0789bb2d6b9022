import Bytes

/// The 64-bit digest of the results of a frame: what a replay must reproduce.
///
/// Chained over the records: each result is hashed with the digest so far as the key, so order and
/// content both count.
package struct ResultsDigest: Equatable, Sendable, BitwiseCopyable {
    /// The digest of a frame without records.
    package private(set) var value: UInt64 = 0
    private static let domain: UInt64 = 0x7265_7375_6c74_7331

    package init() {}

    /// One that was kept.
    package init(value: UInt64) {
        self.value = value
    }

    /// Adds the result of the next record.
    package mutating func add(_ result: UnsafeRawBufferPointer) {
        self.value = SipHash.hash64(result, key: SipHashKey(k0: self.value, k1: Self.domain))
    }
}
