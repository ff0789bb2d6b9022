import CProtobufC
import IOSimulation
import Testing

@testable import ProfileClient

/// Messages as the server could never send them must not end the client.
@Suite struct HostileMessagesTests {
    private static let methods: [RPCMethod] =
        [
            "Track", "Identify", "GetProfile", "BatchGetProfiles", "ListEvents",
            "UpdateSubscription", "ListConsentHistory", "VerifyConsentLedger", "CheckSendable",
            "EraseProfile", "BatchWrite",
        ].map(RPCMethod.profiles) + ["CreateSnapshot", "Backup"].map(RPCMethod.admin)
        + [.healthCheck]
    private static let schemas: [MessageSchema] =
        methods.map(\.response) + [.status, .errorInfo, .badRequest]

    @Test(arguments: 0 ..< 3)
    func validWireWithExtremeValuesDecodes(seed: UInt64) {
        var wire = HostileWire(SeededRandom(seed: seed))
        for schema in Self.schemas {
            for _ in 0 ..< 12 {
                let message = wire.message(schema, depth: 0)
                // Valid wire always decodes, and its JSON is valid.
                guard let json = MessageJSON.decode(message, as: schema) else {
                    Issue.record("\(schema.name) of seed \(seed) does not decode")
                    continue
                }
                #expect(throws: Never.self) { try JSONParser.parse(json.description.utf8) }
                _ = RPCFailure(status: json)
            }
        }
    }

    @Test(arguments: 0 ..< 3)
    func damagedWireNeverTraps(seed: UInt64) {
        var wire = HostileWire(SeededRandom(seed: seed))
        for schema in Self.schemas {
            for _ in 0 ..< 12 {
                _ = MessageJSON.decode(wire.noise(), as: schema)
                var message = wire.message(schema, depth: 0)
                for _ in 0 ..< 3 where !message.isEmpty {
                    message[wire.below(message.count)] = UInt8(wire.below(256))
                }
                _ = MessageJSON.decode(message, as: schema).map(\.description)
                _ = MessageJSON.decode(message.prefix(wire.below(message.count + 1)), as: schema)
            }
        }
    }

    @Test(arguments: 0 ..< 3)
    func statusDetailsOfAnyContentMakeAFailure(seed: UInt64) {
        var wire = HostileWire(SeededRandom(seed: seed))
        for _ in 0 ..< 60 {
            let code = wire.code()
            let details =
                wire.below(2) == 0
                ? String(decoding: wire.noise(), as: UTF8.self)
                : Base64Text.encode(wire.message(.status, depth: 0))
            let message = String(decoding: wire.noise(), as: UTF8.self)
            let failure = RPCFailure(code: code, message: message, details: details)
            #expect(failure.code == code)
            _ = RPCFailure.name(of: failure.code)
        }
    }

    @Test(
        arguments: [
            ("0", 0), ("5", 5), ("16", 16), ("+0", 2), ("-0", 2), ("", 2), (" 0", 2), ("0x0", 2),
            ("99999999999", 2), ("-1", 2), ("OK", 2), ("٠", 2),
        ] as [(String, Int32)])
    func statusIsTakenFromDigitsOnly(text: String, code: Int32) {
        let found = Array(text.utf8).withUnsafeBytes { RPCFailure.code(trailer: $0) }
        #expect(found == code)
    }

    @Test(arguments: [
        ("a%20b", "a b"), ("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%+5", "%+5"),
        ("%C3%A9", "é"), ("%FF", "\u{FFFD}"), ("%%41", "%A"),
    ])
    func percentEncodingThatIsInvalidIsKept(encoded: String, text: String) {
        #expect(RPCFailure(code: 2, message: encoded, details: "").message == text)
    }

