import Bytes
import IOCore
import TestSupport
import Testing

@testable import GRPCTransport

/// W3C trace contexts: what of them is read, what is handed on, and what a call without one costs.
@Suite struct TraceTests {
    private static let unary = "/t.T/Unary"
    private static let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    private func read(_ text: String) -> TraceParent? {
        var buffer = ByteBuffer()
        for byte in text.utf8 { buffer.append(byte) }
        return TraceParent(buffer.bytes)
    }

    // MARK: Fields

    @Test func parentIsReadWithItsFlag() {
        let id = TraceID(high: 0x4bf9_2f35_77b3_4da6, low: 0xa3ce_929d_0e0e_4736)
        let sampled = TraceParent(trace: id, span: 0x00f0_67aa_0ba9_02b7, isSampled: true)
        #expect(self.read(Self.parent) == sampled)
        #expect(id.description == "4bf92f3577b34da6a3ce929d0e0e4736")
        #expect(self.read(Self.parent.dropLast(2) + "02")?.isSampled == false)
        #expect(self.read(Self.parent.dropLast(2) + "ff")?.isSampled == true)
    }

    /// Later versions may add parts behind these; version ff is not one.
    @Test func laterVersionIsReadAsFarAsItIsKnown() {
        let rest = Self.parent.dropFirst(2)
        #expect(self.read("01" + rest) != nil)
        #expect(self.read("cc" + rest + "-what-comes") != nil)
        #expect(self.read("cc" + rest + ".what") == nil)
        #expect(self.read("00" + rest + "-more") == nil)
        #expect(self.read("ff" + rest) == nil)
    }

    @Test func everySingleWrongByteMakesAParentInvalid() {
        let bytes = Array(Self.parent.utf8)
        for index in bytes.indices {
            for wrong in [UInt8(ascii: "g"), UInt8(ascii: "A"), UInt8(ascii: " "), 0, 0xFF] {
                var changed = bytes
                changed[index] = wrong
                let text = changed.withUnsafeBytes { TraceParent($0) }
                #expect(text == nil, "byte \(index) is \(wrong)")
            }
        }
        for count in bytes.indices { #expect(self.read(String(Self.parent.prefix(count))) == nil) }
        #expect(self.read("00-\(String(repeating: "0", count: 32))-00f067aa0ba902b7-01") == nil)
        #expect(
            self.read("00-4bf92f3577b34da6a3ce929d0e0e4736-\(String(repeating: "0", count: 16))-01")
                == nil)
    }

    @Test(arguments: [
        ("a=1", true), ("a=1,b=2", true), ("a=1 , b=2", true), ("a=1,,b=2", true),
        ("t1@v/x_y*z-=~!", true), ("0a= x", true), ("", false), (",", false), ("a", false),
        ("=1", false), ("A=1", false), ("a=", false), ("a=1=2", false), ("a=\u{e9}", false),
        ("a@b@c=1", false), ("_a=1", false), ("a=\u{7}", false),
        ((1 ... 32).map { "a\($0)=1" }.joined(separator: ","), true),
        ((1 ... 33).map { "a\($0)=1" }.joined(separator: ","), false),
        ("a=" + String(repeating: "x", count: 256), true),
        ("a=" + String(repeating: "x", count: 257), false),
        (String(repeating: "a", count: 257) + "=x", false),
    ])
    func stateIsHandedOnOnlyIfItIsValid(text: String, isValid: Bool) {
        #expect(Array(text.utf8).withUnsafeBytes { TraceState.isValid($0) } == isValid)
    }

    @Test func samplesAreAShareOfTheDraws() {
        var sampler = TraceSampler(seed: 7)
        let count = (0 ..< 100_000).count { _ in sampler.draws(millionths: 10_000) }
        #expect((800 ... 1_200).contains(count))
        #expect(!(0 ..< 1_000).contains { _ in sampler.draws(millionths: 0) })
        #expect((0 ..< 1_000).allSatisfy { _ in sampler.draws(millionths: 1_000_000) })
    }

    // MARK: Calls

