import IOSimulation
import ProfileClient
import ProfileService
import Profiles
import Storage
import TestSupport
import Testing

/// Exports through the wire: their parts, their tokens, slow readers, and every end.
@Suite struct NodeExportTests {
    private static let `operator` = Keys.text(1)
    /// What a client's stream holds back: RFC 9113, section 6.9.2.
    private static let windowBytes = 65_535
    /// Of the event of each Track: three texts, each less than the longest that there may be.
    private static let attributeBytes = 3 * 290

    private static func exports(_ harness: NodeHarness) throws -> ExportCoordinator {
        try #require(harness.node.recovered).exports
    }

    private static func track(
        _ harness: NodeHarness, _ name: String, _ id: String, project: String = "default"
    ) throws {
        let text = String(repeating: "x", count: Self.attributeBytes / 3)
        let request =
            #"{"project":"\#(project)","identifier":{"custom_id":"\#(name)"},"#
            + #""events":[{"event_id":"\#(id)","name":"visit","attributes":{"a":"\#(text)","#
            + #""b":"\#(text)","c":"\#(text)"}}]}"#
        let call = try harness.call("Track", request)
        #expect(call.status == 0, "\(call.message)")
    }

    /// A node with people of several events each, more than a stream's window takes.
    private static func crowd(_ harness: NodeHarness, people: Int = 60) throws {
        for number in 0 ..< people {
            for event in 0 ..< 4 { try Self.track(harness, "p\(number)", "e\(number).\(event)") }
        }
    }

    private static func small(_ configuration: inout NodeConfiguration) {
        configuration.transport.outputBytesPerStreamMax = 1_024
        configuration.exports.batchBytes = 4_096
    }

    private static var names: Set<String> { Set((0 ..< 60).map { "p\($0)" }) }

    // MARK: Parts

    @Test func personComesWholeAtOneLSNWithoutATokenOfAProject() throws {
        let harness = try NodeHarness.serving()
        let identify =
            #"{"project":"default","custom_id":"ann","attributes":{"native":{"#
            + #""email_address":"Ann@example.org"},"set":{"plan":"gold"}}}"#
        #expect(try harness.call("Identify", identify).status == 0)
        for id in ["a", "b"] { try Self.track(harness, "ann", id) }
        let subscribe = Requests.subscription("ann", "SUBSCRIBED", source: "USER")
        #expect(try harness.call("UpdateSubscription", subscribe).status == 0)
        let suppress =
            #"{"project":"default","channel":"EMAIL","address":"ann@EXAMPLE.org","#
            + #""reason":"MANUAL"}"#
        #expect(try harness.call("AddSuppression", suppress).status == 0)
        let head = try #require(harness.node.recovered).store.appliedLSN
        let export = try OpenExport(harness, of: "ann")
        #expect(export.end.status == 0 && export.lsns == Array(repeating: head, count: 5))
        let parts = export.parts
        #expect(parts[0]["profile"]?["attributes"]?["plan"]?["string"]?.text == "gold")
        #expect(parts[0]["profile"]?["attribute_metadata"]?["plan"]?["lsn"]?.description == "2")
        #expect(export.eventIDs == ["a", "b"] && export.tokens.isEmpty)
        #expect(parts[3]["consent_entry"]?["topic"]?.text == "offers")
        #expect(parts[4]["suppression"]?["address"]?.text == "Ann@example.org")
        #expect(parts[4]["suppression"]?["reasons"]?.items.count == 1)
    }

    @Test func everyoneComesOnceWithATokenEach() throws {
        let harness = try NodeHarness.serving()
        try Self.crowd(harness)
        let export = try OpenExport(harness)
        #expect(export.end.status == 0 && Set(export.people) == Self.names)
        #expect(export.people.count == 60 && export.eventIDs.count == 240)
        #expect(Set(export.tokens).count == 60)
        let head = try #require(harness.node.recovered).store.appliedLSN
        #expect(export.lsns.allSatisfy { $0 == head })
        // Each token is on the last part of its person.
        let last = export.parts.filter { $0["page_token"] != nil }
        #expect(last.allSatisfy { $0["event"]?["event_id"]?.text?.hasSuffix(".3") == true })
        let metrics = try Self.exports(harness).metrics
        #expect(metrics.people == 60 && metrics.parts == 300 && metrics.open == 0)
    }

    @Test func exportGoesOnBehindATokenAlsoAfterAKill() throws {
        var harness = try NodeHarness.serving()
        try Self.crowd(harness)
        let whole = try OpenExport(harness)
        for index in [0, 17, 58, 59] {
            let rest = try OpenExport(harness, token: whole.tokens[index])
            #expect(rest.people == Array(whole.people[(index + 1)...]))
            // Somebody who comes later is no matter of the token.
            try Self.track(harness, "p3", "e3.\(index)")
            harness = try NodeHarness.serving(harness.kill(), clock: harness.clock)
        }
        let nobody = try OpenExport(harness, token: whole.tokens[59])
        #expect(nobody.parts.count == 1 && nobody.people.isEmpty && nobody.end.status == 0)
    }

