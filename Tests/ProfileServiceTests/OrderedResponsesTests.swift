import IOSimulation
import Testing

@testable import ProfileService

@Suite struct OrderedResponsesTests {
    private func keep(_ text: String, for ticket: UInt64, in responses: inout OrderedResponses) {
        Array(text.utf8).withUnsafeBytes { responses.keep($0, for: ticket) }
    }

    @Test func theSecondResponseWaitsForTheFirst() {
        var responses = OrderedResponses()
        let first = responses.begin()
        let second = responses.begin()
        #expect(first != 0 && responses.isOldest(first) && !responses.isOldest(second))
        self.keep("two", for: second, in: &responses)
        #expect(responses.next == nil && responses.readyBytes == 3)
        responses.sent()
        #expect(responses.next == Array("two".utf8))
        responses.sent()
        #expect(responses.count == 0 && responses.readyBytes == 0 && responses.next == nil)
    }

    @Test(arguments: 1 ... 50)
    func anyOrderOfCompletionGivesTheOrderOfTheRequests(seed: UInt64) {
        // Requests come and complete at random; what is sent must be 1, 2, 3 ... and all of it.
        var random = SeededRandom(seed: seed)
        var responses = OrderedResponses()
        var open: [UInt64] = []
        var sent: [UInt64] = []
        for _ in 0 ..< 2_000 {
            if open.isEmpty || random.next() % 2 == 0 {
                open.append(responses.begin())
            } else {
                let ticket = open.remove(at: Int(random.next() % UInt64(open.count)))
                self.keep(String(ticket), for: ticket, in: &responses)
            }
            while let bytes = responses.next {
                sent.append(UInt64(String(decoding: bytes, as: UTF8.self)) ?? 0)
                responses.sent()
            }
        }
        #expect(sent == (0 ..< UInt64(sent.count)).map { $0 + 1 })
        #expect(responses.count >= open.count && sent.count + responses.count > 900)
    }
}

@Suite struct OrderedStreamStateMachineTests {
    /// A machine with requests under way; `step` was called after each.
    private func machine(requests: Int, max: Int = 4) -> OrderedStreamStateMachine {
        var machine = OrderedStreamStateMachine(requestsInFlightMax: max)
        for _ in 0 ..< requests { _ = machine.responses.begin() }
        return machine
    }

    @Test func theLastAllowedRequestPausesAndHalfOfTheResponsesResume() {
        var machine = self.machine(requests: 3)
        let three = machine.step()
        #expect(three == .none)
        _ = machine.responses.begin()
        let four = machine.step()
        let again = machine.step()
        #expect(four == .pause && again == .none)
        machine.responses.sent()
        let left3 = machine.step()
        machine.responses.sent()
        let left2 = machine.step()
        #expect(left3 == .none && left2 == .resume)
    }

    @Test func anResponseThatTheClientDoesNotReadPauses() {
        var machine = self.machine(requests: 1)
        [UInt8(1)].withUnsafeBytes { machine.responses.keep($0, for: 1) }
        let unread = machine.step()
        machine.responses.sent()
        let read = machine.step()
        #expect(unread == .pause && read == .resume)
    }

    @Test func aPostponedRequestPausesUntilTheLogHasHeadroom() {
        var machine = self.machine(requests: 0)
        machine.postpone()
        let postponed = machine.step()
        let still = machine.step()
        machine.postponedIsTaken()
        let taken = machine.step()
        #expect(postponed == .pause && still == .none && taken == .resume)
    }

    @Test func anEndWaitsForTheResponsesAndIsToldOnce() {
        var machine = self.machine(requests: 1)
        machine.end(with: .init(.ok, ""))
        machine.end(with: .init(.unavailable, "later reason"))
        let early = machine.step()
        machine.responses.sent()
        let done = machine.step()
        let after = machine.step()
        #expect(early == .none && done == .finish(.init(.ok, "")) && after == .none)
    }

    @Test func anEndWithoutRequestsIsAtOnceAlsoWhenPaused() {
        var machine = self.machine(requests: 0)
        machine.postpone()
        _ = machine.step()
        machine.end(with: .init(.unavailable, "draining"))
        let step = machine.step()
        #expect(step == .finish(.init(.unavailable, "draining")))
    }
}
