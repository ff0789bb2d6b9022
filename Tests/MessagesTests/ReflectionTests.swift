import Bytes
import Testing

@testable import Messages

@Suite struct DescriptorIndexTests {
    @Test func everyFileComesWithItsImportsOnce() {
        let index = DescriptorIndex.shared
        #expect(index.files.count >= 11)
        for place in index.files.indices {
            let names = index.closure(of: place).map(\.name)
            #expect(names.first == index.files[place].name)
            #expect(Set(names).count == names.count)
            for file in index.closure(of: place) { #expect(Set(file.imports).isSubset(of: names)) }
        }
    }

    @Test(arguments: [
        "profiles.v1.TrackRequest", "profiles.v1.TrackRequest.sequence", "profiles.v1.Profiles",
        "profiles.v1.Profiles.TrackStream",
        "profiles.v1.STATE_IDENTIFIED", "google.protobuf.Timestamp.seconds",
        "grpc.reflection.v1alpha.ServerReflection",
    ])
    func aSymbolIsFound(symbol: String) {
        #expect(DescriptorIndex.shared.file(containing: symbol) != nil)
    }

    @Test(arguments: [
        "", "profiles", "profiles.v1", ".profiles.v1.Profiles", "profiles.v1.Profiles.",
        "profiles.v1.State.STATE_IDENTIFIED",
    ])
    func whatIsNoSymbolIsNotFound(symbol: String) {
        #expect(DescriptorIndex.shared.file(containing: symbol) == nil)
    }
}

@Suite struct TrackStreamCodecTests {
    @Test func theSequenceIsFoundBehindFieldsOfEveryKind() {
        // Field 1 as text, 99 as fixed64, 98 as fixed32, 97 as varint; then 11, twice: the last
        // counts.
        var message = ByteBuffer()
        message.append([0x0A, 1, 0x61] as [UInt8])
        for (tag, bytes) in [(99 << 3 | 1, 8), (98 << 3 | 5, 4)] as [(UInt64, Int)] {
            message.appendVarint(tag)
            for _ in 0 ..< bytes { message.append(UInt8(0xFF)) }
        }
        message.appendVarint(97 << 3)
        message.appendVarint(11)
        message.append([0x58, 3, 0x58, 0xAC, 0x02] as [UInt8])
        #expect(MessageDecoder.sequence(ofTrack: message.bytes) == 300)
    }

    @Test(arguments: [[], [0x58], [0x0A, 5, 1], [0x0B], [0xFF, 0xFF, 0xFF]] as [[UInt8]])
    func cutOrForeignBytesHaveNone(bytes: [UInt8]) {
        #expect(bytes.withUnsafeBytes { MessageDecoder.sequence(ofTrack: $0) } == 0)
    }
}

extension ByteBuffer {
    fileprivate mutating func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { self.append($0) }
    }
}
