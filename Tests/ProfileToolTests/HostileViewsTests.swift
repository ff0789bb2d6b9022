import IOSimulation
import ProfileClient
import Testing

@testable import ProfileTool

/// Values as the server could never send them must not end the tool, nor reach the terminal as
/// control characters.
@Suite struct HostileViewsTests {
    @Test(arguments: 0 ..< 4)
    func viewsOfAnyValueAreText(seed: UInt64) {
        var values = HostileJSON(SeededRandom(seed: seed))
        for now in [Int64.min, 0, 1_800_000_000_000_000, .max] {
            let view = ProfileView(now: now)
            for _ in 0 ..< 4 {
                let text =
                    view.text(values.value(depth: 0), events: values.value(depth: 0))
                    + TerminalText.table([
                        view.event(values.value(depth: 0)), view.consent(values.value(depth: 0)),
                    ])
                    + TerminalText.table([TriggerView(now: now).row(values.value(depth: 0))])
                    + ChangeView.line(lsn: values.value(depth: 0), values.value(depth: 0))
                    + ChangeView.firing(values.value(depth: 0))
                    + ProfileView.value(values.value(depth: 0))
                    + FailureText.line(RPCFailure(status: values.value(depth: 0)))
                    + FailureText.ofOperation(RPCFailure(status: values.value(depth: 0)))
                let controls = text.unicodeScalars.filter {
                    $0 != "\n" && $0.properties.generalCategory == .control
                }
                #expect(controls.isEmpty)
            }
        }
    }

    @Test(arguments: [
        (Int64.max, Int64(1)), (.max, .max), (.min, .max), (1, 0), (0, .min), (50, 100),
    ])
    func percentIsFromZeroToHundred(done: Int64, total: Int64) {
        #expect((0 ... 100).contains(Tool.percent(done, of: total)))
    }

    @Test(arguments: [0, 1e-300, 1, 1e9])
    func progressOfAnyRateIsText(rate: Double) {
        for all in [nil, 0, 1, Int.max] as [Int?] {
            #expect(!Importer.progressText(lines: 1_000_000, of: all, rate: rate).isEmpty)
        }
    }
}

/// Random JSON out of the names and values that the views look for.
private struct HostileJSON {
    private var random: SeededRandom
    private static let names = [
        "profile", "events", "installations", "attributes", "native", "subscriptions", "items",
        "event_counters", "created_at", "updated_at", "last_seen_at", "effective_time", "aliases",
        "attribute_metadata", "source", "platform", "name", "state", "channel", "topic", "count",
        "first", "last", "list", "object", "objects", "fields", "evidence", "before", "after",
        "applied", "redirected_from", "custom_id", "profile_id", "events_truncated_before", "code",
        "kind", "other_profile_id", "installation_id", "event", "set", "deleted", "firing_id",
        "consent_entries", "suppression_reasons", "historical", "received_at", "delivery_attempt",
        "cap", "cap_period_seconds", "delay_seconds", "guard_channel", "pending",
        "message", "details", "type_url", "value", "tags", "label", "revision", "lsn",
    ]
    private static let texts = [
        "", "2026-01-31T12:00:00Z", "9999-12-31T23:59:59.999999Z", "0000-01-01T00:00:00Z",
        "invalid timestamp (seconds=9223372036854775807, nanos=0)", "\u{1B}[2J", "\u{9B}2J", "\r\n",
        "\u{202E}", "STATE_", "PLATFORM_", "CHANNEL_EMAIL", "日本", "\0",
        "type.googleapis.com/google.rpc.BadRequest", "////", "=",
    ]
    private static let numbers = [
        "0", "-1", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "1e400",
        "0.5",
    ]

    init(_ random: SeededRandom) {
        self.random = random
    }

    private mutating func below(_ bound: Int) -> Int {
        Int.random(in: 0 ..< bound, using: &self.random)
    }

    mutating func value(depth: Int) -> JSONValue {
        switch self.below(depth < 6 ? 12 : 5) {
        case 0: .null
        case 1: .bool(true)
        case 2: .number(Self.numbers[self.below(Self.numbers.count)])
        case 3, 4: .string(Self.texts[self.below(Self.texts.count)])
        case 5, 6: .array((0 ..< self.below(4)).map { _ in self.value(depth: depth + 1) })
        default:
            .object(
                (0 ..< self.below(10)).map { _ in
                    .init(Self.names[self.below(Self.names.count)], self.value(depth: depth + 1))
                })
        }
    }
}
