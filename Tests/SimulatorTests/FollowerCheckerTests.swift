import Simulator
import Testing

/// Wrong histories of the feed, of firings and of consent.
@Suite struct FollowerCheckerTests {
    private static let ann = PersonKey(0, "ann")

    // MARK: The feed

    private static func heartbeat(_ lsn: Int) -> String { #"{"lsn":"\#(lsn)"}"# }

    private static func change(_ lsn: Int, _ event: String) -> String {
        #"{"lsn":"\#(lsn)","change":{"kind":"CHANGE_KIND_EVENT_STORED","profile_id":"p","#
            + #""event":{"event_id":"\#(event)"}}}"#
    }

    /// Follows from position 3 on, where `a` is stored at 5 and `b` at 6, with these messages on
    /// streams that begin at these positions.
    private static func feed(_ streams: [(UInt64, [String])]) -> Violation? {
        let checker = FeedChecker()
        let recorder = Recorder { (event) throws(Violation) in try checker.observe(event) }
        for (id, lsn) in [("a", 5), ("b", 6)] {
            recorder.call(
                "Track", .write([WriteUnit(self.ann, events: [id])]),
                response: #"{"lsn":"\#(lsn)","results":[{"event_id":"\#(id)","lsn":"\#(lsn)","#
                    + #""status":"EVENT_STATUS_STORED"}]}"#)
        }
        for (from, messages) in streams {
            let watch = recorder.begin("Watch", .watch(from: from), client: "watch")
            for message in messages { recorder.respond(watch, message) }
            recorder.history.end(watch, .unknown)
        }
        do throws(Violation) { try checker.finish() } catch { return recorder.violation ?? error }
        return recorder.violation
    }

    @Test func feedWithoutGapOrDuplicateIsTaken() {
        #expect(
            Self.feed([(0, [Self.heartbeat(3), Self.change(5, "a"), Self.change(6, "b")])]) == nil)
        #expect(
            Self.feed([
                (0, [Self.heartbeat(3), Self.change(5, "a")]),
                (5, [Self.change(5, "a"), Self.change(6, "b"), Self.heartbeat(9)]),
            ]) == nil)
        // Both were stored before its beginning.
        #expect(Self.feed([(0, [Self.heartbeat(6), Self.heartbeat(9)])]) == nil)
    }

