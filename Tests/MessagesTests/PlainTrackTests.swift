import Bytes
import Profiles
import Testing

@testable import Messages

/// What the short way accepts, the long way accepts with the same bytes.
@Suite struct PlainTrackTests {
    private let decoder = MessageDecoder()
    private static let windows = AdvisoryWindows(
        nowMicroseconds: 1_700_000_000_000_000, lateMicroseconds: 86_400_000_000,
        historicalMicroseconds: 90 * 86_400_000_000,
        aheadMicroseconds: 300_000_000)

    /// The record and what is known beside it, by one of the two ways; `nil`: refused, or not
    /// plain.
    struct Outcome: Equatable {
        var record: [UInt8]
        var project: [UInt8]
        var eventCount: Int
        var sequence: UInt64
    }

    static func outcome(_ wire: [UInt8], _ decoder: MessageDecoder, isPlain: Bool) -> Outcome? {
        var buffer = ByteBuffer()
        return wire.withUnsafeBytes { bytes in
            let decoded =
                isPlain
                ? decoder.decodeTrack(bytes) { _ in Self.windows }
                : decoder.decodeAnyTrack(bytes) { _ in Self.windows }
            guard case .message(let track) = decoded, track.isPlain == isPlain else { return nil }
            decoder.appendRecord(of: track, project: ProjectID(rawValue: 7), to: &buffer)
            return Outcome(
                record: Array(buffer.bytes), project: Array(track.project),
                eventCount: track.itemCount, sequence: track.sequence)
        }
    }

    /// Whether a message is plain; both ways must agree then.
    private func isPlain(_ wire: [UInt8]) -> Bool {
        guard let short = Self.outcome(wire, self.decoder, isPlain: true) else { return false }
        #expect(short == Self.outcome(wire, self.decoder, isPlain: false), "\(wire)")
        return true
    }

    private static let scalars = [
        ("Size", Wire.integer(-3)), ("colour", Wire.string("red é")), ("price", Wire.number(1.5)),
        ("a", Wire.field(4, 1)),
        ("b", Wire.field(4, 0)), ("at", Wire.field(5, Wire.timestamp(1_700_000_000, nanos: 5_000))),
        ("ab", Wire.string("x")),
    ]

    @Test func commonTracksArePlain() {
        #expect(self.isPlain(Wire.track()))
        #expect(self.isPlain(Wire.track([Wire.event("Purchase", id: "e1", Self.scalars)])))
        #expect(self.isPlain(Wire.track((0 ..< 15).map { Wire.event("e\($0)", Self.scalars) })))
        #expect(
            self.isPlain(
                Wire.track([
                    Wire.event(
                        "a",
                        extra: Wire.field(5, "a label")
                            + Wire.field(4, Wire.timestamp(1_700_000_000)))
                ])))
        let extra =
            Wire.field(2, "r1") + Wire.field(5, Wire.timestamp(1_700_000_000, nanos: 1))
            + Wire.field(6, Wire.field(1, 3) + Wire.field(2, "shop"))
            + Wire.field(7, 1) + Wire.field(8, 1) + Wire.field(9, 1)
            + Wire.field(10, Wire.field(1, 9)) + Wire.field(11, 1 << 40)
        #expect(self.isPlain(Wire.track(extra: extra)))
        #expect(
            self.isPlain(Wire.track(extra: Wire.field(10, [] as [UInt8]))),
            "an expected revision of 0")
        #expect(
            self.isPlain(
                Wire.field(4, Wire.event()) + Wire.field(3, Wire.field(3, "phone"))
                    + Wire.field(1, "default")), "any order")
    }

    @Test func whatIsRareOrWrongGoesTheLongWay() {
        let wrong: [[UInt8]] = [
            [], Wire.track([]), Wire.track((0 ..< 16).map { _ in Wire.event() }),
            Wire.track(project: ""), Wire.track(project: "Default"),
            Wire.track(customID: ""), Wire.track(customID: " "), Wire.track(customID: "null"),
            Wire.track(customID: "a\nb"),
            Wire.track(extra: Wire.field(1, "default")), Wire.track(extra: Wire.field(12, 1)),
            Wire.track(extra: Wire.field(200, 1)),
            Wire.track(extra: Wire.field(2, String(repeating: "r", count: 101))),
            Wire.track(extra: Wire.field(6, Wire.field(1, 6))),
            Wire.track(extra: Wire.field(6, Wire.field(2, "\n"))),
            Wire.track(extra: Wire.field(5, Wire.timestamp(1))),
            Wire.track([Wire.event("")]), Wire.track([Wire.event("a b")]),
            Wire.track([Wire.event(String(repeating: "a", count: 31))]),
            Wire.track([Wire.event("a", extra: Wire.field(6, "tag"))]),
            Wire.track([Wire.event("a", extra: Wire.field(2, "b"))]),
            Wire.track([Wire.event("a", extra: Wire.field(4, Wire.timestamp(-1)))]),
            Wire.track([Wire.event("a", extra: Wire.field(5, " "))]),
            Wire.field(1, "default") + Wire.field(3, Wire.field(1, "01ARZ3NDEKTSV4RRFFQ69G5FAV"))
                + Wire.field(4, Wire.event()),
            Wire.field(1, "default") + Wire.field(3, Wire.field(2, "a") + Wire.field(3, "b"))
                + Wire.field(4, Wire.event()),
            Wire.field(1, "default") + Wire.field(4, Wire.event()),
        ]
        for wire in wrong { #expect(!self.isPlain(wire), "\(wire)") }
        let values: [[UInt8]] = [
            [], Wire.list(["a"]), Wire.object([("x", Wire.integer(1))]),
            Wire.field(6, "https://example.org"), Wire.number(.nan), Wire.string(""),
            Wire.string("a\nb"), Wire.string(String(repeating: "x", count: 301)),
            Wire.integer(1) + Wire.integer(2), Wire.field(4, 300),
            Wire.field(1, [0xFF]), Wire.field(1, [0x61, 0x00]),
        ]
        for value in values {
            #expect(!self.isPlain(Wire.track([Wire.event("a", [("k", value)])])), "\(value)")
        }
        #expect(
            !self.isPlain(
                Wire.track([Wire.event("a", [("k", Wire.integer(1)), ("K", Wire.integer(2))])])),
            "apart from case")
        let many = (0 ..< 21).map { ("k\($0)", Wire.integer(1)) }
        #expect(
            !self.isPlain(Wire.track([Wire.event("a", many)]))
                && self.isPlain(Wire.track([Wire.event("a", Array(many.dropLast()))])))
    }

    /// Whole messages of random parts, good and bad, and then with bytes changed, taken out and put
    /// in.
    @Test func whatIsAcceptedTheLongWayAcceptsWithTheSameBytes() {
        var random = SeededGenerator(state: 42)
        var plain = 0
        for _ in 0 ..< 30_000 {
            var wire = random.track()
            for _ in 0 ..< max(0, random.below(4) - 1) where !wire.isEmpty {
                switch random.below(4) {
                case 0: wire.remove(at: random.below(wire.count))
                case 1: wire.insert(UInt8(random.below(256)), at: random.below(wire.count))
                case 2: wire[random.below(wire.count)] = UInt8(random.below(32))
                default: wire[random.below(wire.count)] = UInt8(random.below(256))
                }
            }
            if self.isPlain(wire) { plain += 1 }
        }
        #expect(plain > 5_000, "enough of them are plain to mean something: \(plain)")
    }
}

