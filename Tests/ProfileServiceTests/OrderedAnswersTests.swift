import IOSimulation
import Testing

@testable import ProfileService

@Suite struct OrderedAnswersTests {
    private func keep(_ text: String, for ticket: UInt64, in answers: inout OrderedAnswers) {
        Array(text.utf8).withUnsafeBytes { answers.keep($0, for: ticket) }
    }

    @Test func theSecondAnswerWaitsForTheFirst() {
        var answers = OrderedAnswers()
        let first = answers.begin()
        let second = answers.begin()
        #expect(first != 0 && answers.isOldest(first) && !answers.isOldest(second))
        self.keep("two", for: second, in: &answers)
        #expect(answers.next == nil && answers.readyBytes == 3)
        answers.sent()
        #expect(answers.next == Array("two".utf8))
        answers.sent()
        #expect(answers.count == 0 && answers.readyBytes == 0 && answers.next == nil)
    }

    @Test(arguments: 1 ... 50)
    func anyOrderOfCompletionGivesTheOrderOfTheRequests(seed: UInt64) {
        // Requests come and are answered at random; what is sent must be 1, 2, 3 ... and all of it.
        var random = SeededRandom(seed: seed)
        var answers = OrderedAnswers()
        var open: [UInt64] = []
        var sent: [UInt64] = []
        for _ in 0 ..< 2_000 {
            if open.isEmpty || random.next() % 2 == 0 {
                open.append(answers.begin())
            } else {
                let ticket = open.remove(at: Int(random.next() % UInt64(open.count)))
                self.keep(String(ticket), for: ticket, in: &answers)
            }
            while let bytes = answers.next {
                sent.append(UInt64(String(decoding: bytes, as: UTF8.self)) ?? 0)
                answers.sent()
            }
        }
        #expect(sent == (0 ..< UInt64(sent.count)).map { $0 + 1 })
        #expect(answers.count >= open.count && sent.count + answers.count > 900)
    }
}

@Suite struct ServiceStreamStateMachineTests {
    /// A machine with requests under way; `step` was called after each.
    private func machine(requests: Int, max: Int = 4) -> ServiceStreamStateMachine {
        var machine = ServiceStreamStateMachine(requestsInFlightMax: max)
        for _ in 0 ..< requests { _ = machine.answers.begin() }
        return machine
    }

    @Test func theLastAllowedRequestPausesAndHalfOfThemAnsweredResumes() {
        var machine = self.machine(requests: 3)
        let three = machine.step()
        #expect(three == .none)
        _ = machine.answers.begin()
        let four = machine.step()
        let again = machine.step()
        #expect(four == .pause && again == .none)
        machine.answers.sent()
        let left3 = machine.step()
        machine.answers.sent()
        let left2 = machine.step()
        #expect(left3 == .none && left2 == .resume)
    }

    @Test func anAnswerThatTheClientDoesNotReadPauses() {
        var machine = self.machine(requests: 1)
        [UInt8(1)].withUnsafeBytes { machine.answers.keep($0, for: 1) }
        let unread = machine.step()
        machine.answers.sent()
        let read = machine.step()
        #expect(unread == .pause && read == .resume)
    }

    @Test func aPostponedRequestPausesUntilTheLogHasRoom() {
        var machine = self.machine(requests: 0)
        machine.postpone()
        let postponed = machine.step()
        let still = machine.step()
        machine.postponedIsTaken()
        let taken = machine.step()
        #expect(postponed == .pause && still == .none && taken == .resume)
    }

    @Test func anEndWaitsForTheAnswersAndIsToldOnce() {
        var machine = self.machine(requests: 1)
        machine.end(with: .init(.ok, ""))
        machine.end(with: .init(.unavailable, "later reason"))
        let early = machine.step()
        machine.answers.sent()
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
