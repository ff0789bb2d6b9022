import IOCore
import ProfileServer
import Testing

@Suite struct ConfigurationFileTests {
    private func loops(_ bytes: [UInt8]) throws(ConfigurationError) -> Int? {
        let invocation = try Configuration.resolve(
            arguments: ["--config=p"], environment: [:], cores: 1,
            readFile: { _, _ throws(IOError) in bytes })
        guard case .serve(let configuration) = invocation else { return nil }
        return configuration.loops
    }

    private static let text = Array("loops = 3\n".utf8)

    @Test func byteOrderMarkIsSkippedOnceAndAtTheStartOnly() throws {
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        #expect(try self.loops(mark + Self.text) == 3)
        #expect(try self.loops(mark) == 1)
        #expect(throws: ConfigurationError.self) { try self.loops(mark + mark + Self.text) }
        #expect(throws: ConfigurationError.self) { try self.loops([0x0A] + mark + Self.text) }
    }

    @Test func everyUTF16IsNamed() throws {
        let littleEndian: [UInt8] = Self.text.flatMap { byte -> [UInt8] in [byte, 0] }
        let bigEndian: [UInt8] = Self.text.flatMap { byte -> [UInt8] in [0, byte] }
        let texts: [[UInt8]] = [
            littleEndian, bigEndian, [0xFF, 0xFE] + littleEndian, [0xFE, 0xFF] + bigEndian,
        ]
        for bytes in texts {
            let error = try #require(throws: ConfigurationError.self) { try self.loops(bytes) }
            #expect(error.problem == .unreadableFile && error.description.contains("UTF-16"))
        }
    }
}
