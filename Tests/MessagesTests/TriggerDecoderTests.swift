import Bytes
import Profiles
import Testing

@testable import Messages

/// What a CreateTriggerRequest may hold, and what is said of one that may not.
@Suite struct TriggerDecoderTests {
    private static let longest = 30 * 86_400

    private static func text(_ number: UInt64, _ text: String) -> [UInt8] {
        Wire.field(number, text)
    }

    private static func number(_ number: UInt64, _ value: Int) -> [UInt8] {
        Wire.field(number, UInt64(value))
    }

    private static func decode(_ trigger: [UInt8]?) -> Decoded<DecodedCreateTrigger> {
        let message = Self.text(1, "default") + (trigger.map { Wire.field(3, $0) } ?? [])
        return message.withUnsafeBytes { MessageDecoder().decodeCreateTrigger($0) }
    }

    private static func violations(_ trigger: [UInt8]?) -> [Violation] {
        guard case .invalid(let violations, _) = Self.decode(trigger) else { return [] }
        return violations.list
    }

    private static var whole: [UInt8] {
        Self.text(2, "Cart_Left") + Self.number(5, 1) + Self.text(6, "News") + Self.number(7, 3)
            + Self.number(8, 86_400) + Self.text(9, "event.amount > 50") + Self.text(10, "Cart")
            + Self.number(11, 3_600) + Self.text(12, "Purchase") + Self.number(13, 10)
    }

    @Test func wholeTriggerIsDecodedWithNamesInLowerCase() throws {
        // What the server makes is ignored, so that a listed trigger can be sent again.
        let listed = Self.text(1, "one") + Self.whole + Self.number(15, 7) + Self.number(16, 8)
        for trigger in [Self.whole, listed] {
            guard case .message(let request) = Self.decode(trigger) else {
                Issue.record("rejected")
                return
            }
            let definition = request.definition
            #expect(definition.eventName == Array("cart_left".utf8))
            #expect(definition.unlessEventName == Array("purchase".utf8))
            #expect(definition.guardChannel == 1 && definition.guardTopic == Array("news".utf8))
            #expect(definition.cap == 3 && definition.capPeriodSeconds == 86_400)
            #expect(definition.filter == Array("event.amount > 50".utf8))
            #expect(definition.displayName == Array("Cart".utf8))
            #expect(definition.delaySeconds == 3_600 && definition.ackDeadlineSeconds == 10)
            var buffer = ByteBuffer()
            definition.write(into: &buffer)
            var reader = ByteReader(buffer.bytes)
            #expect(TriggerDefinition(from: &reader) == definition)
        }
    }

    @Test func acknowledgementDeadlineOfZeroIsTheDefault() throws {
        guard case .message(let request) = Self.decode(Self.text(2, "visit")) else {
            Issue.record("rejected")
            return
        }
        #expect(request.definition.ackDeadlineSeconds == 60)
        #expect(request.definition == TriggerDefinition(eventName: Array("visit".utf8)))
    }

    @Test func eachWrongFieldIsNamedWithWhatWasFoundAndIsAllowed() {
        let name = Self.text(2, "visit")
        let cases: [([UInt8]?, String, String)] = [
            (nil, "trigger", "missing"),
            ([], "trigger.event_name", "missing"),
            (Self.text(2, "a b"), "trigger.event_name", "^[a-zA-Z0-9_]{1,30}$"),
            (name + Self.number(5, 9), "trigger.guard_channel", "channel"),
            (name + Self.text(6, "news"), "trigger.guard_topic", "without guard_channel"),
            (
                name + Self.number(5, 1) + Self.text(6, "no topic"), "trigger.guard_topic",
                "^[a-z0-9_]{1,300}$"
            ),
            (name + Self.number(7, 1), "trigger.cap_period_seconds", "missing beside cap"),
            (name + Self.number(8, 1), "trigger.cap", "missing beside cap_period_seconds"),
            (name + Self.number(7, 101) + Self.number(8, 1), "trigger.cap", "101, at most 100"),
            (
                name + Self.number(7, 1) + Self.number(8, 31_622_401),
                "trigger.cap_period_seconds", "31622401 seconds, at most 31622400"
            ),
            (
                name + Self.number(11, Self.longest + 1), "trigger.delay_seconds",
                "2592001 seconds, at most 2592000"
            ),
            (name + Self.text(12, "open"), "trigger.unless_event_name", "without delay_seconds"),
            (
                name + Self.number(11, 1) + Self.text(12, "-"), "trigger.unless_event_name",
                "^[a-zA-Z0-9_]{1,30}$"
            ),
            (name + Self.number(13, 9), "trigger.ack_deadline_seconds", "10 to 3600"),
            (name + Self.number(13, 3_601), "trigger.ack_deadline_seconds", "10 to 3600"),
            (name + Self.text(10, " "), "trigger.display_name", "blank"),
            (name + Self.text(9, "amount >"), "trigger.filter", "column"),
        ]
        for (trigger, path, description) in cases {
            let found = Self.violations(trigger)
            #expect(found.map(\.path) == [path])
            #expect(found.first?.description.contains(description) == true, "\(found)")
        }
    }

    @Test func filterAloneHasAReasonOfItsOwn() {
        func reason(_ trigger: [UInt8]) -> Rejection? {
            guard case .invalid(let violations, _) = Self.decode(trigger),
                case .rejected(let rejection, _) = CallFailure.invalid(violations)
            else { return nil }
            return rejection
        }
        #expect(reason(Self.text(2, "visit") + Self.text(9, "(")) == .filterInvalid)
        #expect(reason(Self.text(9, "(")) == .invalidFields)
        #expect(reason([]) == .invalidFields)
    }

    @Test func deleteTriggerNeedsAnIDAndTakesAnyText() {
        func decode(_ id: String) -> Decoded<DecodedDeleteTrigger> {
            (Self.text(1, "default") + Self.text(3, id)).withUnsafeBytes {
                MessageDecoder().decodeDeleteTrigger($0)
            }
        }
        if case .message(let request) = decode("01ARZ3NDEKTSV4RRFFQ69G5FAV") {
            #expect(request.trigger != nil)
        } else {
            Issue.record("rejected")
        }
        // Not an error of the request: there is no such trigger.
        if case .message(let request) = decode("one") {
            #expect(request.trigger == nil)
        } else {
            Issue.record("rejected")
        }
        guard case .invalid(let violations, _) = decode("") else {
            Issue.record("accepted")
            return
        }
        #expect(violations.list.map(\.path) == ["trigger_id"])
    }
}
