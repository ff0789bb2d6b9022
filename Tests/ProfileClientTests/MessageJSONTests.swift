import Testing

@testable import ProfileClient

@Suite struct MessageJSONTests {
    private static let event = RPCMethod.profiles("Track").request.field(named: "events")!.message
    private static let now: Int64 = 1_800_000_000_000_000

    private func encoded(_ text: String, _ schema: MessageSchema) throws -> [UInt8] {
        try MessageEncoder(now: Self.now).encode(try JSONParser.parse(text.utf8), as: schema)
    }

    private func roundTrip(_ text: String, _ schema: MessageSchema) throws -> String {
        try #require(MessageJSON.decode(try self.encoded(text, schema), as: schema)).description
    }

    @Test(arguments: [
        #"{"project":"p","identifier":{"custom_id":"anna"},"#
            + #""events":[{"event_id":"1","name":"n","tags":["a","b"]}],"historical":true}"#,
        #"{"source":{"platform":"PLATFORM_WEB","name":"shop"},"expected_revision":0,"sequence":7}"#,
        #"{"sent_at":"2026-01-31T12:00:00.5Z"}"#,
    ])
    func trackRoundTrips(text: String) throws {
        #expect(try self.roundTrip(text, RPCMethod.profiles("Track").request) == text)
    }

