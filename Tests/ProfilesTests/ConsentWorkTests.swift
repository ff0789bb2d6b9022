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