    @Test func tokenOfAnotherProjectOrNoneIsRejected() throws {
        let harness = try NodeHarness.serving()
        #expect(try harness.call(.admin("CreateProject"), #"{"project":"them"}"#).status == 0)
        try Self.track(harness, "ann", "a")
        let token = try #require(try OpenExport(harness).tokens.first)
        for (project, text) in [("them", token), ("default", "x"), ("default", token + "A")] {
            let export = try OpenExport(harness, token: text, project: project)
            #expect(export.end == (3, "INVALID_FIELDS") && export.parts.isEmpty)
        }
        #expect(try OpenExport(harness, token: token).end.status == 0)
    }

    @Test func wrongRequestsAreRejected() throws {
        let harness = try NodeHarness.serving()
        #expect(try OpenExport(harness, of: "bob").end == (5, "PROFILE_NOT_FOUND"))
        #expect(try OpenExport(harness, of: "null").end == (3, "INVALID_FIELDS"))
        #expect(try OpenExport(harness, project: "none").end == (5, "PROJECT_NOT_FOUND"))
        #expect(try OpenExport(harness, of: "bob", project: "none").end.status == 5)
        let metrics = try Self.exports(harness).metrics
        #expect(metrics.people == 0 && metrics.open == 0)
    }

    // MARK: Slow readers

    @Test func readerThatDoesNotReadHoldsUpNobodyAndMissesNothing() throws {
        let harness = try NodeHarness.serving(configure: Self.small)
        try Self.crowd(harness)
        let slow = try OpenExport(harness, isReading: false)
        let fast = try OpenExport(harness)
        #expect(Set(fast.people) == Self.names && slow.call.status == nil)
        let metrics = try Self.exports(harness).metrics
        #expect(metrics.open == 1)
        // What it has read for the slow one is bounded by windows and batches.
        let most = (Self.windowBytes + 1_024 + 3 * 4_096) / Self.attributeBytes + 80
        #expect(metrics.parts - 300 < most && most < 300)
        try Self.track(harness, "late", "l")
        slow.client.isReading = true
        try harness.settle()
        #expect(slow.end.status == 0 && Set(slow.people).isSuperset(of: Self.names))
        #expect(Set(slow.people).count == slow.people.count && metrics.open == 0)
    }

    @Test func readerThatLeavesIsForgotten() throws {
        let harness = try NodeHarness.serving(configure: Self.small)
        try Self.crowd(harness)
        let export = try OpenExport(harness, isReading: false)
        #expect(try Self.exports(harness).metrics.open == 1)
        export.client.close()
        try harness.settle()
        #expect(try Self.exports(harness).metrics.open == 0)
    }

    @Test func oneMoreThanTheMaximumIsRejectedUntilOneEnds() throws {
        let harness = try NodeHarness.serving(configure: { configuration in
            Self.small(&configuration)
            configuration.exports.exportsMax = 2
        })
        try Self.crowd(harness)
        let open = [
            try OpenExport(harness, isReading: false, host: "10.0.0.1"),
            try OpenExport(harness, isReading: false, host: "10.0.0.2"),
        ]
        let over = try OpenExport(harness, of: "p1", host: "10.0.0.3")
        #expect(over.end == (8, "LIMIT_EXCEEDED"))
        #expect(over.call.failure.metadata == ["limit": "exports_max", "maximum": "2"])
        open[0].client.close()
        try harness.settle()
        #expect(try OpenExport(harness, of: "p1", host: "10.0.0.3").end.status == 0)
    }

    @Test func oneAddressGetsHalfOfThePlacesAndAnotherIsServed() throws {
        let harness = try NodeHarness.serving(configure: { configuration in
            Self.small(&configuration)
            configuration.exports.exportsMax = 4
        })
        try Self.crowd(harness)
        let greedy = try (0 ..< 2).map { _ in
            try OpenExport(harness, isReading: false, host: "10.0.0.1")
        }
        let over = try OpenExport(harness, of: "p1", host: "10.0.0.1")
        #expect(over.end == (8, "LIMIT_EXCEEDED"))
        #expect(over.call.failure.metadata == ["limit": "exports_per_peer_max", "maximum": "2"])
        #expect(try OpenExport(harness, of: "p1", host: "10.0.0.2").end.status == 0)
        greedy[0].client.close()
        try harness.settle()
        #expect(try OpenExport(harness, of: "p1", host: "10.0.0.1").end.status == 0)
    }

    // MARK: Erased people

    @Test func erasedPersonIsNotShownAlsoIfEncodedBefore() throws {
        let harness = try NodeHarness.serving(configure: { configuration in
            configuration.transport.outputBytesPerStreamMax = 1_024
        })
        try Self.crowd(harness)
        let order = try OpenExport(harness).people
        let slow = try OpenExport(harness, isReading: false)
        for name in order.suffix(20) {
            #expect(try harness.call("EraseProfile", Requests.person(name)).status == 0)
        }
        slow.client.isReading = true
        try harness.settle()
        #expect(slow.end.status == 0 && slow.people == order.dropLast(20))
        #expect(slow.eventIDs.count == 160)
    }

