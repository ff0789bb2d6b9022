import Bytes
import Profiles

/// The text of a key, which anybody may send, and the records of keys.
enum KeyFuzz {
    static func keys(_ bytes: UnsafeRawBufferPointer) {
        var secret = [UInt8](repeating: 0, count: KeySecret.bytes)
        let name = secret.withUnsafeMutableBytes { KeyText.read(bytes, secret: $0) }
        if let name {
            var again = ByteBuffer(capacity: KeyText.bytes)
            secret.withUnsafeBytes { KeyText.write(name, secret: $0, into: &again) }
            precondition(again.bytes.elementsEqual(bytes), "a key has one text")
        }
        if let command = CreateKeyCommand(bytes) {
            precondition(
                command.requestID.count + command.displayName.count < bytes.count,
                "texts are parts of the payload")
        }
        if let command = RevokeKeyCommand(bytes) {
            var again = ByteBuffer()
            command.write(into: &again)
            precondition(RevokeKeyCommand(again.bytes)?.name == command.name, "names are kept")
        }
    }
}
