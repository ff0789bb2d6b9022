import Bytes
import GRPCTransport
import IOCore
import Profiles

/// The secrets of the keys that one batch makes, from the request to the response.
///
/// They are made on the loop, stay with the batch while the log has it, and never enter a record:
/// the response to the call is the only place where a secret is shown. Owned like its batch, by one
/// thread at a time.
final class NewSecrets {
    /// Keys that one batch can make: 2 KiB of secrets. More are rejected, to be tried again.
    static let countMax = 64

    // Never outgrows its first storage, which would leave a copy behind.
    private var bytes = ByteBuffer(capacity: NewSecrets.countMax * KeySecret.bytes)
    private var tokens: [CallToken] = []

    init() {
        self.tokens.reserveCapacity(Self.countMax)
    }

    /// Makes the secret of a call.
    ///
    /// - Returns: 32 bytes, until `wipe`; `nil`: the batch has as many as it may.
    func make(for token: CallToken, _ random: any RandomSource) -> UnsafeRawBufferPointer? {
        guard self.tokens.count < Self.countMax else { return nil }
        random.fill(self.bytes.appendUninitialized(KeySecret.bytes))
        self.tokens.append(token)
        return self.secret(self.tokens.count - 1)
    }

    /// Overwrites the secret that was made last: its command was rejected.
    func removeLast() {
        let count = self.bytes.count - KeySecret.bytes
        // SAFETY: the last bytes of the buffer, which is this object's.
        UnsafeMutableRawBufferPointer(rebasing: self.bytes.mutableBytes[count...]).wipe()
        self.bytes.truncate(to: count)
        self.tokens.removeLast()
    }

    /// The secret that was made for a call; `nil`: none was.
    func secret(of token: CallToken) -> UnsafeRawBufferPointer? {
        self.tokens.firstIndex(of: token).map { self.secret($0) }
    }

    private func secret(_ index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            rebasing: self.bytes.bytes[
                index * KeySecret.bytes ..< (index + 1) * KeySecret.bytes])
    }

    /// Overwrites all of them.
    func wipe() {
        self.bytes.wipe()
        self.tokens.removeAll(keepingCapacity: true)
    }
}