    @Test func exportOfAPersonWhoIsErasedEnds() throws {
        let harness = try NodeHarness.serving(configure: Self.small)
        for number in 0 ..< 200 { try Self.track(harness, "ann", "e\(number)") }
        let slow = try OpenExport(harness, of: "ann", isReading: false)
        #expect(try harness.call("EraseProfile", Requests.person("ann")).status == 0)
        slow.client.isReading = true
        try harness.settle()
        #expect(slow.end == (5, "PROFILE_NOT_FOUND"))
        #expect(slow.eventIDs.count <= (Self.windowBytes + 1_024) / Self.attributeBytes + 2)
    }

    // MARK: Ends

    @Test func drainEndsExportsThatGoOnWithTheirTokens() throws {
        let harness = try NodeHarness.serving(configure: Self.small)
        try Self.crowd(harness)
        let whole = try OpenExport(harness).people
        let slow = try OpenExport(harness, isReading: false)
        slow.client.isReading = true
        harness.node.beginDrain(graceNanoseconds: 10_000_000_000)
        try harness.settle()
        #expect(slow.end == (14, "DRAINING"))
        let token = try #require(slow.tokens.last)
        let again = try NodeHarness.serving(harness.kill())
        let rest = try OpenExport(again, token: token)
        #expect(slow.people.prefix(slow.tokens.count) + rest.people == whole[...])
    }

    @Test func drainedNodeEndsItsWorker() throws {
        let harness = try NodeHarness.serving(configure: Self.small)
        try Self.crowd(harness, people: 3)
        let export = try OpenExport(harness)
        #expect(export.end.status == 0)
        try harness.drain()
    }

    @Test func deletedProjectIsExportedUntilItsDataGoes() throws {
        let harness = try NodeHarness.serving(configure: { configuration in
            Self.small(&configuration)
            configuration.projectDeleteSeconds = 2
        })
        #expect(try harness.call(.admin("CreateProject"), #"{"project":"them"}"#).status == 0)
        for number in 0 ..< 200 {
            try Self.track(harness, "p\(number)", "e", project: "them")
        }
        let person = try OpenExport(harness, of: "p1", project: "them")
        #expect(person.end.status == 0)
        let slow = try OpenExport(harness, project: "them", isReading: false)
        #expect(try harness.call(.admin("DeleteProject"), #"{"project":"them"}"#).status == 0)
        #expect(try OpenExport(harness, of: "p1", project: "them").end == (9, "PROJECT_DELETED"))
        #expect(try OpenExport(harness, project: "them").people.count == 200)
        try harness.pass(milliseconds: 2_500)
        slow.client.isReading = true
        try harness.settle()
        #expect(slow.end == (9, "PROJECT_DELETED") && slow.people.count < 100)
        #expect(try OpenExport(harness, project: "them").end.status != 0)
        #expect(try Self.exports(harness).metrics.open == 0)
    }

    @Test func exportOfAProjectNeedsTheScopeExport() throws {
        let harness = try NodeHarness.serving(
            access: AccessControl(operatorKeys: [Keys.operator(1)]))
        var keys: [String] = []
        for scopes in [#"["SCOPE_READ","SCOPE_WRITE"]"#, #"["SCOPE_EXPORT"]"#] {
            let made = try harness.call(
                .admin("CreateKey"), #"{"project":"default","scopes":\#(scopes)}"#,
                key: Self.operator)
            keys.append(try #require(made.response?["key"]?.text))
        }
        #expect(try OpenExport(harness, key: keys[0]).end == (7, "SCOPE_MISSING"))
        #expect(try OpenExport(harness, key: keys[1]).end.status == 0)
        #expect(try OpenExport(harness, of: "a", key: keys[0]).end == (5, "PROFILE_NOT_FOUND"))
        #expect(try OpenExport(harness, of: "a", key: keys[1]).end == (7, "SCOPE_MISSING"))
        #expect(try OpenExport(harness).end == (16, "KEY_INVALID"))
    }

    @Test func revokedKeyEndsItsExport() throws {
        let harness = try NodeHarness.serving(
            access: AccessControl(operatorKeys: [Keys.operator(1)]), configure: Self.small)
        let made = try harness.call(
            .admin("CreateKey"), #"{"project":"default","scopes":["SCOPE_EXPORT"]}"#,
            key: Self.operator)
        for number in 0 ..< 200 {
            let call = try harness.call(
                "Track", Requests.track("p\(number)", (0 ..< 9).map { "e\($0)" }),
                key: Self.operator)
            #expect(call.status == 0)
        }
        let key = try #require(made.response?["key"]?.text)
        let export = try OpenExport(harness, key: key, isReading: false)
        let id = try #require(made.response?["key_id"]?.text)
        let revoke = #"{"project":"default","key_id":"\#(id)"}"#
        #expect(try harness.call(.admin("RevokeKey"), revoke, key: Self.operator).status == 0)
        try harness.pass(milliseconds: 1_000)
        export.client.isReading = true
        try harness.settle()
        #expect(export.end == (16, "KEY_INVALID"))
        #expect(try Self.exports(harness).metrics.open == 0)
    }
}
