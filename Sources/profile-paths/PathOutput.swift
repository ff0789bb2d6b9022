import Bytes

/// Where responses are written to, again and again.
final class PathOutput {
    var buffer = ByteBuffer(capacity: 4 << 10)
}
