import ProfileClient
import Simulator
import Testing

/// Each checker refuses a history that breaks its promise, and takes one that keeps it.
@Suite struct CheckerTests {
    private static let ann = PersonKey(0, "ann")

    // MARK: Registers

    /// A write of 1 that ends as given, then reads of these values.
    private static func register(_ outcome: Outcome, _ values: [(Int, Int)]) -> Violation? {
        let checker = RegisterChecker()
        let recorder = Recorder { (event) throws(Violation) in try checker.observe(event) }
        let write = recorder.begin("Identify", .write([WriteUnit(self.ann, value: 1)]))
        recorder.history.end(write, outcome)
        for (value, twin) in values {
            recorder.call(
                "GetProfile", .read([self.ann]),
                response: #"{"profile":{"attributes":{"n":{"integer":\#(value)},"#
                    + #""twin":{"integer":\#(twin)}}}}"#)
        }
        do throws(Violation) { try checker.finish() } catch { return recorder.violation ?? error }
        return recorder.violation
    }

    @Test func registerRefusesLostAndTornValues() {
        #expect(Self.register(.ok, [(1, 1)]) == nil)
        #expect(Self.register(.unknown, [(0, 0), (1, 1)]) == nil)
        #expect(Self.register(.ok, [(0, 0)]) != nil)
        #expect(Self.register(.unknown, [(1, 1), (0, 0)]) != nil)
        #expect(Self.register(.ok, [(1, 0)]) != nil)
        #expect(Self.register(.rejected(status: 5, reason: ""), [(1, 1)]) != nil)
    }

    @Test func registerRefusesTwoWritesThatFollowOneRevision() {
        let checker = RegisterChecker()
        let recorder = Recorder { (event) throws(Violation) in try checker.observe(event) }
        for value in 1 ... 2 {
            recorder.call(
                "Identify", .write([WriteUnit(Self.ann, value: value)]),
                #"{"expected_revision":"3"}"#)
            #expect((recorder.violation != nil) == (value == 2))
        }
    }

    // MARK: Responses

    private static func responses(_ body: (Recorder) -> Void) -> Violation? {
        var checker: ResponseChecker?
        let recorder = Recorder { (event) throws(Violation) in try checker?.observe(event) }
        checker = ResponseChecker(recorder.history)
        body(recorder)
        return recorder.violation
    }

    @Test func lsnsGrowWithTheOrderOfCalls() {
        func writes(_ lsns: [Int]) -> Violation? {
            Self.responses { recorder in
                for lsn in lsns { recorder.call("Track", .other, response: #"{"lsn":"\#(lsn)"}"#) }
            }
        }
        #expect(writes([1, 2, 5]) == nil)
        #expect(writes([1, 5, 4]) != nil)
        #expect(writes([1, 5, 5]) != nil)
    }

    @Test func readIsNotBehindWhatWasAcknowledged() {
        func read(_ lsn: Int) -> Violation? {
            Self.responses { recorder in
                recorder.call("Track", .other, response: #"{"lsn":"5"}"#)
                recorder.call("GetProfile", .other, response: #"{"lsn":"\#(lsn)"}"#)
            }
        }
        #expect(read(5) == nil)
        #expect(read(4) != nil)
    }

    @Test func statusesOfBugsAndUnexpectedOnesAreRefused() {
        func end(_ status: Int32, _ reason: String, _ purpose: Purpose) -> Violation? {
            Self.responses { recorder in
                let call = recorder.begin("Track", purpose)
                recorder.history.end(call, .rejected(status: status, reason: reason))
            }
        }
        #expect(end(13, "", .other) != nil)
        #expect(end(9, "LSN_NOT_REACHED", .other) != nil)
        #expect(end(7, "", .expect([7])) == nil)
        #expect(end(7, "", .expect([0])) != nil)
        #expect(end(8, "RATE_EXCEEDED", .expect([0])) == nil)
    }

    @Test func responseOfARepeatedRequestComesAgain() {
        func again(_ response: String) -> Violation? {
            Self.responses { recorder in
                let first = recorder.call("Track", .other, response: #"{"lsn":"5"}"#)
                recorder.call("Track", .again(first), response: response)
            }
        }
        #expect(again(#"{"lsn":"5","replayed":true}"#) == nil)
        #expect(again(#"{"lsn":"6"}"#) != nil)
        #expect(again(#"{"lsn":"6","replayed":true}"#) != nil)
    }

    @Test func responseOfAnotherCallIsRefused() {
        func write(_ method: String, _ unit: WriteUnit, _ response: String) -> Violation? {
            Self.responses { recorder in
                recorder.call(method, .write([unit]), response: response)
            }
        }
        let value = WriteUnit(Self.ann, value: 1)
        #expect(write("Identify", value, #"{"profile":{"custom_id":"ann"}}"#) == nil)
        #expect(write("Identify", value, #"{"profile":{"custom_id":"bob"}}"#) != nil)
        #expect(write("Identify", value, "null") != nil)
        let events = WriteUnit(Self.ann, events: ["a", "b"])
        for method in ["Track", "TrackStream"] {
            let results = #"{"results":[{"event_id":"a"},{"event_id":"b"},{}]}"#
            #expect(write(method, events, results) == nil)
            #expect(write(method, events, #"{"results":[{"event_id":"a"}]}"#) != nil)
        }
        #expect(write("TrackStream", events, #"{"error":{"code":14}}"#) == nil)
    }

    @Test func attributesOfASettledPersonAreKnownExactly() {
        func read(_ attributes: String) -> Violation? {
            Self.responses { recorder in
                recorder.call(
                    "GetProfile", .readExactly(Self.ann, ["p": 3]),
                    response: #"{"profile":{"attributes":{\#(attributes)}}}"#)
            }
        }
        #expect(read(#""p":{"integer":3}"#) == nil)
        #expect(read(#""p":{"integer":4}"#) != nil)
        #expect(read("") != nil)
        #expect(read(#""p":{"integer":3},"q":{"integer":1}"#) != nil)
    }

    @Test func bouncedAddressIsNotSendable() {
        func check(_ isSuppressed: Bool?, _ reason: String) -> Violation? {
            Self.responses { recorder in
                recorder.call(
                    "CheckSendable", .sendable(Self.ann, isSuppressed: isSuppressed),
                    response: #"{"reason":"SENDABLE_REASON_\#(reason)"}"#)
            }
        }
        #expect(check(true, "HARD_BOUNCE") == nil)
        #expect(check(true, "OK") != nil)
        #expect(check(false, "HARD_BOUNCE") != nil)
        #expect(check(nil, "HARD_BOUNCE") == nil)
    }

    // MARK: Isolation and erasure

    @Test func textOfAnotherProjectIsRefused() {
        func read(_ project: Int) -> Violation? {
            let checker = IsolationChecker()
            let recorder = Recorder { (event) throws(Violation) in try checker.observe(event) }
            recorder.call(
                "GetProfile", .other, project: project, response: #"{"a":"mark-alpha"}"#)
            return recorder.violation
        }
        #expect(read(0) == nil)
        #expect(read(1) != nil)
    }

    @Test func nobodyWhoIsErasedIsShown() {
        let checker = ErasureChecker()
        let recorder = Recorder { (event) throws(Violation) in try checker.observe(event) }
        let text = #"{"a":"hush0x0x1xmark-alpha"}"#
        recorder.call("GetProfile", .other, response: text)
        let before = recorder.begin("GetProfile", .other)
        recorder.call("EraseProfile", .erase(marker: "hush0x0x1x"))
        recorder.respond(before, text)
        recorder.call("GetProfile", .other, response: #"{"a":"hush0x0x11x"}"#)
        #expect(recorder.violation == nil)
        recorder.call("GetProfile", .other, response: text)
        #expect(recorder.violation != nil)
    }
}
