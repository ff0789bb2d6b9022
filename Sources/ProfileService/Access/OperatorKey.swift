import Bytes
import Profiles

/// A key of the operators' file: every project, every scope.
package struct OperatorKey: Equatable, Sendable, BitwiseCopyable {
    package var name: KeyName
    /// Of the secret, by `hash(ofSecret:)`; the secret itself is not kept.
    package var hash: SHA256Digest

    package init(name: KeyName, hash: SHA256Digest) {
        self.name = name
        self.hash = hash
    }

    /// The hash that is kept while the process runs. 256 random bits need no slow hash, and this
    /// one is never stored, so it needs no key either.
    ///
    /// - Parameter secret: `KeySecret.bytes` bytes.
    package static func hash(ofSecret secret: UnsafeRawBufferPointer) -> SHA256Digest {
        SHA256.hash(secret)
    }

    /// Whether `hash` is that of the secret; the time does not depend on where the two differ.
    func matches(_ hash: SHA256Digest) -> Bool {
        (self.hash.words.0 ^ hash.words.0) | (self.hash.words.1 ^ hash.words.1)
            | (self.hash.words.2 ^ hash.words.2) | (self.hash.words.3 ^ hash.words.3) == 0
    }
}
