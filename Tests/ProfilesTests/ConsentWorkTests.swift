import Bytes
import Testing

@testable import Profiles

/// The evaluation of consent as a part of its own: no store, no log.
@Suite struct ConsentWorkTests {
    private func work() -> ConsentWork {
        ConsentWork(
            kind: .updateSubscription,
            call: CallContext(firstLSN: 9, lsn: 9, receivedAt: 100, rules: .current),
            project: ProjectID(rawValue: 1))
    }

    private func change(_ state: SubscriptionState, at time: Int64) -> ConsentChange {
        ConsentChange(channel: .email, state: state, source: .user, effectiveTime: time)
    }

    @Test func laterChangeSeesWhatTheEarlierOneLeft() {
        var work = self.work()
        withBytes("news") { topic in
            #expect(work.evaluate(self.change(.subscribed, at: 10), topic: topic, lsn: 9) == .none)
            #expect(
                work.evaluate(self.change(.unsubscribed, at: 5), topic: topic, lsn: 10) == .none)
            #expect(
                work.evaluate(self.change(.unsubscribed, at: 20), topic: topic, lsn: 11) == .none)
        }
        #expect(work.evaluated.map(\.applied) == [true, false, true])
        #expect(work.evaluated.map(\.after) == [.subscribed, .subscribed, .unsubscribed])
        #expect(work.isVisible && work.part.keys.count == 1)
    }

    @Test func mergeNotesWhatDiffersOnly() {
        var own = self.work()
        own.merge(ConsentPart())
        #expect(own.evaluated.isEmpty)
        // Topics are borrowed, so the lost part is read while its texts are there.
        withBytes("t") { topic in
            var lost = self.work()
            _ = lost.evaluate(self.change(.unsubscribed, at: 10), topic: topic, lsn: 9)
            own.merge(lost.part)
            #expect(own.evaluated.map(\.after) == [.unsubscribed])
            #expect(own.evaluated.first?.source == .system)
            own.merge(lost.part)
            #expect(own.evaluated.count == 1, "the same again is no change")
        }
    }

    @Test func unsetTopicsTakeNoHeadroomAndAreRememberedUpToABound() {
        var work = self.work()
        let topics = (0 ..< 130).map { Array("t\($0 + 100)".utf8) }
        func evaluate(_ index: Int, _ state: SubscriptionState) -> Rejection {
            topics[index].withUnsafeBytes {
                // Topics are borrowed and must live as long as the work.
                work.evaluate(
                    self.change(state, at: 10 + Int64(index)), topic: $0, lsn: 9)
            }
        }
        withExtendedLifetime(topics) {
            for index in 0 ..< 60 { #expect(evaluate(index, .unset) == .none) }
            for index in 0 ..< 25 { #expect(evaluate(index, .subscribed) == .none) }
            #expect(evaluate(25, .subscribed) == .limitExceeded)
            #expect(evaluate(26, .unset) == .none)
            #expect(evaluate(27, .unsubscribed) == .none, "an opt-out is never rejected")
            #expect(evaluate(0, .unset) == .none)
            #expect(evaluate(0, .subscribed) == .limitExceeded, "the opt-out counts")
            for index in 60 ..< 130 { #expect(evaluate(index, .unset) == .none) }
        }
        #expect(work.part.topicCount(.email) == ConsentPart.topicsPerChannelRemembered)
        let states = work.part.keys.map(\.stored.state)
        #expect(states.count(where: { $0 == .subscribed }) == 24)
        #expect(states.count(where: { $0 == .unsubscribed }) == 1)
        #expect(work.part.keys.contains { $0.stored.effectiveTime == 139 })
        #expect(
            !work.part.keys.contains { $0.stored.effectiveTime == 38 }, "the oldest are dropped")
    }

    @Test func resetKeepsOptOuts() {
        var work = self.work()
        withBytes("out") { out in
            withBytes("in") { topic in
                _ = work.evaluate(self.change(.unsubscribed, at: 10), topic: out, lsn: 9)
                _ = work.evaluate(self.change(.subscribed, at: 10), topic: topic, lsn: 9)
                work.evaluated = []
                work.reset(.email)
                #expect(work.evaluated.map(\.before) == [.subscribed])
                #expect(work.part.find(.email, out)?.stored.state == .unsubscribed)
                #expect(work.part.find(.email, topic)?.stored.state == .unset)
            }
        }
    }
}
