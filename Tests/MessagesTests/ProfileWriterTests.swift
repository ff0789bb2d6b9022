import Bytes
import CMessages
import CProtobufC
import Profiles
import Testing

@testable import Messages

/// The hand-written form of a profile has the bytes that protobuf-c gives.
@Suite struct ProfileWriterTests {
    private let encoder = MessageEncoder()

    /// Makes profiles with lists of every size, values of every kind and texts of every length of
    /// prefix.
    private struct Generator: SeededNumbers {
        var state: UInt64

        mutating func time() -> Int64 {
            [0, 1, -1, 1_700_000_000_000_000, 253_402_300_799_999_999][self.below(5)]
        }

        mutating func text(emptyToo: Bool = true) -> [UInt8] {
            let lengths = [0, 1, 5, 30, 127, 128, 300]
            let long = self.below(200) == 0 ? 17_000 : lengths[self.below(lengths.count)]
            return [UInt8](
                repeating: UInt8(97 + self.below(26)), count: max(long, emptyToo ? 0 : 1))
        }

        mutating func appendText(_ buffer: inout ByteBuffer, emptyToo: Bool = true) {
            self.text(emptyToo: emptyToo).withUnsafeBytes { buffer.appendPrefixed($0) }
        }

        mutating func appendValue(_ buffer: inout ByteBuffer, depth: Int = 0) {
            switch self.below(depth < 3 ? 10 : 7) {
            case 0: self.text().withUnsafeBytes { buffer.appendPacked(text: $0, isURL: false) }
            case 1: self.text().withUnsafeBytes { buffer.appendPacked(text: $0, isURL: true) }
            case 2: buffer.appendPacked(integer: Int64(bitPattern: self.number()))
            case 3: buffer.appendPacked(number: Double(self.below(1_000)) / 8)
            case 4: buffer.appendPacked(boolean: self.below(2) == 0)
            case 5: buffer.appendPacked(timeMicroseconds: self.time())
            case 6:
                buffer.append(PackedTag.list.rawValue)
                let count = self.below(4)
                buffer.appendVarint(UInt64(count))
                for _ in 0 ..< count { self.appendText(&buffer) }
            case 7, 8:
                buffer.append(PackedTag.object.rawValue)
                self.appendFields(&buffer, depth: depth + 1)
            default:
                buffer.append(PackedTag.objects.rawValue)
                let count = self.below(3)
                buffer.appendVarint(UInt64(count))
                for _ in 0 ..< count { self.appendFields(&buffer, depth: depth + 1) }
            }
        }

        mutating func appendFields(_ buffer: inout ByteBuffer, depth: Int) {
            let count = self.below(4)
            buffer.appendVarint(UInt64(count))
            for index in 0 ..< count {
                Array("f\(index)".utf8).withUnsafeBytes { buffer.appendPrefixed($0) }
                // Small integers grow most from image to wire.
                if self.below(3) == 0 {
                    buffer.appendPacked(integer: -1)
                } else {
                    self.appendValue(&buffer, depth: depth)
                }
            }
        }

        mutating func image() -> [UInt8] {
            var buffer = ByteBuffer()
            let customID = self.below(2) == 0 ? [] : self.text()
            customID.withUnsafeBytes {
                ProfileImage(
                    profileID: ProfileID(high: self.number() | 1, low: self.number()),
                    state: self.below(2) == 0 ? .anonymous : .identified, revision: self.number(),
                    lsn: self.number(), createdAt: self.time(), updatedAt: self.time(),
                    lastSeenAt: self.time(), eventsTruncatedBefore: self.time(), customID: $0
                ).writeFixedPart(into: &buffer)
            }
            self.appendLists(&buffer)
            return Array(buffer.bytes)
        }

