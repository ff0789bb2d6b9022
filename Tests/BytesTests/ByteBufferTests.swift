import Testing

@testable import Bytes

@Suite struct ByteBufferTests {
    @Test func growingKeepsTheContent() {
        var buffer = ByteBuffer(capacity: 64)
        for value in 0 ..< 1_000 { buffer.append(UInt32(value)) }
        var reader = ByteReader(buffer.bytes)
        for value in 0 ..< 1_000 { #expect(reader.read(UInt32.self) == UInt32(value)) }
        #expect(reader.isAtCleanEnd)
    }

    @Test func removeAllKeepsTheStorage() {
        var buffer = ByteBuffer()
        buffer.append(UInt64(1))
        let (base, capacity) = (buffer.base, buffer.capacity)
        buffer.removeAll()
        #expect(buffer.count == 0)
        #expect(buffer.base == base && buffer.capacity == capacity)
    }

    @Test func shrinkReleasesUnusedStorageOnly() {
        var buffer = ByteBuffer()
        for _ in 0 ..< 1_000 { buffer.append(UInt64(7)) }
        buffer.shrink(toCapacity: 1_024)
        #expect(buffer.capacity >= 8_000)
        buffer.truncate(to: 8)
        buffer.shrink(toCapacity: 1_024)
        #expect(buffer.capacity == 1_024)
        var reader = ByteReader(buffer.bytes)
        #expect(reader.read(UInt64.self) == 7)
    }

    @Test(arguments: 0 ..< 17)
    func padFillsWithZerosUpToTheMultiple(count: Int) {
        var buffer = ByteBuffer()
        for _ in 0 ..< count { buffer.append(UInt8(0xFF)) }
        buffer.pad(to: 8)
        #expect(buffer.count == (count + 7) / 8 * 8)
        #expect(buffer.bytes[count...].allSatisfy { $0 == 0 })
    }

    @Test func patchOverwritesInPlace() {
        var buffer = ByteBuffer()
        buffer.append(UInt64.max)
        buffer.patch(UInt16(0x0102), at: 3)
        #expect(Array(buffer.bytes) == [255, 255, 255, 2, 1, 255, 255, 255])
    }

    @Test func emptyBytesMayBeAppended() {
        var buffer = ByteBuffer()
        buffer.append(UnsafeRawBufferPointer(start: nil, count: 0))
        buffer.appendPrefixed(UnsafeRawBufferPointer(start: nil, count: 0))
        #expect(Array(buffer.bytes) == [0])
    }
}