    /// What `EndedCall` said, and the trailers of the call's last frame.
    private struct Outcome {
        var ended: [EndedCall]
        var trailers: [String: String]
        /// The same, compressed.
        var block: [UInt8]
    }

    private func call(
        _ fields: [(String, String)], observation: CallObservation = CallObservation(),
        fails: Bool = false
    ) throws -> Outcome {
        let harness = try LoopHarness(observation: observation)
        harness.handler.onMessage = { call in
            if fails {
                harness.loop.finish(call.token, with: RPCStatus(.notFound, "no"))
            } else {
                harness.loop.respond(to: call.token) { $0.append(UInt8(1)) }
            }
        }
        try harness.run([
            { $0.send(Frames.open(1, Self.unary, fields: fields)) },
            { $0.send(Frames.data(1, Frames.message([1, 2]), end: true)) },
        ])
        let decoder = HeaderDecoder()
        var outcome = Outcome(ended: harness.handler.ends, trailers: [:], block: [])
        for frame in harness.frames where frame.kind == Frames.headers {
            outcome.trailers = decoder.fields(of: frame.payload)
            outcome.block = Array(frame.payload)
        }
        return outcome
    }

    @Test(arguments: [false, true])
    func whoeverAsksIsToldTheTraceInTheTrailers(fails: Bool) throws {
        let trailers = try self.call(
            [
                ("traceparent", Self.parent), ("tracestate", "a=1"), ("tracestate", "b=2"),
                ("x-profiles-trace", "1"),
            ], fails: fails
        ).trailers
        let parent = try #require(trailers["traceparent"])
        #expect(parent.hasPrefix("00-4bf92f3577b34da6a3ce929d0e0e4736-"))
        #expect(parent.hasSuffix("-01") && !parent.contains("00f067aa0ba902b7"))
        #expect(trailers["tracestate"] == "a=1,b=2")
        #expect(trailers["grpc-status"] == (fails ? "5" : "0"))
    }

    @Test func whoeverDoesNotAskIsToldNothing() throws {
        for question in ["0", "true", ""] {
            let outcome = try self.call(
                [("traceparent", Self.parent), ("x-profiles-trace", question)])
            #expect(outcome.trailers == ["grpc-status": "0"])
            // The same bytes as without a trace: a literal field that enters no table.
            #expect(outcome.block == [0, 11] + Array("grpc-status".utf8) + [1, UInt8(ascii: "0")])
        }
    }

    @Test func invalidOrRepeatedParentBeginsANewTrace() throws {
        for fields in [
            [("traceparent", "00-x")],
            [("traceparent", Self.parent), ("traceparent", Self.parent)],
        ] {
            let trailers = try self.call(
                fields + [("x-profiles-trace", "1"), ("tracestate", "a=1")]
            ).trailers
            let parent = try #require(trailers["traceparent"])
            #expect(!parent.contains("4bf92f3577b34da6a3ce929d0e0e4736"))
            #expect(self.read(parent)?.isSampled == false)
            #expect(trailers["tracestate"] == nil)
            #expect(trailers["grpc-status"] == "0")
        }
    }

    @Test func stateBeyondItsBoundIsDroppedAndTheParentStays() throws {
        let half = "a=" + String(repeating: "x", count: 254)
        for (second, isKept) in [("b=" + String(repeating: "y", count: 253), true), (half, false)] {
            let trailers = try self.call([
                ("traceparent", Self.parent), ("x-profiles-trace", "1"), ("tracestate", half),
                ("tracestate", second),
            ]).trailers
            #expect((trailers["tracestate"] != nil) == isKept)
            #expect(trailers["traceparent"] != nil)
        }
    }

    @Test func callerDecidesOnTheSampleAndOthersAreDrawn() throws {
        var observation = CallObservation()
        observation.reportsEnds = true
        observation.sampledMillionths = 1_000_000
        let declined = try self.call(
            [("traceparent", Self.parent.dropLast(2) + "00")], observation: observation)
        #expect(declined.ended.first?.trace?.isSampled == false)
        let drawn = try self.call([], observation: observation)
        #expect(drawn.ended.first?.trace?.isSampled == true)
        #expect(drawn.ended.first?.trace?.parentSpan == 0)
        observation.sampledMillionths = 0
        let taken = try self.call([("traceparent", Self.parent)], observation: observation)
        #expect(taken.ended.first?.trace?.isSampled == true)
        #expect(taken.ended.first?.trace?.parentSpan == 0x00f0_67aa_0ba9_02b7)
        #expect(try self.call([], observation: observation).ended.first?.trace == nil)
    }

