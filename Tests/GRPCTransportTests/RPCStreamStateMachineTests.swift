import Testing

@testable import GRPCTransport

@Suite struct RPCStreamStateMachineTests {
    @Test func oneMessageAndAnEndAreDispatched() {
        var machine = RPCStreamStateMachine(streamsRequests: false)
        let step1 = machine.message()
        #expect(step1 == .keep)
        let step2 = machine.endOfRequest(isBetweenMessages: true)
        #expect(step2 == .dispatch)
        let step3 = machine.send()
        #expect(step3 == .startAndSend)
        let step4 = machine.finish()
        #expect(step4 == .trailersAfterMessages)
        let step5 = machine.finish()
        #expect(step5 == .ignore)
    }

    @Test func aSecondMessageOfAUnaryCallIsRejected() {
        var machine = RPCStreamStateMachine(streamsRequests: false)
        _ = machine.message()
        guard case .reject(let status) = machine.message() else {
            Issue.record("not rejected")
            return
        }
        #expect(status.code == .unimplemented)
    }

    @Test func anEndWithoutAMessageIsRejected() {
        var machine = RPCStreamStateMachine(streamsRequests: false)
        guard case .reject(let status) = machine.endOfRequest(isBetweenMessages: true) else {
            Issue.record("not rejected")
            return
        }
        #expect(status.code == .unimplemented)
    }

    @Test func anEndInsideAMessageIsInternal() {
        var machine = RPCStreamStateMachine(streamsRequests: true)
        guard case .reject(let status) = machine.endOfRequest(isBetweenMessages: false) else {
            Issue.record("not rejected")
            return
        }
        #expect(status.code == .internalError)
    }

    @Test func messagesOfARequestStreamAreDeliveredAtOnce() {
        var machine = RPCStreamStateMachine(streamsRequests: true)
        let step6 = machine.message()
        #expect(step6 == .deliver)
        let step7 = machine.message()
        #expect(step7 == .deliver)
        let step8 = machine.send()
        #expect(step8 == .startAndSend)
        let step9 = machine.send()
        #expect(step9 == .send)
        let step10 = machine.endOfRequest(isBetweenMessages: true)
        #expect(step10 == .ended)
        let step11 = machine.finish()
        #expect(step11 == .trailersAfterMessages)
    }

    @Test func afterTheResponseTheRequestIsIgnored() {
        var machine = RPCStreamStateMachine(streamsRequests: false)
        let step12 = machine.finish()
        #expect(step12 == .trailersOnly)
        let step13 = machine.message()
        #expect(step13 == .ignore)
        let step14 = machine.endOfRequest(isBetweenMessages: true)
        #expect(step14 == .ignore)
        let step15 = machine.send()
        #expect(step15 == .ignore)
    }

    @Test func aClosedStreamTakesNothing() {
        var machine = RPCStreamStateMachine(streamsRequests: false)
        _ = machine.message()
        machine.close()
        #expect(!machine.awaitsResponse)
        let step16 = machine.send()
        #expect(step16 == .ignore)
        let step17 = machine.finish()
        #expect(step17 == .ignore)
    }
}