        private mutating func appendLists(_ buffer: inout ByteBuffer) {
            self.appendList(&buffer) { this, buffer in
                this.appendText(&buffer, emptyToo: false)
                buffer.append(UInt8(this.below(6)))
                buffer.append(this.time())
                buffer.append(this.time())
            }
            self.appendList(&buffer) { this, buffer in
                let kinds: [IdentifierKind] = [.profileID, .customID, .installationID]
                let kind = kinds[this.below(3)]
                buffer.append(kind.rawValue)
                let bytes =
                    kind == .profileID
                    ? [UInt8](repeating: 9, count: 16) : this.text(emptyToo: false)
                bytes.withUnsafeBytes { buffer.appendPrefixed($0) }
            }
            self.appendList(&buffer) { this, buffer in
                this.appendText(&buffer, emptyToo: false)
                buffer.append(this.number())
                buffer.append(this.time())
                buffer.append(this.time())
            }
            self.appendAttributes(&buffer)
            self.appendList(&buffer) { this, buffer in
                buffer.append([Channel.email, .sms, .push][this.below(3)].rawValue)
                this.appendText(&buffer)
                buffer.append(SubscriptionState.subscribed.rawValue)
                buffer.append(ConsentSource.api.rawValue)
                buffer.append(this.time())
            }
        }

        private mutating func appendAttributes(_ buffer: inout ByteBuffer) {
            let names = [
                "a", "abcdef", "email_address", "language", "phone_number", "region", "timezone",
                "zz_twelve_ch",
            ].filter { _ in self.below(2) == 0 }
            buffer.appendVarint(UInt64(names.count))
            for name in names {
                let bytes = Array(name.utf8)
                bytes.withUnsafeBytes { buffer.appendPrefixed($0) }
                let isNative = bytes.withUnsafeBytes { NativeAttribute(name: $0) } != nil
                if isNative {
                    self.text().withUnsafeBytes { buffer.appendPacked(text: $0, isURL: false) }
                } else {
                    self.appendValue(&buffer)
                }
                buffer.append(self.time())
                buffer.append(self.number())
                buffer.append(UInt8(self.below(3)))
                self.appendText(&buffer)
            }
        }

        private mutating func appendList(
            _ buffer: inout ByteBuffer, _ item: (inout Generator, inout ByteBuffer) -> Void
        ) {
            let count = self.below(4)
            buffer.appendVarint(UInt64(count))
            for _ in 0 ..< count { item(&self, &buffer) }
        }
    }

    /// What protobuf-c makes of the same response.
    private func reference(
        _ image: ProfileImage, _ mask: ReadMask, _ from: IdentifierView?, _ lsn: UInt64
    ) -> [UInt8] {
        self.encoder.arena.reset()
        let response = self.encoder.arena.make(profiles__v1__get_profile_response__init)
        response.pointee.profile = self.encoder.profile(image, mask: mask)
        response.pointee.lsn = lsn
        if let from { response.pointee.redirected_from = self.encoder.identifierText(from) }
        var output = ByteBuffer()
        MessageEncoder.pack(UnsafeMutableRawPointer(response), into: &output)
        return Array(output.bytes)
    }

    @Test(arguments: 1 ... 20)
    func randomProfilesHaveTheBytesOfProtobufC(seed: UInt64) throws {
        var generator = Generator(state: seed)
        for round in 0 ..< 150 {
            // Every second profile whole, the others by a mask of any fields.
            let mask =
                round % 2 == 0
                ? ReadMask.standard.union(.attributeMetadata)
                : ReadMask(rawValue: UInt32(generator.below(1 << 16)) << 1)
            let from = [[UInt8](repeating: 3, count: 16), generator.text()]
            let kind: IdentifierKind? = [nil, .profileID, .customID][generator.below(3)]
            let lsn = generator.number()
            try generator.image().withUnsafeBytes { bytes in
                let image = try #require(ProfileImage(bytes))
                from[kind == .profileID ? 0 : 1].withUnsafeBytes { text in
                    let alias = kind.map { IdentifierView(kind: $0, bytes: text) }
                    var output = ByteBuffer()
                    output.append(UInt8(0xAA))
                    MessageEncoder.writeGetProfileResponse(
                        image, mask: mask, redirectedFrom: alias, appliedLSN: lsn, into: &output)
                    let written = Array(output.bytes.dropFirst())
                    #expect(written == self.reference(image, mask, alias, lsn))
                }
            }
        }
    }
}