    @Test func gapIsRefused() {
        #expect(
            Self.feed([(0, [Self.heartbeat(3), Self.change(5, "a"), Self.heartbeat(9)])]) != nil)
        #expect(
            Self.feed([
                (0, [Self.heartbeat(3)]), (4, [Self.change(6, "b"), Self.heartbeat(9)]),
            ]) != nil)
    }

    @Test func duplicateAndStepBackAreRefused() {
        #expect(
            Self.feed([(0, [Self.heartbeat(3), Self.change(5, "a"), Self.change(5, "a")])]) != nil)
        #expect(
            Self.feed([
                (
                    0,
                    [
                        Self.heartbeat(3), Self.change(5, "a"), Self.change(6, "b"),
                        Self.change(5, "a"),
                    ]
                )
            ]) != nil)
    }

    @Test func followersAreShownTheSame() {
        let checker = FeedChecker()
        let recorder = Recorder { (event) throws(Violation) in try checker.observe(event) }
        for (client, event) in [("one", "a"), ("two", "b")] {
            let watch = recorder.begin("Watch", .watch(from: 1), client: client)
            recorder.respond(watch, Self.change(2, event))
            recorder.respond(watch, Self.heartbeat(4))
        }
        #expect(throws: Violation.self) { try checker.finish() }
    }

    // MARK: Firings

    /// `visit` is stored; consumers are shown these firings, and settle the first if told to.
    private static func firings(
        _ shown: [(String, String)], isSettled: Bool = false, again: Bool = false
    ) -> Violation? {
        let checker = FiringChecker()
        let recorder = Recorder { (event) throws(Violation) in try checker.observe(event) }
        recorder.call("Track", .write([WriteUnit(self.ann, events: ["e"], fires: true)]))
        func deliver(_ firing: String, _ event: String) {
            let call = recorder.begin("WatchTriggers", .consume(trigger: "t"))
            recorder.respond(
                call, #"{"firing_id":"\#(firing)","event":{"event_id":"\#(event)"}}"#)
        }
        for (firing, event) in shown { deliver(firing, event) }
        if isSettled {
            recorder.call("WatchTriggers", .settle(trigger: "t", firings: [shown[0].0]))
        }
        if again { deliver(shown[0].0, shown[0].1) }
        do throws(Violation) { try checker.finish() } catch { return recorder.violation ?? error }
        return recorder.violation
    }

    @Test func firingIsDeliveredUntilItIsSettled() {
        #expect(Self.firings([("f", "e"), ("f", "e")], isSettled: true) == nil)
        #expect(Self.firings([("f", "e")], again: true) == nil)
        #expect(Self.firings([("f", "e")], isSettled: true, again: true) != nil)
    }

    @Test func lostDoubledAndInventedFiringsAreRefused() {
        #expect(Self.firings([]) != nil)
        #expect(Self.firings([("f", "e"), ("g", "e")]) != nil)
        #expect(Self.firings([("f", "e"), ("g", "other")]) != nil)
    }

    // MARK: Consent

    private static let optOut =
        #"{"profile_id":"p","subscriptions":{"items":[{"#
        + #""channel":"CHANNEL_EMAIL","state":"SUBSCRIPTION_STATE_UNSUBSCRIBED"}]}}"#
    private static let subscribed =
        #"{"profile":{"profile_id":"p","subscriptions":{"items":[{"#
        + #""channel":"CHANNEL_EMAIL","state":"SUBSCRIPTION_STATE_SUBSCRIBED"}]}}}"#

    private static func request(_ state: String, _ source: String) -> String {
        #"{"identifier":{"custom_id":"ann"},"source":"\#(source)","#
            + #""changes":[{"channel":"email","state":"\#(state)"}]}"#
    }

    /// An opt-out, then what `body` does, then somebody is shown who is subscribed.
    private static func consent(_ body: (Recorder) -> Void) -> Violation? {
        let checker = ConsentChecker()
        let recorder = Recorder { (event) throws(Violation) in try checker.observe(event) }
        recorder.call(
            "UpdateSubscription", .consent(self.ann), self.request("unsubscribed", "api"),
            response: self.optOut)
        body(recorder)
        recorder.call("GetProfile", .readConsent(self.ann), response: self.subscribed)
        return recorder.violation
    }

    @Test func onlyAnOwnOptInSubscribesAgain() {
        #expect(Self.consent { _ in } != nil)
        #expect(
            Self.consent { recorder in
                recorder.call(
                    "UpdateSubscription", .consent(Self.ann), Self.request("subscribed", "user"))
            } == nil)
        #expect(
            Self.consent { recorder in
                recorder.call(
                    "UpdateSubscription", .consent(Self.ann), Self.request("subscribed", "api"))
            } != nil)
        // A confirmation of what another profile of the person asked for, before both were merged.
        for (profile, isAllowed) in [("q", true), ("p", false)] {
            let violation = Self.consent { recorder in
                recorder.call(
                    "UpdateSubscription", .consent(Self.ann), Self.request("subscribed", "api"),
                    response: #"{"profile_id":"\#(profile)","#
                        + #""results":[{"confirmation_token":"t"}]}"#)
                recorder.call("ConfirmSubscription", .consent(Self.ann), #"{"token":"t"}"#)
            }
            #expect((violation == nil) == isAllowed, "\(profile)")
        }
        // One that was rejected has undone nothing.
        #expect(
            Self.consent { recorder in
                let call = recorder.begin(
                    "UpdateSubscription", .consent(Self.ann), Self.request("subscribed", "user"))
                recorder.history.end(call, .rejected(status: 9, reason: "USER_UNSUBSCRIBED"))
            } != nil)
    }

    @Test func ledgerKeepsItsEntries() {
        func ledger(_ method: String, _ response: String) -> Violation? {
            let checker = ConsentChecker()
            let recorder = Recorder { (event) throws(Violation) in try checker.observe(event) }
            recorder.call(
                "UpdateSubscription", .consent(Self.ann), Self.request("subscribed", "user"),
                response: #"{"profile_id":"p","entries":[{"hash":"h1"}]}"#)
            recorder.call(method, .readConsent(Self.ann), response: response)
            return recorder.violation
        }
        #expect(ledger("ListConsentHistory", #"{"entries":[{"hash":"h1"}]}"#) == nil)
        #expect(ledger("ListConsentHistory", #"{"entries":[{"hash":"h2"}]}"#) != nil)
        #expect(ledger("VerifyConsentLedger", #"{"valid":true,"entries":"1"}"#) == nil)
        #expect(ledger("VerifyConsentLedger", #"{"entries":"1"}"#) != nil)
    }
}
