import CLinux
import Glibc
import IOCore

/// getrandom(2).
package final class LinuxRandomSource: RandomSource {
    package init() {}

    package func fill(_ bytes: UnsafeMutableRawBufferPointer) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = UnsafeMutableRawBufferPointer(rebasing: rest)
            // SAFETY: `part` is part of the caller's buffer; pointer and count are of the same
            // buffer.
            let count = linux_getrandom(part.baseAddress, UInt64(part.count))
            if count > 0 {
                rest = rest.dropFirst(count)
            } else {
                precondition(errno == EINTR, "getrandom failed")
            }
        }
    }
}