/// Random Tracks, most of them good.
struct SeededGenerator {
    var state: UInt64

    mutating func below(_ bound: Int) -> Int {
        self.state = self.state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(self.state >> 33) % bound
    }

    private mutating func text() -> String {
        [
            "a", "Purchase", "red é", "x y", "~!@#", "UPPER_case9", "\u{7F}", "null", " ", "",
            "line\nbreak", "\u{2028}",
        ][self.below(self.below(20) == 0 ? 12 : 7)]
    }

    private mutating func name() -> String {
        [
            "a", "b", "size", "Colour", "price_1", "ab", "zz9", "_x", "q7", "A", "aB", "bad name",
            "",
        ][self.below(self.below(20) == 0 ? 13 : 9)]
    }

    private mutating func value() -> [UInt8] {
        switch self.below(30) {
        case 0 ..< 8: Wire.string(self.text())
        case 8 ..< 16: Wire.integer(Int64(self.below(1 << 20)) - 1 << 19)
        case 16 ..< 20: Wire.number(Double(self.below(1_000)) / 7)
        case 20 ..< 24: Wire.field(4, UInt64(self.below(3)))
        case 24 ..< 28:
            Wire.field(
                5,
                Wire.timestamp(Int64(self.below(1 << 31)), nanos: UInt64(self.below(1_050_000_000)))
            )
        case 28: Wire.list(["a"])
        default: Wire.field(6, "https://example.org/")
        }
    }

    private mutating func event() -> [UInt8] {
        let fields = (0 ..< self.below(4)).map { _ in (self.name(), self.value()) }
        var extra: [UInt8] = []
        if self.below(5) == 0 { extra += Wire.field(5, self.text()) }
        if self.below(4) == 0 {
            extra += Wire.field(
                4,
                Wire.timestamp(
                    1_700_000_000 + Int64(self.below(1_000)),
                    nanos: UInt64(self.below(1_000_000_000))))
        }
        if self.below(40) == 0 { extra += Wire.field(6, "tag") }
        return Wire.event(
            self.name(), id: self.below(2) == 0 ? "" : self.text(), fields, extra: extra)
    }

    mutating func track() -> [UInt8] {
        var extra: [UInt8] = []
        for number in [2, 5, 6, 7, 8, 9, 10, 11] as [UInt64] where self.below(6) == 0 {
            switch number {
            case 2: extra += Wire.field(2, self.text())
            case 5:
                extra += Wire.field(
                    5, Wire.timestamp(1_700_000_000, nanos: UInt64(self.below(1_050_000_000))))
            case 6:
                extra += Wire.field(
                    6,
                    Wire.field(1, UInt64(self.below(20) == 0 ? 7 : self.below(6)))
                        + Wire.field(2, self.text()))
            case 10: extra += Wire.field(10, Wire.field(1, UInt64(self.below(1 << 30))))
            default:
                extra += Wire.field(
                    number, UInt64(self.below(number == 11 || self.below(20) == 0 ? 300 : 2)))
            }
        }
        let events = (0 ... self.below(3)).map { _ in self.event() }
        return Wire.track(
            events, customID: self.below(4) == 0 ? self.text() : "customer-\(self.below(1_000))",
            extra: extra)
    }
}
