import Foundation
import Testing

/// The example of a page in docs/formats.
enum DocumentedExample {
    /// The bytes of a page's first `hex` block.
    static func bytes(of name: String) throws -> [UInt8] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(
            contentsOf: root.appendingPathComponent("docs/formats/\(name)"), encoding: .utf8)
        let block = try #require(
            page.components(separatedBy: "```hex\n").dropFirst().first?.components(
                separatedBy: "```"
            ).first)
        var bytes: [UInt8] = []
        for line in block.split(separator: "\n") {
            let columns = line.split(separator: "|")
            try #require(columns.count == 3)
            let offset = try #require(Int(columns[0].trimmingCharacters(in: .whitespaces)))
            try #require(offset == bytes.count, "the offsets of the page add up")
            for pair in columns[1].split(separator: " ") {
                bytes.append(try #require(UInt8(pair, radix: 16)))
            }
        }
        return bytes
    }
}

/// CRC-32C by its definition: a second implementation, to write what the log itself never writes.
enum SlowChecksum {
    /// As it stands in a file.
    static func bytes(of bytes: some Sequence<UInt8>) -> [UInt8] {
        withUnsafeBytes(of: Self.value(of: bytes).littleEndian) { Array($0) }
    }

    static func value(of bytes: some Sequence<UInt8>, continuing crc: UInt32 = 0) -> UInt32 {
        var crc = ~crc
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0 ..< 8 { crc = (crc >> 1) ^ (crc & 1 == 1 ? 0x82F6_3B78 : 0) }
        }
        return ~crc
    }
}
