import Glibc

/// An IPv4 or IPv6 address and port, in the form that the system calls take.
struct SocketAddress: CustomStringConvertible {
    static let capacity = UInt32(MemoryLayout<sockaddr_storage>.size)
    var storage = sockaddr_storage()

    init() {}

    /// Parses a literal such as `127.0.0.1` or `::1`; `nil` for anything else.
    init?(host: String, port: UInt16) {
        var four = sockaddr_in()
        var six = sockaddr_in6()
        if inet_pton(AF_INET, host, &four.sin_addr) == 1 {
            four.sin_family = sa_family_t(AF_INET)
            four.sin_port = port.bigEndian
            // SAFETY: `storage` is as large and as aligned as every address family needs
            // (`sockaddr_storage`).
            withUnsafeMutableBytes(of: &self.storage) {
                $0.storeBytes(of: four, as: sockaddr_in.self)
            }
        } else if inet_pton(AF_INET6, host, &six.sin6_addr) == 1 {
            six.sin6_family = sa_family_t(AF_INET6)
            six.sin6_port = port.bigEndian
            withUnsafeMutableBytes(of: &self.storage) {
                $0.storeBytes(of: six, as: sockaddr_in6.self)
            }
        } else {
            return nil
        }
    }

    var family: Int32 { Int32(self.storage.ss_family) }
    var bytes: UInt32 {
        UInt32(
            self.family == AF_INET6
                ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
    }

    /// Whether it is `::`.
    var isAnyVersion6: Bool {
        guard self.family == AF_INET6 else { return false }
        // SAFETY: as above; both are values, compared byte by byte.
        return withUnsafeBytes(of: self.storage) { raw in
            withUnsafeBytes(of: raw.load(as: sockaddr_in6.self).sin6_addr) {
                $0.allSatisfy { $0 == 0 }
            }
        }
    }

    /// Formatted as `127.0.0.1:50051` or `[::1]:50051`.
    var description: String {
        var text = [CChar](repeating: 0, count: 64)
        // SAFETY: as above; `text` has 64 bytes, more than the 46 of the longest address.
        return withUnsafeBytes(of: self.storage) { raw in
            if self.family == AF_INET6 {
                var six = raw.load(as: sockaddr_in6.self)
                inet_ntop(AF_INET6, &six.sin6_addr, &text, 64)
                return "[\(Self.string(text))]:\(UInt16(bigEndian: six.sin6_port))"
            }
            var four = raw.load(as: sockaddr_in.self)
            inet_ntop(AF_INET, &four.sin_addr, &text, 64)
            return "\(Self.string(text)):\(UInt16(bigEndian: four.sin_port))"
        }
    }

    private static func string(_ text: [CChar]) -> String {
        String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
