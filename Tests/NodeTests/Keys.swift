import Bytes
import ProfileService
import Profiles

/// Keys of the tests, known by numbers: the secret is 32 times the number.
enum Keys {
    static func name(_ number: UInt8) -> KeyName {
        KeyName(bits: (UInt64(number) + 1, UInt64(number) * 977))
    }

    /// `pk_…`, with another secret if wanted.
    static func text(_ number: UInt8, secret: UInt8? = nil) -> String {
        var buffer = ByteBuffer()
        [UInt8](repeating: secret ?? number, count: 32).withUnsafeBytes {
            KeyText.write(Self.name(number), secret: $0, into: &buffer)
        }
        return String(decoding: buffer.bytes, as: UTF8.self)
    }

    static func `operator`(_ number: UInt8) -> OperatorKey {
        let secret = [UInt8](repeating: number, count: 32)
        return OperatorKey(
            name: Self.name(number), hash: secret.withUnsafeBytes { OperatorKey.hash(ofSecret: $0) }
        )
    }
}
