import CCRC32C
import IOSimulation
import Storage
import Testing

/// The fast checksum is the slow one: every length, every alignment, every way to cut it into
/// stretches.
@Suite struct ChecksumTests {
    private static func random(_ count: Int, seed: UInt64) -> [UInt8] {
        var random = SeededRandom(seed: seed)
        return (0 ..< count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    /// CRCs by definition of the first 0, 1, ... bytes.
    private static func prefixes(of bytes: [UInt8], begun crc: UInt32) -> [UInt32] {
        var result = [crc]
        for byte in bytes {
            result.append(
                SlowChecksum.value(of: CollectionOfOne(byte), continuing: result[result.count - 1]))
        }
        return result
    }

    /// Stretches are 256 and 4,096 bytes, three at a time: past 12,288 + 768 + 8 every path was
    /// taken with every remainder.
    @Test(arguments: [0, 0x1234_5678, .max] as [UInt32])
    func everyLengthAtEveryAlignmentIsAsDefined(begun: UInt32) {
        let bytes = Self.random(14_000, seed: 5)
        let wanted = Self.prefixes(of: bytes, begun: begun)
        for alignment in 0 ..< 8 {
            // SAFETY: has space for the alignment and all bytes; freed at the end of the turn.
            let memory = UnsafeMutableRawBufferPointer.allocate(
                byteCount: bytes.count + 8, alignment: 16)
            defer { memory.deallocate() }
            UnsafeMutableRawBufferPointer(rebasing: memory[alignment ..< alignment + bytes.count])
                .copyBytes(from: bytes)
            for length in 0 ... bytes.count {
                guard
                    profiles_crc32c(begun, memory.baseAddress! + alignment, length)
                        != wanted[length]
                else { continue }
                Issue.record("\(length) bytes at alignment \(alignment)")
                return
            }
        }
    }

    @Test func manyLongStretchesAreAsDefined() {
        let bytes = Self.random(200_003, seed: 6)
        let crc = bytes.withUnsafeBytes { profiles_crc32c(0, $0.baseAddress, $0.count) }
        #expect(crc == SlowChecksum.value(of: bytes))
    }

    @Test func checksumContinuesAtEverySplit() {
        let bytes = Self.random(13_000, seed: 7)
        bytes.withUnsafeBytes { bytes in
            let whole = profiles_crc32c(0, bytes.baseAddress, bytes.count)
            for split in 0 ... bytes.count {
                let head = profiles_crc32c(0, bytes.baseAddress, split)
                #expect(
                    profiles_crc32c(head, bytes.baseAddress! + split, bytes.count - split) == whole)
            }
        }
    }
}
