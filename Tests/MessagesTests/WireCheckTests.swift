import Bytes
import CMessages
import Testing

@testable import Messages

@Suite struct WireCheckTests {
    private func check(_ bytes: [UInt8]) -> WireCheck.Verdict {
        let verdict = bytes.withUnsafeBytes {
            WireCheck.check($0, root: WireSchema.shared.trackRequest.index)
        }
        #expect(
            verdict == .good || !self.passesFastPath(bytes),
            "the glance passes only what the check does")
        return verdict
    }

    private func passesFastPath(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes {
            WireFastPath.isGood($0, root: WireSchema.shared.trackRequest.index)
        }
    }

    private func violations(_ bytes: [UInt8]) -> [Violation] {
        guard case .invalid(let findings) = self.check(bytes) else { return [] }
        return findings.all.list
    }

    private func path(_ bytes: [UInt8]) -> String? { self.violations(bytes).first?.path }

    private func isMalformed(_ bytes: [UInt8]) -> Bool {
        if case .malformed = self.check(bytes) { return true }
        return false
    }

    @Test func aValidMessageIsGood() {
        let attributes = [
            ("s", Wire.string("é")), ("l", Wire.list(["a", "b"])),
            ("o", Wire.object([("x", Wire.integer(1))])),
        ]
        #expect(self.check(Wire.track([Wire.event("a", attributes), Wire.event()])) == .good)
        #expect(self.check([]) == .good)
    }

    @Test(
        arguments: [
            [0x0A, 5, 1], [0x08], [0x0A],
            [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], [0x0B, 0x0C],
            [0x00, 0x01],
            [0x08, 0x01], [0x0D, 1, 2, 3, 4], [0x38, 0x80], [0x07],
            // The tag of field 1 with eleven bytes.
            [0x8A, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
        ] as [[UInt8]])
    func bytesThatAreNoMessageAreMalformed(bytes: [UInt8]) {
        #expect(self.isMalformed(bytes))
    }

    @Test func everyPrefixIsEvaluatedWithoutATrap() {
        let whole = Wire.track([
            Wire.event("a", [("s", Wire.string("text")), ("n", Wire.number(1.5))])
        ])
        for count in 0 ... whole.count { _ = self.check(Array(whole[..<count])) }
        #expect(self.isMalformed(Array(whole.dropLast())))
    }

    @Test(
        arguments: [
            [0xC0, 0xAF], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
            [0xF8, 0x88, 0x80, 0x80, 0x80], [0x80], [0xC3],
            [0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0xFF], [0xE2, 0x82],
        ] as [[UInt8]])
    func G41_invalidUTF8IsAViolation(text: [UInt8]) {
        #expect(self.path(Wire.field(1, text)) == "project")
        #expect(self.path(Wire.field(3, Wire.field(2, text))) == "identifier.custom_id")
    }

    @Test(arguments: [0, 1, 7, 8, 9, 20])
    func aNULInAStringIsAViolation(position: Int) {
        var text = Array(repeating: UInt8(ascii: "a"), count: 21)
        text[position] = 0
        #expect(self.path(Wire.field(3, Wire.field(2, text))) == "identifier.custom_id")
    }

    @Test func nestingIsBoundedAndReportedInLevelsOfObjects() {
        func nested(_ objects: Int) -> [UInt8] {
            var value = Wire.integer(1)
            for _ in 0 ..< objects { value = Wire.object([("a", value)]) }
            return Wire.track([Wire.event(), Wire.event("deep", [("a", value)])])
        }
        // Request, event, entry and value are four messages in each other; each object adds
        // object, entry and value.
        #expect(self.check(nested(4)) == .good)
        for objects in [5, 6, 10_000] {
            #expect(
                self.violations(nested(objects)) == [
                    Violation(
                        path: "events[1]",
                        description:
                            "objects on more than 3 levels, of which `attributes` is the first")
                ])
        }
    }

    @Test func repeatedFieldsHaveLimits() {
        #expect(self.check(Wire.track(Array(repeating: Wire.event(), count: 15))) == .good)
        #expect(self.path(Wire.track(Array(repeating: Wire.event(), count: 16))) == "events")
        let keys = (0 ..< 101).map { ("k\($0)", Wire.integer(1)) }
        #expect(self.check(Wire.track([Wire.event("a", Array(keys.dropLast()))])) == .good)
        #expect(self.path(Wire.track([Wire.event("a", keys)])) == "events[0].attributes")
    }

    @Test func namedAndUnknownFieldsAreCountedByItem() {
        // 20 arrays of 25 objects of four fields, and their 20 names.
        func event(objects: Int, extra: [UInt8] = []) -> [UInt8] {
            let object = Wire.field(
                1, (0 ..< 4).flatMap { Wire.field(1, Wire.entry("k\($0)", Wire.integer(1))) })
            let array = Wire.field(9, Array(repeating: object, count: objects).flatMap { $0 })
            return Wire.event("a", (0 ..< 20).map { ("a\($0)", array) }, extra: extra)
        }
        let most = event(
            objects: 24, extra: Array(repeating: Wire.field(99, 1), count: 60).flatMap { $0 })
        #expect(self.check(Wire.track(Array(repeating: most, count: 15))) == .good)
        let unknown = Array(repeating: Wire.field(99, 1), count: 2_000).flatMap { $0 }
        #expect(self.check(Wire.track([most], extra: unknown)) == .good)
        #expect(self.check(unknown + Wire.track([most])) == .good)
        #expect(self.path(Wire.track([most], extra: unknown + Wire.field(99, 1))) == "")
        let tooMany = Wire.event(
            "a", (0 ..< 20).map { ("a\($0)", Wire.integer(1)) }, extra: unknown)
        #expect(
            self.violations(Wire.track([most, tooMany])) == [
                Violation(path: "events[1]", description: "more than 2000 fields in all")
            ])
    }

    @Test func listsHaveALimitEach() {
        func list(_ count: Int) -> [UInt8] { Wire.list(Array(repeating: "x", count: count)) }
        #expect(self.check(Wire.track([Wire.event("a", [("l", list(100))])])) == .good)
        #expect(
            self.path(Wire.track([Wire.event("a", [("l", list(101))])]))
                == "events[0].attributes[0].value.list.items")
    }

    @Test func everythingThatIsWrongIsFoundInOnePass() {
        let twice = Wire.event("a\0", [("s", Wire.string("b\0"))], extra: Wire.field(2, "c"))
        let cut = [UInt8](Wire.event("cut").dropLast())
        let bytes = Wire.track([twice, Wire.event(), cut], project: "de\0")
        #expect(
            self.violations(bytes).map(\.path) == [
                "project", "events[0].name", "events[0].attributes[0].value.string",
                "events[0].name", "events[2]",
            ])
        guard case .invalid(let findings) = self.check(bytes) else {
            Issue.record("nothing was found")
            return
        }
        #expect(findings.items.map(\.index) == [0, 2] && findings.all.index == 0)
    }

    @Test func theGoodPartOfATrackKeepsTheIndexesOfItsEvents() throws {
        let good = Wire.event("good", id: "g")
        let bytes = Wire.track(
            [Wire.event("a\0"), good, [0xFF], good], extra: Wire.field(11, UInt64.max))
        guard case .invalid(let findings) = self.check(bytes) else {
            Issue.record("nothing was found")
            return
        }
        var part = ByteBuffer()
        bytes.withUnsafeBytes { findings.appendGoodPart(of: $0, to: &part) }
        let expected = Wire.track([[], good, [], good], extra: Wire.field(11, UInt64.max))
        #expect(Array(part.bytes) == expected)
    }

    @Test func aChoiceOrASingularFieldGivenTwiceIsAViolation() {
        #expect(
            self.path(Wire.field(3, Wire.field(2, "a") + Wire.field(3, "b")))
                == "identifier.installation_id")
        #expect(
            self.path(Wire.field(3, Wire.field(2, "a") + Wire.field(2, "b")))
                == "identifier.custom_id")
        #expect(self.path(Wire.track(extra: Wire.field(3, Wire.field(2, "b")))) == "identifier")
        let value = Wire.string("a") + Wire.integer(1)
        #expect(
            self.path(Wire.track([Wire.event("a", [("x", value)])]))
                == "events[0].attributes[0].value.integer")
    }

    @Test func aMapKeyGivenTwiceIsAViolation() {
        let two = [
            ("same", Wire.integer(1)), ("other", Wire.integer(1)), ("same", Wire.integer(2)),
        ]
        #expect(
            self.path(Wire.track([Wire.event(), Wire.event("a", two)])) == "events[1].attributes[2]"
        )
        // An entry without a key has the key "".
        let nameless = Wire.field(3, Wire.field(2, Wire.integer(1)))
        #expect(
            self.path(Wire.track([Wire.event("a", extra: nameless + nameless)]))
                == "events[0].attributes[1]")
        // The value's own first field is no key.
        let tricky = [("a", Wire.string("b")), ("b", Wire.string("b"))]
        #expect(self.check(Wire.track([Wire.event("a", tricky)])) == .good)
    }

    @Test func theSameKeyInTwoMapsIsGood() {
        let event = Wire.event("a", [("k", Wire.object([("k", Wire.integer(1))]))])
        #expect(self.check(Wire.track([event, event])) == .good)
    }

    @Test func entriesOfTheTwoKindsOfMapHaveOneLayout() {
        // `FieldEntry` stands for both.
        #expect(
            MemoryLayout<Profiles__V1__Object__FieldsEntry>.size == MemoryLayout<FieldEntry>.size)
        #expect(
            MemoryLayout<Profiles__V1__Object__FieldsEntry>.offset(of: \.key)
                == MemoryLayout<FieldEntry>.offset(of: \.key))
        #expect(
            MemoryLayout<Profiles__V1__Object__FieldsEntry>.offset(of: \.value)
                == MemoryLayout<FieldEntry>.offset(of: \.value))
    }

    @Test func plainMessagesPassTheFastPath() {
        let attributes = [
            ("s", Wire.string("é")), ("l", Wire.list(["a", "b"])),
            ("o", Wire.object([("x", Wire.integer(1))])),
        ]
        #expect(self.passesFastPath(Wire.track([Wire.event("a", attributes)])))
        #expect(
            self.passesFastPath(
                Wire.track((0 ..< 15).map { _ in Wire.event("a", id: "e", attributes) })))
        #expect(
            !self.passesFastPath(Wire.track((0 ..< 16).map { _ in Wire.event() })),
            "one event too many")
        #expect(
            !self.passesFastPath(Wire.track([Wire.event("a", attributes + [attributes[0]])])),
            "a key given twice")
    }

    /// Bytes of a good message changed, removed and inserted; the helper compares both checks.
    @Test func theFastPathPassesNothingThatTheCheckRejects() {
        let attributes = [
            ("size", Wire.integer(-3)), ("colour", Wire.string("red é")),
            ("o", Wire.object([("x", Wire.number(1)), ("y", Wire.integer(2))])),
        ]
        let whole = Wire.track(
            [Wire.event("a", id: "e1", attributes), Wire.event("b")],
            extra: Wire.field(2, "r1") + Wire.field(7, 1) + Wire.field(10, Wire.field(1, 9)))
        var state: UInt64 = 42
        func below(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var passed = 0
        for _ in 0 ..< 20_000 {
            var bytes = whole
            for _ in 0 ... below(2) {
                switch below(4) {
                case 0: bytes.remove(at: below(bytes.count))
                case 1: bytes.insert(UInt8(below(256)), at: below(bytes.count))
                case 2: bytes[below(bytes.count)] = UInt8(below(32))
                default: bytes[below(bytes.count)] = UInt8(below(256))
                }
            }
            if self.passesFastPath(bytes) { passed += 1 }
            _ = self.check(bytes)
        }
        #expect(passed > 1_000, "changes of text leave most of a message good")
    }
}
