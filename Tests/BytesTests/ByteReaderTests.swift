import Testing

@testable import Bytes

@Suite struct ByteReaderTests {
    @Test func everyIntegerRoundTrips() {
        var buffer = ByteBuffer()
        buffer.append(UInt8(0xAB))
        buffer.append(UInt16(0x1234))
        buffer.append(Int64.min)
        buffer.append(UInt64.max)
        var reader = ByteReader(buffer.bytes)
        #expect(reader.read(UInt8.self) == 0xAB)
        #expect(reader.read(UInt16.self) == 0x1234)
        #expect(reader.read(Int64.self) == .min)
        #expect(reader.read(UInt64.self) == .max)
        #expect(reader.isAtCleanEnd)
    }

    @Test func integersAreLittleEndian() {
        var buffer = ByteBuffer()
        buffer.append(UInt32(0x0102_0304))
        #expect(Array(buffer.bytes) == [4, 3, 2, 1])
    }

    @Test(arguments: 0 ..< 8)
    func shortInputOverrunsPermanently(count: Int) {
        let bytes = [UInt8](repeating: 0xFF, count: count)
        bytes.withUnsafeBytes {
            var reader = ByteReader($0)
            #expect(reader.read(UInt64.self) == 0)
            #expect(reader.overrun)
            #expect(reader.read(UInt8.self) == 0)
            #expect(reader.read(count: 1).count == 0)
            #expect(!reader.isAtCleanEnd)
        }
    }

    @Test func negativeAndExcessiveCountsOverrun() {
        let bytes: [UInt8] = [1, 2, 3]
        bytes.withUnsafeBytes {
            var reader = ByteReader($0)
            #expect(reader.read(count: -1).count == 0)
            #expect(reader.overrun)
            var second = ByteReader($0)
            #expect(second.read(count: 4).count == 0)
            #expect(second.overrun)
            var whole = ByteReader($0)
            #expect(whole.read(count: 3).count == 3)
            #expect(whole.isAtCleanEnd)
        }
    }

    @Test(
        arguments: [
            (0, 1), (1, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (UInt64(UInt32.max), 5),
            (1 << 63, 10), (.max, 10),
        ] as [(UInt64, Int)])
    func varintTakesTheBytesOfItsSize(value: UInt64, bytes: Int) {
        var buffer = ByteBuffer()
        buffer.appendVarint(value)
        #expect(buffer.count == bytes)
        var reader = ByteReader(buffer.bytes)
        #expect(reader.readVarint() == value)
        #expect(reader.isAtCleanEnd)
    }

    @Test func everyProperPrefixOfAVarintOverruns() {
        var buffer = ByteBuffer()
        buffer.appendVarint(.max)
        for count in 0 ..< buffer.count {
            var reader = ByteReader(UnsafeRawBufferPointer(rebasing: buffer.bytes[..<count]))
            _ = reader.readVarint()
            #expect(reader.overrun)
        }
    }

    @Test func varintOfElevenBytesIsMalformed() {
        let bytes = [UInt8](repeating: 0x80, count: 10) + [0]
        bytes.withUnsafeBytes {
            var reader = ByteReader($0)
            #expect(reader.readVarint() == 0)
            #expect(reader.overrun)
        }
    }

    @Test func varintPastSixtyFourBitsIsMalformed() {
        // The tenth byte has space for one bit only; dropping its other bits would give one number
        // two encodings.
        let bytes = [UInt8](repeating: 0xFF, count: 9) + [0x02]
        bytes.withUnsafeBytes {
            var reader = ByteReader($0)
            #expect(reader.readVarint() == 0)
            #expect(reader.overrun)
        }
    }

    @Test func prefixLongerThanTheRestOverruns() {
        let bytes: [UInt8] = [5, 1, 2, 3, 4]
        bytes.withUnsafeBytes {
            var reader = ByteReader($0)
            #expect(reader.readPrefixed().count == 0)
            #expect(reader.overrun)
        }
    }

    @Test func prefixBeyondIntOverruns() {
        var buffer = ByteBuffer()
        buffer.appendVarint(.max)
        var reader = ByteReader(buffer.bytes)
        #expect(reader.readPrefixed().count == 0)
        #expect(reader.overrun)
    }
}
