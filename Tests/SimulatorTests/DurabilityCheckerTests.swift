import Simulator
import Testing

/// Wrong histories of events, and what must not be taken for one.
@Suite struct DurabilityCheckerTests {
    private static let ann = PersonKey(0, "ann")

    private static func recorder() -> Recorder {
        let checker = DurabilityChecker()
        return Recorder { (event) throws(Violation) in try checker.observe(event) }
    }

    private static func events(_ ids: [String]) -> String {
        let list = ids.map { #"{"event_id":"\#($0)"}"# }.joined(separator: ",")
        return #"{"events":[\#(list)]}"#
    }

    private static func read(_ recorder: Recorder, _ ids: [String]) {
        recorder.call("ListEvents", .readEvents(self.ann), response: self.events(ids))
    }

    /// Two events are written in one call, which ends as given; then reads show these.
    private static func violation(_ outcome: Outcome?, reads: [[String]]) -> Violation? {
        let recorder = self.recorder()
        let write = recorder.begin("Track", .write([WriteUnit(self.ann, events: ["a", "b"])]))
        if let outcome { recorder.history.end(write, outcome) }
        for ids in reads { self.read(recorder, ids) }
        return recorder.violation
    }

    @Test func acknowledgedWritesAreSeenWholeAndOnce() {
        #expect(Self.violation(.ok, reads: [["a", "b"]]) == nil)
        #expect(Self.violation(.ok, reads: [[]]) != nil)
        #expect(Self.violation(.ok, reads: [["a"]]) != nil)
        #expect(Self.violation(.ok, reads: [["a", "b", "a"]]) != nil)
        #expect(Self.violation(.ok, reads: [["a", "b", "c"]]) != nil)
    }

    @Test func writesWithoutAResponseAreSeenWholeOrNot() {
        for outcome in [nil, Outcome.unknown] {
            #expect(Self.violation(outcome, reads: [[]]) == nil)
            #expect(Self.violation(outcome, reads: [[], ["a", "b"]]) == nil)
            #expect(Self.violation(outcome, reads: [["b"]]) != nil)
        }
    }

    @Test func whatOneReadHasSeenEveryLaterOneSees() {
        #expect(Self.violation(.unknown, reads: [["a", "b"], []]) != nil)
    }

    @Test func rejectedWritesAreNeverSeen() {
        let rejected = Outcome.rejected(status: 5, reason: "PROFILE_NOT_FOUND")
        #expect(Self.violation(rejected, reads: [[]]) == nil)
        #expect(Self.violation(rejected, reads: [["a", "b"]]) != nil)
    }

    @Test func readThatBeganBeforeTheResponseMayMissIt() {
        let recorder = Self.recorder()
        let write = recorder.begin("Track", .write([WriteUnit(Self.ann, events: ["a"])]))
        let read = recorder.begin("ListEvents", .readEvents(Self.ann))
        recorder.history.end(write, .ok)
        recorder.respond(read, Self.events([]))
        #expect(recorder.violation == nil)
    }

    @Test func unknownPersonWithAcknowledgedEventsIsALoss() {
        let recorder = Self.recorder()
        recorder.call("Track", .write([WriteUnit(Self.ann, events: ["a"])]))
        let read = recorder.begin("ListEvents", .readEvents(Self.ann))
        recorder.history.end(read, .rejected(status: 5, reason: "PROFILE_NOT_FOUND"))
        #expect(recorder.violation != nil)
    }

    private static func counters(_ count: Int) -> Violation? {
        let recorder = self.recorder()
        recorder.call("Track", .write([WriteUnit(self.ann, events: ["a", "b"])]))
        recorder.call(
            "GetProfile", .read([self.ann]),
            response: #"{"profile":{"event_counters":[{"name":"visit","count":"\#(count)"}]}}"#)
        return recorder.violation
    }

    @Test func countersCountEachEventOnce() {
        #expect(Self.counters(2) == nil)
        #expect(Self.counters(1) != nil)
        #expect(Self.counters(3) != nil)
    }

    /// An export with these events at the end of a run.
    private static func export(_ ids: [String]) -> Violation? {
        let recorder = self.recorder()
        recorder.call("Track", .write([WriteUnit(PersonKey(0, "crowd"), events: ["a", "b"])]))
        let export = recorder.begin("ExportProject", .exportAll)
        for id in ids { recorder.respond(export, #"{"event":{"event_id":"\#(id)"}}"#) }
        recorder.history.end(export, .ok)
        return recorder.violation
    }

    @Test func exportHasEachEventOnce() {
        #expect(Self.export(["a", "b"]) == nil)
        #expect(Self.export(["a"]) != nil)
        #expect(Self.export([]) != nil)
        #expect(Self.export(["a", "b", "b"]) != nil)
    }
}
