import Testing

@testable import GRPCTransport

@Suite struct RequestFlowTests {
    @Test func bytesAndEndGoUpWhileNothingIsPaused() {
        var flow = RequestFlow()
        #expect(flow.bytes() == .deliver)
        let end = flow.end()
        #expect(end == .deliver)
    }

    @Test func aPausedStreamHoldsBytesAndEnd() {
        var flow = RequestFlow()
        flow.pause()
        #expect(flow.isPaused && flow.bytes() == .hold)
        let end = flow.end()
        #expect(end == .hold)
    }

    @Test func bytesThatComeBeforeTheHeldOnesAreDeliveredStayBehindThem() {
        var flow = RequestFlow()
        flow.pause()
        let resumed = flow.resume()
        #expect(resumed == .schedule && !flow.isPaused && flow.bytes() == .hold)
        let delivered = flow.delivered()
        #expect(delivered == .flow && flow.bytes() == .deliver)
    }

    @Test func aHeldEndComesAfterTheLastHeldByteAndOnce() {
        var flow = RequestFlow()
        flow.pause()
        _ = flow.end()
        _ = flow.resume()
        let first = flow.delivered()
        #expect(first == .end)
        flow.pause()
        _ = flow.resume()
        let second = flow.delivered()
        #expect(second == .flow)
    }

    @Test func aPauseWhileHeldBytesAreDeliveredKeepsTheRestAndTheEnd() {
        var flow = RequestFlow()
        flow.pause()
        _ = flow.end()
        _ = flow.resume()
        flow.pause()
        let delivered = flow.delivered()
        #expect(delivered == .wait)
        let resumed = flow.resume()
        #expect(resumed == .schedule)
        let rest = flow.delivered()
        #expect(rest == .end)
    }

    @Test func aStreamIsScheduledOnceHoweverOftenItIsResumed() {
        var flow = RequestFlow()
        let unpaused = flow.resume()
        #expect(unpaused == .ignore)
        flow.pause()
        let first = flow.resume()
        let second = flow.resume()
        #expect(first == .schedule && second == .ignore)
    }

    @Test func requestsThatHaveFailedGoNowhere() {
        var flow = RequestFlow()
        flow.pause()
        _ = flow.end()
        flow.fail()
        flow.pause()
        let resumed = flow.resume()
        let end = flow.end()
        let delivered = flow.delivered()
        #expect(flow.isPaused && flow.bytes() == .discard)
        #expect(resumed == .ignore && end == .discard && delivered == .wait)
    }
}
