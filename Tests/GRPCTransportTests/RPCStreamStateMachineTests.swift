import Testing

@testable import GRPCTransport

@Suite struct RPCStreamStateMachineTests {
    private static let failure = RPCStatus(.notFound, "no such profile")

    private func accepted(streamsRequests: Bool = false, streamsResponses: Bool = false)
        -> RPCStreamStateMachine
    {
        var machine = RPCStreamStateMachine()
        machine.accept(streamsRequests: streamsRequests, streamsResponses: streamsResponses)
        return machine
    }

    /// A call in each state of its response.
    private enum Stage: CaseIterable {
        case undecided, awaited, sending, deferred, finishing, ended
    }

    private func machine(in stage: Stage) -> RPCStreamStateMachine {
        guard stage != .undecided else { return RPCStreamStateMachine() }
        var machine = self.accepted(streamsRequests: true, streamsResponses: true)
        switch stage {
        case .undecided, .awaited: break
        case .sending: _ = machine.send()
        case .deferred:
            _ = machine.send()
            _ = machine.outputTaken(tookBytes: false)
        case .finishing: _ = machine.respond()
        case .ended: _ = machine.finish(Self.failure)
        }
        return machine
    }

    // MARK: Request

    @Test func oneMessageAndAnEndAreDispatched() {
        var machine = self.accepted()
        #expect(machine.message() == .keep)
        #expect(machine.endOfRequest(isBetweenMessages: true) == .dispatch)
        #expect(!machine.isRequestOpen)
    }

    @Test func aSecondMessageOfAUnaryCallIsRejected() {
        var machine = self.accepted()
        _ = machine.message()
        guard case .reject(let status) = machine.message() else {
            Issue.record("not rejected")
            return
        }
        #expect(status.code == .unimplemented)
    }

    @Test func anEndWithoutAMessageIsRejected() {
        var machine = self.accepted()
        guard case .reject(let status) = machine.endOfRequest(isBetweenMessages: true) else {
            Issue.record("not rejected")
            return
        }
        #expect(status.code == .unimplemented)
    }

    @Test(arguments: [false, true]) func anEndInsideAMessageIsInternal(streamsRequests: Bool) {
        var machine = self.accepted(streamsRequests: streamsRequests)
        guard case .reject(let status) = machine.endOfRequest(isBetweenMessages: false) else {
            Issue.record("not rejected")
            return
        }
        #expect(status.code == .internalError)
    }

    @Test func messagesOfARequestStreamAreDeliveredAtOnce() {
        var machine = self.accepted(streamsRequests: true)
        #expect(machine.message() == .deliver)
        #expect(machine.message() == .deliver)
        #expect(machine.endOfRequest(isBetweenMessages: true) == .ended)
    }

    @Test func aRequestEndsOnce() {
        var machine = self.accepted(streamsRequests: true)
        #expect(machine.endOfRequest(isBetweenMessages: true) == .ended)
        #expect(machine.endOfRequest(isBetweenMessages: true) == .ignore)
        #expect(machine.message() == .ignore)
    }

    @Test(arguments: [Stage.undecided, .finishing, .ended])
    private func aRequestThatNobodyAwaitsIsIgnored(stage: Stage) {
        // END_STREAM races with a rejection from the headers alone.
        var machine = self.machine(in: stage)
        #expect(machine.message() == .ignore)
        #expect(machine.isRequestOpen)
        #expect(machine.endOfRequest(isBetweenMessages: false) == .ignore)
        #expect(!machine.isRequestOpen)
    }

    @Test func theBodyTimerRunsInsideMessagesOnly() {
        var machine = self.accepted(streamsRequests: true)
        #expect(machine.bodyTaken(isInsideMessage: false, hasDelivered: true) == .ignore)
        #expect(machine.bodyTaken(isInsideMessage: true, hasDelivered: false) == .startTimer)
        // More bytes of the same message buy no time; the next message has its own.
        #expect(machine.bodyTaken(isInsideMessage: true, hasDelivered: false) == .ignore)
        _ = machine.message()
        #expect(machine.bodyTaken(isInsideMessage: true, hasDelivered: true) == .startTimer)
        #expect(machine.bodyTaken(isInsideMessage: false, hasDelivered: true) == .stopTimer)
    }

    @Test func theBodyTimerIsNotForUnaryNorFinishedCalls() {
        var unary = self.accepted()
        #expect(unary.bodyTaken(isInsideMessage: true, hasDelivered: false) == .ignore)
        for stage in [Stage.undecided, .finishing, .ended] {
            var machine = self.machine(in: stage)
            #expect(machine.bodyTaken(isInsideMessage: true, hasDelivered: false) == .ignore)
        }
    }

