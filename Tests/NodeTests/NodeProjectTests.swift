import ProfileClient
import TestSupport
import Testing

/// The project and its options through the wire.
@Suite struct NodeProjectTests {
    @Test(arguments: TestLog.allCases)
    func changedOptionsAreShownAndSurviveAStart(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let updated = try harness.call(
            .admin("UpdateProject"),
            #"{"project":"default","options":{"event_retention_days":7,"#
                + #""merge_policy":"latest_wins"}}"#)
        #expect(updated.response?["options"]?["event_retention_days"]?.integer == 7)
        let read = try harness.call(.admin("GetProject"), #"{"project":"default"}"#)
        #expect(read.response?["options"] == updated.response?["options"])
        #expect(read.response?["options"]?["merge_policy"]?.text == "MERGE_POLICY_LATEST_WINS")
        #expect("\(read.response?["limits"] ?? .null)".contains("events_per_profile"))
        let again = try world.start(harness.kill())
        let list = try again.call(.admin("ListProjects"), "{}")
        #expect(list.response?["projects"]?.items.map { $0["project"]?.text } == ["default"])
        #expect(
            list.response?["projects"]?.items.first?["options"] == updated.response?["options"])
    }

    @Test func updateMaskIsUnimplementedByItsName() throws {
        let harness = try NodeHarness.serving()
        let call = try harness.call(
            .admin("UpdateProject"),
            #"{"project":"default","options":{"event_retention_days":7},"#
                + #""update_mask":"event_retention_days"}"#)
        #expect(call.status == RPCFailure.unimplemented)
        #expect(call.message.contains("update_mask"), "\(call.message)")
        let read = try harness.call(.admin("GetProject"), #"{"project":"default"}"#)
        #expect(read.response?["options"]?["event_retention_days"]?.integer != 7)
    }

    @Test func optionsBeyondTheDirectorysLimitsAreInvalid() throws {
        let harness = try NodeHarness.serving()
        let call = try harness.call(
            .admin("UpdateProject"),
            #"{"project":"default","options":{"event_retention_days":1000000}}"#)
        #expect(call.status == 3)
        #expect(call.failure.violations.map(\.field) == ["options.event_retention_days"])
    }

    /// A client learns whether it may retry without a request id.
    @Test func deposedNodeSaysThatItDoesNotLead() throws {
        let world = TestLog.replicated.world()
        let harness = try world.start()
        #expect(try harness.call("Track", Requests.track("anna", ["e1"])).status == 0)
        world.cluster?.depose()
        try harness.settle()
        let rejected = try harness.call("Track", Requests.track("anna", ["e2"]))
        #expect(rejected.status == RPCFailure.unavailable)
        #expect(rejected.reason == "NOT_LEADER", "\(rejected.message)")
    }
}
