import ProfileClient
import TestSupport
import Testing

/// Identify by installation through the wire: each row of its table of outcomes.
@Suite struct NodeIdentifyTests {
    /// An Identify of an installation, and of a person if `person` is not empty.
    private static func identify(
        _ harness: NodeHarness, _ installation: String, _ person: String = ""
    ) throws -> WireCall {
        let name = person.isEmpty ? "" : #","custom_id":"\#(person)""#
        let call = try harness.call(
            "Identify", #"{"project":"default","installation_id":"\#(installation)"\#(name)}"#)
        #expect(call.status == 0, "\(call.message)")
        // The next call is later, whatever the resolution of the clock.
        try harness.pass(milliseconds: 10)
        return call
    }

    private static func outcome(_ call: WireCall) -> String? { call.response?["outcome"]?.text }

    private static func profileID(_ call: WireCall) -> String? {
        call.response?["profile"]?["profile_id"]?.text
    }

    private static func installations(_ call: WireCall) -> [String?] {
        (call.response?["profile"]?["installations"]?.items ?? []).map {
            $0["installation_id"]?.text
        }
    }

    @Test(arguments: TestLog.allCases)
    func unknownInstallationIsAttachedToAKnownPerson(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let first = try harness.call("Identify", Requests.identify("anna", #""n":1"#))
        let attached = try Self.identify(harness, "phone", "anna")
        #expect(Self.outcome(attached) == "OUTCOME_ATTACHED")
        #expect(Self.profileID(attached) == Self.profileID(first))
        #expect(Self.installations(attached) == ["phone"])
    }

    @Test(arguments: TestLog.allCases)
    func anonymousProfileIsPromotedAndKeepsItsID(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let created = try Self.identify(harness, "phone")
        #expect(Self.outcome(created) == "OUTCOME_CREATED")
        #expect(created.response?["profile"]?["state"]?.text == "STATE_ANONYMOUS")
        let promoted = try Self.identify(harness, "phone", "anna")
        #expect(Self.outcome(promoted) == "OUTCOME_PROMOTED")
        #expect(promoted.response?["profile"]?["state"]?.text == "STATE_IDENTIFIED")
        #expect(Self.profileID(promoted) == Self.profileID(created))
    }

    @Test(arguments: TestLog.allCases)
    func anonymousProfileIsMergedIntoAKnownPersonAndItsIDIsRedirected(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let anna = try harness.call("Identify", Requests.identify("anna", #""n":1"#))
        let anonymous = try Self.identify(harness, "phone")
        let merged = try Self.identify(harness, "phone", "anna")
        #expect(Self.outcome(merged) == "OUTCOME_MERGED")
        #expect(Self.profileID(merged) == Self.profileID(anna))
        #expect(merged.response?["merge_id"]?.text?.isEmpty == false)
        let old = try #require(Self.profileID(anonymous))
        let read = try harness.call(
            "GetProfile", #"{"project":"default","identifier":{"profile_id":"\#(old)"}}"#)
        #expect(read.response?["redirected_from"]?.text == old)
        #expect(Self.profileID(read) == Self.profileID(anna))
    }

    @Test(arguments: TestLog.allCases)
    func installationOfAnotherPersonIsSwitched(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let anna = try Self.identify(harness, "phone", "anna")
        let bob = try Self.identify(harness, "phone", "bob")
        #expect(Self.outcome(bob) == "OUTCOME_SWITCHED")
        #expect(Self.profileID(bob) != Self.profileID(anna))
        #expect(Self.installations(bob) == ["phone"])
        #expect(Self.installations(try harness.call("GetProfile", Requests.person("anna"))) == [])
    }

    @Test(arguments: TestLog.allCases)
    func loggedOutInstallationGetsAnAnonymousProfileOfItsOwn(log: TestLog) throws {
        let world = log.world()
        let harness = try world.start()
        let anna = try Self.identify(harness, "phone", "anna")
        let out = try harness.call(
            "Identify",
            #"{"project":"default","installation_id":"phone","logged_out":true}"#)
        #expect(Self.outcome(out) == "OUTCOME_LOGGED_OUT", "\(out.message)")
        #expect(out.response?["profile"]?["state"]?.text == "STATE_ANONYMOUS")
        #expect(Self.profileID(out) != Self.profileID(anna))
        #expect(Self.installations(try harness.call("GetProfile", Requests.person("anna"))) == [])
    }
}