    @Test(arguments: [
        (#""red""#, #"{"string":"red"}"#), ("3", #"{"integer":3}"#),
        ("-9223372036854775808", #"{"integer":"-9223372036854775808"}"#),
        ("3.5", #"{"number":3.5}"#), ("true", #"{"boolean":true}"#),
        ("false", #"{"boolean":false}"#),
        (#"["a","b"]"#, #"{"list":{"items":["a","b"]}}"#),
        (#"{"time":"2026-01-31T14:00:00+02:00"}"#, #"{"time":"2026-01-31T12:00:00Z"}"#),
        (#"{"url":"https://a.example"}"#, #"{"url":"https://a.example"}"#),
        (
            #"{"a":1,"b":{"c":"d"}}"#,
            #"{"object":{"fields":{"a":{"integer":1},"#
                + #""b":{"object":{"fields":{"c":{"string":"d"}}}}}}}"#
        ),
        (#"[{"a":1}]"#, #"{"objects":{"items":[{"fields":{"a":{"integer":1}}}]}}"#),
        (#"{"number":"NaN"}"#, #"{"number":"NaN"}"#),
    ])
    func plainJSONBecomesAnExplicitValue(plain: String, explicit: String) throws {
        let text = #"{"name":"n","attributes":{"x":\#(plain)}}"#
        let response = try self.roundTrip(
            #"{"events":[\#(text)]}"#, RPCMethod.profiles("Track").request)
        #expect(response == #"{"events":[{"name":"n","attributes":{"x":\#(explicit)}}]}"#)
    }

    @Test func enumsAreAcceptedByNameWithAndWithoutPrefixAndByNumber() throws {
        let schema = RPCMethod.profiles("CheckSendable").request
        for name in [#""CHANNEL_SMS""#, #""SMS""#, #""sms""#, "2"] {
            #expect(
                try self.roundTrip(#"{"channel":\#(name)}"#, schema)
                    == #"{"channel":"CHANNEL_SMS"}"#)
        }
        #expect(throws: MessageJSONError.self) {
            try self.encoded(#"{"channel":"PIGEON"}"#, schema)
        }
    }

    @Test func lowerCamelCaseNamesAreAccepted() throws {
        let response = try self.roundTrip(
            #"{"customId":"a","installationId":"b"}"#, RPCMethod.profiles("Identify").request)
        #expect(response == #"{"installation_id":"b","custom_id":"a"}"#)
    }

    @Test func wrappersAndMasksArePlainValues() throws {
        let native =
            #"{"attributes":{"native":{"email_address":"a@b.example"}},"expected_revision":12}"#
        #expect(try self.roundTrip(native, RPCMethod.profiles("Identify").request) == native)
        let mask = try self.roundTrip(
            #"{"read_mask":"attributes,state"}"#, RPCMethod.profiles("GetProfile").request)
        #expect(mask == #"{"read_mask":{"paths":["attributes","state"]}}"#)
    }

    @Test func agoIsRelativeToNow() throws {
        let response = try self.roundTrip(
            #"{"events":[{"name":"n","ago":"1h"}]}"#, RPCMethod.profiles("Track").request)
        #expect(response == #"{"events":[{"name":"n","occurred_at":"2027-01-15T07:00:00Z"}]}"#)
    }

    @Test func emptyListsAndMapsEncodeToNothing() throws {
        #expect(
            try self.encoded(
                #"{"events":[],"identifier":null}"#, RPCMethod.profiles("Track").request) == [])
    }

    @Test(arguments: [
        (#"{"events":[{"name":3}]}"#, "events[0].name"), (#"{"events":{}}"#, "events"),
        (#"{"events":[{"nome":"x"}]}"#, "events[0].nome"),
        (#"{"events":[{"attributes":{"a":{"time":"noon"}}}]}"#, "events[0].attributes.a.time"),
        (#"{"sequence":-1}"#, "sequence"),
        (#"{"historical":"yes"}"#, "historical"),
        (#"{"events":[{"ago":"soon"}]}"#, "events[0].ago"), ("[]", ""),
    ])
    func mismatchIsReportedWithItsPath(text: String, path: String) throws {
        let error = try #require(throws: MessageJSONError.self) {
            try self.encoded(text, RPCMethod.profiles("Track").request)
        }
        #expect(error.path == path)
    }

    @Test func packedAndUnpackedNumbersDecodeEqually() {
        let schema = RPCMethod.admin("CreateProject").request
        let packed: [UInt8] = [0x12, 0x04, 0x12, 0x02, 1, 3]
        let unpacked: [UInt8] = [0x12, 0x04, 0x10, 1, 0x10, 3]
        #expect(
            MessageJSON.decode(packed, as: schema)?.description
                == #"{"options":{"double_opt_in":["CHANNEL_EMAIL","CHANNEL_PUSH"]}}"#)
        #expect(MessageJSON.decode(packed, as: schema) == MessageJSON.decode(unpacked, as: schema))
    }

    @Test func unknownFieldsAreSkipped() {
        #expect(
            MessageJSON.decode(
                [0x7A, 1, 0, 0x0A, 1, 0x70], as: RPCMethod.profiles("GetProfile").request)?
                .description == #"{"project":"p"}"#)
    }

    @Test func truncatedMessagesNeverTrap() throws {
        let schema = RPCMethod.profiles("Track").request
        let whole = try self.encoded(
            #"{"project":"p","events":[{"name":"n","attributes":{"a":1.5}}]}"#, schema)
        for count in 0 ..< whole.count { _ = MessageJSON.decode(whole.prefix(count), as: schema) }
        #expect(MessageJSON.decode(whole.dropLast(), as: schema) == nil)
    }

    @Test(arguments: [
        (Int64.max, Int64(0), "invalid timestamp (seconds=9223372036854775807, nanos=0)"),
        (.min, 0, "invalid timestamp (seconds=-9223372036854775808, nanos=0)"),
        (0, 1_000_000_000, "invalid timestamp (seconds=0, nanos=1000000000)"),
        (0, -1, "invalid timestamp (seconds=0, nanos=-1)"),
        (253_402_300_800, 0, "invalid timestamp (seconds=253402300800, nanos=0)"),
        (253_402_300_799, 999_999_999, "9999-12-31T23:59:59.999999Z"),
        (-62_135_596_800, 0, "0001-01-01T00:00:00Z"),
        (-62_135_596_801, 0, "invalid timestamp (seconds=-62135596801, nanos=0)"),
    ])
    func timestampsOutOfRangeAreNamed(seconds: Int64, nanoseconds: Int64, text: String) {
        #expect(TimeText.text(seconds: seconds, nanoseconds: nanoseconds) == text)
    }

    @Test func illegalTimestampInAMessageBecomesText() {
        // Field 2 is log_purge_due; its seconds are Int64.max.
        let timestamp: [UInt8] = [0x08] + [UInt8](repeating: 0xFF, count: 8) + [0x7F]
        let schema = RPCMethod.profiles("EraseProfile").response
        let message = [UInt8(2 << 3 | 2), UInt8(timestamp.count)] + timestamp
        #expect(
            MessageJSON.decode(message, as: schema)?["log_purge_due"]?.text
                == "invalid timestamp (seconds=9223372036854775807, nanos=0)")
    }

    @Test(arguments: [(1, true), (20, true), (40, false), (5_000, false)])
    func deepNestingIsRejectedInsteadOfExhaustingTheStack(levels: Int, isAccepted: Bool) {
        // Each level is three messages: a Value with an Object with an entry of its map. The
        // message is assembled from its end, where the innermost value is.
        var reversed: [UInt8] = []
        func wrap(_ tag: UInt8) {
            var length = WireOutput()
            length.varint(UInt64(reversed.count))
            reversed += length.bytes.reversed() + [tag]
        }
        func wrapValue() {
            wrap(8 << 3 | 2)
            wrap(2 << 3 | 2)
        }
        for _ in 0 ..< levels {
            wrapValue()
            wrap(1 << 3 | 2)
        }
        wrapValue()
        wrap(UInt8(Self.event.field(named: "attributes")!.number << 3 | 2))
        let decoded = MessageJSON.decode(Array(reversed.reversed()), as: Self.event)
        #expect((decoded != nil) == isAccepted)
    }

    @Test func lastOfSeveralMapEntriesWithOneNameIsTaken() {
        // Attributes of an event: a=true, b=true, a=false.
        let tag = UInt8(Self.event.field(named: "attributes")!.number << 3 | 2)
        func entry(_ name: Character, _ value: UInt8) -> [UInt8] {
            [tag, 7, 0x0A, 1, name.asciiValue!, 0x12, 2, 4 << 3, value]
        }
        let message = entry("a", 1) + entry("b", 1) + entry("a", 0)
        #expect(
            MessageJSON.decode(message, as: Self.event)?.description
                == #"{"attributes":{"a":{"boolean":false},"b":{"boolean":true}}}"#)
    }

    @Test func controlAndBidirectionalCharactersAreEscaped() {
        let text = "a\u{9B}\u{2028}\u{2029}\u{202E}\u{2066}\u{61C}\u{200F}\u{FEFF}é日\u{200D}👍"
        let json = JSONValue.string(text).description
        let escaped = #"a\u009b\u2028\u2029\u202e\u2066\u061c\u200f\ufeff"#
        #expect(json == "\"\(escaped)é日\u{200D}👍\"")
        #expect(try! JSONParser.parse(json.utf8) == .string(text))
    }

    @Test func bytesAreBase64() throws {
        let text = #"{"valid":true,"entries":2,"head":"AAEC/w=="}"#
        #expect(
            try self.roundTrip(text, RPCMethod.profiles("VerifyConsentLedger").response) == text)
    }
}