    @Test func detailsOfAnotherCodeAreIgnored() {
        // A google.rpc.Status with code 0 would turn the failure into OK.
        let other = Base64Text.encode([0x08, 0x00, 0x12, 0x01, 0x78])
        let failure = RPCFailure(code: 13, message: "real", details: other)
        #expect(failure.code == 13 && failure.message == "real")
        let same = RPCFailure(code: 13, message: "real", details: Base64Text.encode([0x08, 13]))
        #expect(same.code == 13 && same.message.isEmpty)
    }

    @Test(arguments: [Int64.min, -1, 0, 1, .max])
    func timesOfAnySizeAreFormatted(value: Int64) {
        #expect(!TimeText.text(microseconds: value).isEmpty)
        for now in [Int64.min, 0, .max] {
            #expect(!TimeText.age(of: value, now: now).isEmpty)
        }
        for nanoseconds in [Int64.min, -1, 0, 999_999_999, 1_000_000_000, .max] {
            #expect(!TimeText.text(seconds: value, nanoseconds: nanoseconds).isEmpty)
        }
    }

    @Test func spansOfAnyLengthAreParsedOrRejected() {
        #expect(TimeText.span("100000d") == nil)
        #expect(TimeText.span(String(repeating: "99w", count: 10_000)) == nil)
        #expect(TimeText.span("36525d") == 3_155_760_000_000_000)
        #expect(TimeText.span("36525d1s") == nil)
        #expect(TimeText.span("99999999999999999999s") == nil)
    }
}

/// Random wire bytes of a schema, with the values at which arithmetic fails.
private struct HostileWire {
    private var random: SeededRandom
    private static let numbers: [UInt64] = [
        0, 1, 127, 128, 999_999_999, 1_000_000_000, 253_402_300_799, 253_402_300_800, 1 << 31,
        1 << 32, 1 << 53, 1 << 62, UInt64(Int64.max), 1 << 63, .max - 1, .max,
    ]
    private static let texts = [
        "", "a", "\u{1B}[2J", "\u{202E}", "日本", "\0", "2026-01-31T12:00:00Z",
        "9999999999999999999999", "type.googleapis.com/google.rpc.ErrorInfo", "]", "operations[",
    ]

    init(_ random: SeededRandom) {
        self.random = random
    }

    mutating func below(_ bound: Int) -> Int {
        Int.random(in: 0 ..< max(1, bound), using: &self.random)
    }

    mutating func code() -> Int32 {
        [0, 1, 3, 8, 14, 16, 17, -1, .max, .min][self.below(10)]
    }

    mutating func noise() -> [UInt8] {
        (0 ..< self.below(200)).map { _ in UInt8(self.below(256)) }
    }

    /// Depth bounds the recursion of the contract's own types.
    mutating func message(_ schema: MessageSchema, depth: Int) -> [UInt8] {
        var output = WireOutput()
        let fields = schema.fields
        guard !fields.isEmpty else { return [] }
        for _ in 0 ..< self.below(8) {
            let field = fields[self.below(fields.count)]
            for _ in 0 ..< (field.isRepeated ? self.below(4) : 1) {
                self.append(field, depth, to: &output)
            }
        }
        return output.bytes
    }

    private mutating func append(
        _ field: MessageSchema.Field, _ depth: Int, to output: inout WireOutput
    ) {
        switch field.type {
        case PROTOBUF_C_TYPE_MESSAGE:
            guard depth < 8 else { return }
            output.lengthDelimited(field.number, self.message(field.message, depth: depth + 1))
        case PROTOBUF_C_TYPE_STRING:
            output.lengthDelimited(
                field.number,
                self.below(4) == 0
                    ? self.noise() : Array(Self.texts[self.below(Self.texts.count)].utf8))
        case PROTOBUF_C_TYPE_BYTES: output.lengthDelimited(field.number, self.noise())
        case PROTOBUF_C_TYPE_DOUBLE:
            output.tag(field.number, 1)
            output.fixed(Self.numbers[self.below(Self.numbers.count)])
        default:
            output.tag(field.number, 0)
            output.varint(Self.numbers[self.below(Self.numbers.count)])
        }
    }
}
