import ProfileClient
import TestSupport
import Testing

/// Consent, suppressions and tokens through the wire.
@Suite struct NodeConsentTests {
    private static let address = "anna@example.com"

    /// A node that knows a person with an e-mail address.
    private static func start(_ world: TestWorld) throws -> NodeHarness {
        let harness = try world.start()
        let call = try harness.call(
            "Identify",
            #"{"project":"default","custom_id":"anna","attributes":"#
                + #"{"native":{"email_address":"\#(Self.address)"}}}"#)
        #expect(call.status == 0, "\(call.message)")
        return harness
    }

    /// Calls, and lets the next change be later, whatever the resolution of the clock.
    private static func call(
        _ harness: NodeHarness, _ name: String, _ members: String
    ) throws -> WireCall {
        let call = try harness.call(name, #"{"project":"default",\#(members)}"#)
        #expect(call.status == 0, "\(name): \(call.message)")
        try harness.pass(milliseconds: 10)
        return call
    }

    private static let anna = #""identifier":{"custom_id":"anna"}"#

    private static func subscribe(_ harness: NodeHarness, _ state: String) throws -> WireCall {
        try self.call(
            harness, "UpdateSubscription",
            #"\#(Self.anna),"source":"user","changes":[{"channel":"email","state":"\#(state)"}]"#)
    }

    private static func sendable(_ harness: NodeHarness) throws -> String? {
        let call = try self.call(
            harness, "CheckSendable",
            #"\#(Self.anna),"channel":"email","message_class":"marketing""#)
        return call.response?["reason"]?.text
    }

    private static func suppression(_ reason: String) -> String {
        #""channel":"email","address":"\#(Self.address)","reason":"\#(reason)""#
    }

    @Test(arguments: TestLog.allCases)
    func messagesAreSendableOnlyWithConsent(log: TestLog) throws {
        let world = log.world()
        let harness = try Self.start(world)
        #expect(try Self.sendable(harness) == "SENDABLE_REASON_CHANNEL_NOT_SUBSCRIBED")
        let change = try Self.subscribe(harness, "subscribed")
        let result = change.response?["results"]?.items.first
        #expect(result?["applied"]?.isTrue == true)
        #expect(result?["state"]?.text == "SUBSCRIPTION_STATE_SUBSCRIBED")
        #expect(change.response?["entries"]?.items.count == 1)
        #expect(try Self.sendable(harness) == "SENDABLE_REASON_OK")
    }

    @Test(arguments: TestLog.allCases)
    func suppressedAddressIsNotSendableUntilItIsRemoved(log: TestLog) throws {
        let world = log.world()
        let harness = try Self.start(world)
        _ = try Self.subscribe(harness, "subscribed")
        _ = try Self.call(harness, "AddSuppression", Self.suppression("hard_bounce"))
        #expect(try Self.sendable(harness) == "SENDABLE_REASON_HARD_BOUNCE")
        let removed = try Self.call(
            harness, "RemoveSuppression", Self.suppression("hard_bounce"))
        #expect(removed.response?["existed"]?.isTrue == true)
        #expect(try Self.sendable(harness) == "SENDABLE_REASON_OK")
        let again = try Self.call(harness, "RemoveSuppression", Self.suppression("hard_bounce"))
        #expect(again.response?["existed"]?.isTrue != true)
    }

    @Test(arguments: TestLog.allCases)
    func unsubscribeTokenUnsubscribesWhoeverItWasMadeFor(log: TestLog) throws {
        let world = log.world()
        let harness = try Self.start(world)
        _ = try Self.subscribe(harness, "subscribed")
        let made = try Self.call(
            harness, "CreateUnsubscribeToken", #"\#(Self.anna),"channel":"email""#)
        let token = try #require(made.response?["token"]?.text)
        _ = try Self.call(harness, "RedeemUnsubscribeToken", #""token":"\#(token)""#)
        #expect(try Self.sendable(harness) == "SENDABLE_REASON_CHANNEL_NOT_SUBSCRIBED")
        let forged = try harness.call(
            "RedeemUnsubscribeToken", #"{"project":"default","token":"\#(token)x"}"#)
        #expect(forged.status == 3 && forged.reason == "TOKEN_INVALID")
    }

    @Test(arguments: TestLog.allCases)
    func doubleOptInWaitsForItsConfirmation(log: TestLog) throws {
        let world = log.world()
        let harness = try Self.start(world)
        let options = try harness.call(
            .admin("UpdateProject"),
            #"{"project":"default","options":{"double_opt_in":["email"]}}"#)
        #expect(options.status == 0, "\(options.message)")
        let pending = try Self.subscribe(harness, "subscribed")
        let result = pending.response?["results"]?.items.first
        #expect(result?["state"]?.text == "SUBSCRIPTION_STATE_PENDING")
        #expect(try Self.sendable(harness) == "SENDABLE_REASON_CHANNEL_NOT_SUBSCRIBED")
        let token = try #require(result?["confirmation_token"]?.text)
        let confirmed = try Self.call(harness, "ConfirmSubscription", #""token":"\#(token)""#)
        let subscriptions = "\(confirmed.response?["subscriptions"] ?? .null)"
        #expect(subscriptions.contains("STATE_SUBSCRIBED"))
        #expect(try Self.sendable(harness) == "SENDABLE_REASON_OK")
    }

    // MARK: The ledger, over several slices

    /// Changes whose entries take more than the 64 KiB of one slice.
    private static func fillLedger(_ harness: NodeHarness) throws -> Int {
        let batches = 10
        let operations = 20
        let text = String(repeating: "x", count: 500)
        for batch in 0 ..< batches {
            let list = (0 ..< operations).map { number in
                #"{"update_subscription":{\#(Self.anna),"source":"user","evidence":"#
                    + #"{"user_agent":"\#(text)","reference":"\#(text)","actor":"\#(text)"},"#
                    + #""changes":"#
                    + #"[{"channel":"email","topic":"t\#(number)","#
                    + #""state":"\#(batch % 2 == 0 ? "subscribed" : "unsubscribed")"}]}}"#
            }
            let call = try self.call(
                harness, "BatchWrite",
                #""best_effort":true,"operations":[\#(list.joined(separator: ","))]"#)
            #expect(call.response?["results"]?.items.allSatisfy { $0["error"] == nil } == true)
        }
        return batches * operations
    }

    @Test func historyIsListedInPagesThroughAllSlicesOfItsLedger() throws {
        let harness = try Self.start(TestLog.local.world())
        let count = try Self.fillLedger(harness)
        var hashes: [(previous: String?, hash: String?)] = []
        var token = ""
        repeat {
            let page = try Self.call(
                harness, "ListConsentHistory",
                #"\#(Self.anna),"page_size":50,"page_token":"\#(token)""#)
            hashes += (page.response?["entries"]?.items ?? []).map {
                ($0["previous_hash"]?.text, $0["hash"]?.text)
            }
            token = page.response?["next_page_token"]?.text ?? ""
        } while !token.isEmpty && hashes.count <= count
        #expect(hashes.count == count)
        for (entry, next) in zip(hashes, hashes.dropFirst()) {
            #expect(entry.hash != nil && entry.hash == next.previous, "a gap in the chain")
        }
    }

    @Test func ledgerIsVerifiedInSlicesBetweenWhichOtherCallsHaveTheirTurn() throws {
        let harness = try Self.start(TestLog.local.world())
        let count = try Self.fillLedger(harness)
        let walker = try harness.connect()
        let other = try harness.connect()
        try harness.settle()
        let walk = try walker.call(
            .profiles("VerifyConsentLedger"), try Requests.json(Requests.person("anna")))
        let read = try other.call(
            .profiles("GetProfile"), try Requests.json(Requests.person("anna")))
        _ = (walker.turn(), other.turn())
        // Both clients read all the time, the walker first.
        while !read.hasEnded {
            _ = try harness.stepOne()
            _ = (walker.turn(), other.turn())
        }
        #expect(read.status == 0 && !walk.hasEnded)
        try harness.wait(for: "the walk") { walk.hasEnded }
        #expect(walk.response?["valid"]?.isTrue == true, "\(walk.message)")
        #expect(walk.response?["entries"]?.integer == Int64(count))
    }

    /// A change between two slices replaces the ledger: its copy begins again.
    @Test func ledgerThatChangesWhileItIsVerifiedIsValid() throws {
        var changed = 0
        for seed in 1 ... 6 as ClosedRange<UInt64> {
            let harness = try TestLog.local.world().start(order: seed)
            let count = try Self.fillLedger(harness)
            let walker = try harness.connect()
            let writer = try harness.connect()
            try harness.settle()
            let write = try writer.call(
                .profiles("UpdateSubscription"),
                try Requests.json(Requests.subscription("anna", "subscribed", source: "user")))
            for _ in 0 ..< seed { _ = try harness.stepOne() }
            let walk = try walker.call(
                .profiles("VerifyConsentLedger"), try Requests.json(Requests.person("anna")))
            try harness.wait(for: "both") { walk.hasEnded && write.hasEnded }
            #expect(write.status == 0, "\(write.message)")
            #expect(walk.response?["valid"]?.isTrue == true, "seed \(seed) \(walk.message)")
            let entries = walk.response?["entries"]?.integer ?? 0
            #expect(entries == Int64(count) || entries == Int64(count + 1))
            changed += entries == Int64(count + 1) ? 1 : 0
        }
        #expect(changed > 0, "no change came in between")
    }
}