    // MARK: Response

    @Test func aCallIsLiveFromItsAcceptanceToItsEnd() {
        let live = Stage.allCases.filter { self.machine(in: $0).isLive }
        #expect(live == [.awaited, .sending, .deferred])
    }

    @Test(arguments: [
        (Stage.undecided, RPCStreamStateMachine.OnSend.ignore), (.awaited, .start),
        (.sending, .append), (.deferred, .resume), (.finishing, .ignore), (.ended, .ignore),
    ])
    private func sendAndRespondInEveryState(
        stage: Stage, action: RPCStreamStateMachine.OnSend
    ) {
        var sends = self.machine(in: stage)
        #expect(sends.send() == action)
        #expect(sends.isLive == (action != .ignore))
        var responds = self.machine(in: stage)
        #expect(responds.respond() == action)
        #expect(!responds.isLive)
        if action != .ignore { #expect(responds.outputTaken(tookBytes: true) == .end(.ok)) }
    }

    @Test(arguments: [
        (Stage.undecided, RPCStreamStateMachine.OnFinish.trailersOnly), (.awaited, .trailersOnly),
        (.sending, .trailersFollow), (.deferred, .resume), (.finishing, .ignore),
        (.ended, .ignore),
    ])
    private func finishInEveryState(stage: Stage, action: RPCStreamStateMachine.OnFinish) {
        var machine = self.machine(in: stage)
        #expect(machine.finish(Self.failure) == action)
        #expect(!machine.isLive)
        #expect(machine.finish(Self.failure) == .ignore)
    }

    @Test func trailersFollowTheLastOutput() {
        var machine = self.accepted(streamsResponses: true)
        _ = machine.send()
        #expect(machine.outputTaken(tookBytes: true) == .proceed)
        #expect(machine.outputTaken(tookBytes: false) == .suspend)
        #expect(machine.outputTaken(tookBytes: false) == .suspend)
        #expect(machine.finish(Self.failure) == .resume)
        #expect(machine.outputTaken(tookBytes: false) == .end(.status(Self.failure)))
        #expect(machine.outputTaken(tookBytes: false) == .suspend)
    }

    @Test func aPlainOKTakesTheStaticTrailers() {
        for (status, trailers) in [
            (RPCStatus(.ok, ""), RPCStreamStateMachine.Trailers.ok),
            (RPCStatus(.ok, "done"), .status(RPCStatus(.ok, "done"))),
        ] {
            var machine = self.machine(in: .sending)
            _ = machine.finish(status)
            #expect(machine.outputTaken(tookBytes: false) == .end(trailers))
        }
    }

    // MARK: Headroom and end

    @Test func headroomIsAnnouncedOnceForEachTimeItWasExhausted() {
        var machine = self.machine(in: .sending)
        #expect(machine.headroomFreed() == .ignore)
        #expect(machine.full() == .watch)
        #expect(machine.full() == .ignore)
        #expect(machine.awaitsHeadroom)
        #expect(machine.headroomFreed() == .notifyHandler)
        #expect(machine.headroomFreed() == .ignore)
        #expect(machine.full() == .watch)
    }

    @Test func aCallThatEndedWhileItWaitedForHeadroomIsNotNotified() {
        var machine = self.machine(in: .sending)
        _ = machine.full()
        _ = machine.finish(Self.failure)
        #expect(!machine.awaitsHeadroom)
        #expect(machine.headroomFreed() == .ignore)
        #expect(machine.full() == .ignore)
    }

    @Test(arguments: [(false, false), (true, false), (false, true), (true, true)])
    func aDrainIsToldToLiveStreamsOnly(streamsRequests: Bool, streamsResponses: Bool) {
        var machine = self.accepted(
            streamsRequests: streamsRequests, streamsResponses: streamsResponses)
        #expect(
            machine.drain()
                == (streamsRequests || streamsResponses ? .notifyHandler : .ignore))
        _ = machine.finish(Self.failure)
        #expect(machine.drain() == .ignore)
    }

    @Test func aClosedStreamIsCancelledOnceAndOnlyIfItsCallWasLive() {
        for stage in Stage.allCases {
            var machine = self.machine(in: stage)
            let wasLive = machine.isLive
            #expect(machine.close() == (wasLive ? .cancel : .ignore))
            #expect(machine.close() == .ignore)
            #expect(!machine.isRequestOpen && machine.send() == .ignore)
            #expect(machine.finish(Self.failure) == .ignore)
        }
    }
}
