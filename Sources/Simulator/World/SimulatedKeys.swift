import Bytes
import ProfileService
import Profiles

/// The operators' key of every simulated node: all projects, all scopes.
package enum SimulatedKeys {
    private static let name = KeyName(bits: (0x5EED, 0x5EED))
    private static let secret = [UInt8](repeating: 0x5E, count: 32)

    // SAFETY: both closures read the secret, which lives as long as the process, within their call.
    static let operatorKey = OperatorKey(
        name: SimulatedKeys.name,
        hash: SimulatedKeys.secret.withUnsafeBytes { OperatorKey.hash(ofSecret: $0) })

    /// `pk_…`, as a client sends it.
    package static let operatorText: String = {
        var buffer = ByteBuffer()
        SimulatedKeys.secret.withUnsafeBytes {
            KeyText.write(SimulatedKeys.name, secret: $0, into: &buffer)
        }
        return String(decoding: buffer.bytes, as: UTF8.self)
    }()
}