    // MARK: Ends

    @Test func endedCallHasItsBytesMethodAndPeer() throws {
        var observation = CallObservation()
        observation.reportsEnds = true
        let ended = try #require(self.call([], observation: observation).ended.first)
        #expect(ended.method == LoopHarness.unary && ended.code == .ok)
        #expect(ended.requestBytes == 7 && ended.responseBytes == 6)
        #expect(ended.peer.hasPrefix("127.0.0.1:") && ended.tag == 0)
    }

    @Test func callsThatNeverReachTheHandlerAreReportedToo() throws {
        var observation = CallObservation()
        observation.reportsEnds = true
        let harness = try LoopHarness(observation: observation)
        try harness.run([
            { $0.send(Frames.open(1, "/t.T/Nothing")) },
            { $0.send(Frames.open(3, Self.unary)) },
            { $0.clientsClose() },
        ])
        #expect(harness.handler.ends.map(\.code) == [.unimplemented, .cancelled])
        #expect(harness.handler.ends.map(\.method) == [nil, LoopHarness.unary])
        #expect(harness.handler.ends.allSatisfy { $0.peer.hasPrefix("127.0.0.1:") })
    }

    @Test func nobodyIsToldWithoutObservation() throws {
        #expect(try self.call([("traceparent", Self.parent)]).ended.isEmpty)
    }

    // MARK: What is open

    @Test func openConnectionsAndStreamsAreListedInPages() throws {
        let harness = try LoopHarness()
        try harness.loop.start()
        harness.connect()
        harness.connect(from: "127.0.0.2")
        let fields = [("grpc-timeout", "10S"), ("traceparent", Self.parent)]
        harness.send(Frames.open(1, Self.unary, fields: fields))
        harness.send(Frames.open(3, "/t.T/Both"))
        harness.step()
        let waker = CountingWaker()
        func list(_ subject: LoopInspector.Subject, from slot: Int, limit: Int)
            -> LoopInspector.Listing?
        {
            harness.loop.inspector.ask(
                LoopInspector.Question(subject, from: slot, limit: limit), asker: waker)
            #expect(harness.loop.inspector.isWaiting && harness.loop.inspector.takeListing() == nil)
            harness.step()
            #expect(!harness.loop.inspector.isWaiting)
            return harness.loop.inspector.takeListing()
        }
        guard case .connections(let all) = list(.connections, from: 0, limit: 10),
            case .connections(let second) = list(.connections, from: 1, limit: 10),
            case .connections(let first) = list(.connections, from: 0, limit: 1),
            case .streams(let streams) = list(.streams, from: 0, limit: 10)
        else { preconditionFailure("each question has its own kind of list") }
        #expect(all.map(\.streams) == [2, 0] && all == first + second)
        #expect(all.last?.peer.hasPrefix("127.0.0.2:") == true)
        #expect(streams.map(\.method) == ["t.T/Unary", "t.T/Both"])
        #expect(streams.map(\.id) == [1, 3])
        #expect(streams.first?.trace?.description == "4bf92f3577b34da6a3ce929d0e0e4736")
        #expect(
            streams.first?.deadlineNanoseconds != nil && streams.last?.deadlineNanoseconds == nil)
        #expect(waker.wakes == 4)
        harness.clientsClose()
        harness.step()
        #expect(list(.streams, from: 0, limit: 10) == .streams([]))
        #expect(list(.connections, from: 0, limit: 10) == .connections([]))
        harness.loop.stop()
        harness.step()
        harness.loop.finish()
    }
}

private final class CountingWaker: Waker, @unchecked Sendable {
    // Unchecked: used on the test's thread only.
    var wakes = 0
    func wake() { self.wakes += 1 }
}
