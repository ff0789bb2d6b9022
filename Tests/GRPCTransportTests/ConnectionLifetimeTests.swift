import TestSupport
import Testing

@testable import GRPCTransport

/// Connections of a whole loop, from accept to close.
@Suite struct ConnectionLifetimeTests {
    private func started(limits: TransportLimits = TransportLimits()) throws -> LoopHarness {
        let harness = try LoopHarness(limits: limits)
        try harness.loop.start()
        return harness
    }

    private func openUnary(_ stream: UInt32) -> [UInt8] {
        Frames.open(stream, "/t.T/Unary") + Frames.data(stream, Frames.message([1]), end: true)
    }

    // MARK: Driving

    @Test func aStepSaysWhenTheNextIsDue() throws {
        let harness = try self.started()
        #expect(harness.step() == .whenWoken)
        harness.connect()
        // The timeouts of the connection are in the wheel.
        #expect(harness.next == .after(nanoseconds: TimerWheel.slotNanoseconds))
        harness.send(Frames.open(1, "/t.T/Both") + Frames.data(1, Frames.message([1])))
        harness.handler.onMessage = { harness.loop.pauseRequests(of: $0.token) }
        harness.step()
        harness.loop.resumeRequests(of: harness.handler.token!)
        harness.loop.stop()
        #expect(harness.step() == .ended)
        harness.loop.finish()
        #expect(harness.client.isClosed && !harness.isListening)
        #expect(harness.handler.events == ["cancelled"])
    }

    @Test func aResumedCallMakesTheNextStepDueAtOnce() throws {
        let harness = try self.started()
        harness.connect()
        harness.handler.onMessage = { harness.loop.pauseRequests(of: $0.token) }
        harness.handler.onBeforeSleep = {
            if let token = harness.handler.token { harness.loop.resumeRequests(of: token) }
        }
        harness.send(
            Frames.open(1, "/t.T/Both")
                + Frames.data(1, Frames.message([1]) + Frames.message([2]) + Frames.message([3])))
        #expect(harness.step() == .now)
        #expect(harness.step() == .now)
        #expect(harness.handler.messages == [[1], [2]])
    }

    @Test func acceptingPausesWithoutDescriptorsAndComesBack() throws {
        let harness = try self.started()
        harness.network.isExhausted = true
        harness.connectSilently()
        #expect(!harness.isAccepting)
        harness.network.isExhausted = false
        harness.clock.advance(nanoseconds: 99_000_000)
        harness.step()
        #expect(!harness.isAccepting)
        harness.clock.advance(nanoseconds: 1_000_000)
        harness.step()
        harness.step()
        #expect(harness.isAccepting && harness.loop.metrics.connections == 1)
    }

    @Test func aConnectionBeyondTheLimitIsClosedAtOnce() throws {
        var limits = TransportLimits()
        limits.connectionsMax = 1
        let harness = try self.started(limits: limits)
        harness.connect()
        harness.send(Frames.open(1, "/t.T/Both"))
        harness.step()
        let second = harness.connectSilently()
        #expect(second.isClosed && second.goaways == ["11 too_many_connections"])
        #expect(!harness.client.isClosed)
        #expect(harness.ends == ["too_many_connections": 1])
    }

    @Test func theMostIdleConnectionYieldsToANewOne() throws {
        var limits = TransportLimits()
        limits.connectionsMax = 3
        let harness = try self.started(limits: limits)
        let busy = harness.connect()
        busy.send(Frames.open(1, "/t.T/Both"))
        harness.pass(seconds: 1)
        let idle = harness.connect()
        harness.pass(seconds: 1)
        let used = harness.connect()
        let fourth = harness.connect()
        #expect(idle.isClosed && idle.goaways == ["0 idle_and_too_many_connections"])
        #expect(!busy.isClosed && !used.isClosed && !fourth.isClosed)
        #expect(harness.ends == ["yielded": 1] && harness.loop.metrics.connections == 3)
    }

    @Test func newConnectionsYieldToEachOtherBeforeAClientBetweenTwoCallsDoes() throws {
        var limits = TransportLimits()
        limits.connectionsMax = 3
        let harness = try self.started(limits: limits)
        let used = harness.connect()
        used.send(Frames.open(1, "/t.T/Both") + Frames.frame(Frames.reset, 0, 1, [0, 0, 0, 8]))
        harness.step()
        let others = (0 ..< 6).map { _ in harness.connect() }
        #expect(!used.isClosed && others.count(where: \.isClosed) == 4)
        harness.pass(seconds: 2)
        let late = (0 ..< 3).map { _ in harness.connect() }
        #expect(used.isClosed && late.allSatisfy { !$0.isClosed })
    }

    @Test func onePeerHasItsShareOfTheConnections() throws {
        var limits = TransportLimits()
        limits.connectionsPerPeerMax = 2
        let harness = try self.started(limits: limits)
        harness.connect()
        let second = harness.connect()
        let third = harness.connectSilently()
        let reason = "11 too_many_connections_of_address"
        #expect(third.isClosed && third.goaways == [reason])
        second.close()
        harness.step()
        harness.step()
        #expect(!harness.connect().isClosed && harness.loop.peers.count == 1)
        harness.clientsClose()
        harness.step()
        #expect(harness.loop.peers.isEmpty)
    }

    // MARK: Timeouts

    @Test func aClientWithoutAPrefaceIsClosedInSilence() throws {
        let harness = try self.started()
        let socket = harness.connectSilently()
        harness.pass(seconds: 9)
        #expect(!socket.isClosed)
        harness.pass(seconds: 2)
        #expect(socket.isClosed && socket.goaways.isEmpty)
        #expect(harness.ends == ["preface_timeout": 1])
    }

    @Test func anIdleConnectionIsClosedWithAReason() throws {
        let harness = try self.started()
        harness.connect()
        harness.pass(seconds: 299)
        #expect(!harness.client.isClosed)
        harness.pass(seconds: 2)
        #expect(harness.client.isClosed && harness.client.goaways == ["0 max_idle"])
        #expect(harness.ends == ["idle": 1])
    }

    @Test func anOpenCallKeepsItsConnectionWhileThePeerLives() throws {
        let harness = try self.started()
        harness.connect()
        harness.send(Frames.open(1, "/t.T/Both"))
        harness.step()
        harness.pass(seconds: 601)
        #expect(harness.frames.filter { $0.kind == Frames.ping }.count == 1)
        harness.send(Frames.frame(Frames.ping, 1, 0, [0, 0, 0, 0, 0, 0, 0, 0]))
        harness.pass(seconds: 300)
        #expect(!harness.client.isClosed && harness.loop.isOpen(harness.handler.token!))
        // The next PING finds nobody.
        harness.pass(seconds: 330)
        #expect(harness.client.isClosed && harness.ends == ["keepalive_timeout": 1])
    }

    @Test func framesWithoutACallDoNotKeepAConnection() throws {
        let harness = try self.started()
        harness.connect()
        for _ in 0 ..< 3 {
            harness.pass(seconds: 99)
            // SETTINGS, and a frame of an unknown type.
            harness.send(Frames.frame(4, 0, 0, []) + Frames.frame(0xAB, 0, 0, [1]))
            harness.step()
        }
        #expect(!harness.client.isClosed)
        harness.pass(seconds: 5)
        #expect(harness.client.isClosed && harness.ends == ["idle": 1])
    }

    @Test func aDrippedPrefaceIsCutOff() throws {
        let harness = try self.started()
        let client = harness.connectSilently()
        for byte in Frames.preface.prefix(11) {
            client.send([byte])
            harness.pass(seconds: 1)
        }
        #expect(client.isClosed && harness.ends == ["preface_timeout": 1])
    }

    @Test func aConnectionOfAgeEndsItsStreamsAndThenItself() throws {
        var limits = TransportLimits()
        limits.ageNanoseconds = 100_000_000_000
        let harness = try self.started(limits: limits)
        harness.connect()
        harness.send(Frames.open(1, "/t.T/Both"))
        harness.pass(seconds: 112)
        #expect(harness.client.goaways == ["0 ", "0 max_age"])
        #expect(harness.handler.events == ["drain"] && !harness.client.isClosed)
        harness.pass(seconds: 60)
        #expect(harness.client.isClosed && harness.ends == ["max_age": 1])
    }

    @Test func aClientThatDoesNotReadIsCutOff() throws {
        let harness = try self.started()
        harness.connect()
        harness.client.stopReading(bufferBytes: 10)
        harness.send(Frames.open(1, "/t.T/Unary") + Frames.data(1, Frames.message([1]), end: true))
        harness.step()
        harness.loop.respond(to: harness.handler.token!) { $0.append(UInt64(7)) }
        harness.step()
        harness.pass(seconds: 29)
        #expect(!harness.client.isClosed)
        harness.pass(seconds: 2)
        #expect(harness.client.isClosed && harness.ends == ["not_reading": 1])
    }

    @Test func aClientThatReadsSlowlyGetsEverything() throws {
        let harness = try self.started()
        harness.connect()
        harness.client.stopReading(bufferBytes: 25)
        harness.send(self.openUnary(1))
        harness.step()
        let response = (0 ..< 500).map { UInt8(truncatingIfNeeded: $0) }
        harness.loop.respond(to: harness.handler.token!) { buffer in
            response.withUnsafeBytes { buffer.append($0) }
        }
        harness.step()
        for _ in 0 ..< 30 {
            harness.pass(seconds: 20)
            harness.client.read()
            harness.step()
        }
        let data = harness.frames.filter { $0.kind == Frames.data }.flatMap(\.payload)
        #expect(data == Frames.message(response) && !harness.client.isClosed)
    }

    // MARK: Faults of the peer

    @Test func pingsCloserThanAllowedAreToldToCalmDown() throws {
        let harness = try self.started()
        harness.connect()
        let ping = Frames.frame(Frames.ping, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8])
        for _ in 0 ..< 3 {
            harness.send(ping)
            harness.step()
        }
        #expect(!harness.client.isClosed)
        harness.send(ping)
        harness.step()
        #expect(harness.client.isClosed && harness.client.goaways == ["11 too_many_pings"])
        #expect(harness.ends == ["too_many_pings": 1])
    }

    @Test func aLostConnectionCancelsEachOfItsCallsOnce() throws {
        let harness = try self.started()
        harness.connect()
        harness.send(self.openUnary(1) + Frames.open(3, "/t.T/Both") + self.openUnary(5))
        harness.step()
        harness.loop.respond(to: harness.handler.token!) { $0.append(UInt8(1)) }
        harness.client.close()
        harness.step()
        #expect(harness.handler.events == ["cancelled", "cancelled"])
        #expect(harness.ends == ["peer_closed": 1])
        #expect(harness.loop.metrics.streams == 0)
    }

    // MARK: Shutdown

    @Test func aDrainAnnouncesItselfAndEndsAfterTheAcknowledgement() throws {
        let harness = try self.started()
        harness.connect()
        harness.send(self.openUnary(1))
        harness.step()
        harness.loop.beginDrain(graceNanoseconds: 60_000_000_000)
        harness.step()
        #expect(harness.client.goaways == ["0 "] && !harness.isAccepting)
        // A call that was under way to us is still served.
        harness.send(self.openUnary(3))
        harness.step()
        #expect(harness.handler.messages.count == 2)
        harness.send(Frames.frame(Frames.ping, 1, 0, [0, 0, 0, 0, 0, 0, 0, 0]))
        harness.step()
        let last = harness.frames.filter { $0.kind == Frames.goaway }.map {
            Frames.number($0.payload)
        }
        #expect(last == [0x7FFF_FFFF, 3])
        for token in harness.handler.tokens {
            harness.loop.respond(to: token) { $0.append(UInt8(1)) }
        }
        // Bounded, so that a drain that never ends fails here.
        for _ in 0 ..< 1_000 where harness.next != .ended { harness.step() }
        #expect(harness.next == .ended)
        #expect(harness.client.isClosed && harness.ends == ["done": 1])
        #expect(harness.dataBytes(of: 1) == 6 && harness.dataBytes(of: 3) == 6)
    }

    @Test func aDrainWithoutAcknowledgementGoesOnAfterASecond() throws {
        let harness = try self.started()
        harness.connect()
        harness.send(self.openUnary(1))
        harness.step()
        harness.loop.beginDrain(graceNanoseconds: 5_000_000_000)
        harness.step()
        harness.clock.advance(nanoseconds: 999_000_000)
        harness.step()
        #expect(harness.client.goaways.count == 1)
        harness.clock.advance(nanoseconds: 1_000_000)
        harness.step()
        #expect(harness.client.goaways.count == 2)
        harness.pass(seconds: 3)
        #expect(harness.next != .ended)
        // The grace is over, the call is not.
        harness.pass(seconds: 1)
        #expect(harness.next == .ended)
        harness.loop.finish()
        #expect(harness.handler.events == ["cancelled"] && harness.ends == ["drained": 1])
    }

    /// The client says nothing more, so only time leads to the last GOAWAY: a driver that sleeps as
    /// long as each step says must send it.
    @Test func aDrainOfASilentClientNamesTheLastStreamAfterASecond() throws {
        let harness = try self.started()
        harness.connect()
        harness.send(self.openUnary(1) + Frames.open(3, "/t.T/Both"))
        harness.step()
        harness.loop.beginDrain(graceNanoseconds: 60_000_000_000)
        harness.step()
        #expect(harness.client.goaways.count == 1)
        let second: UInt64 = 1_000_000_000
        var waited: UInt64 = 0
        // A second has 250 turns of the timer wheel; a loop that never rests must fail here.
        var turns = 0
        while waited < second, turns < 1_000, case .after(let nanoseconds) = harness.next {
            turns += 1
            #expect(harness.client.goaways.count == 1)
            harness.clock.advance(nanoseconds: nanoseconds)
            waited += nanoseconds
            harness.step()
        }
        #expect(waited < second + TimerWheel.slotNanoseconds)
        let last = harness.frames.filter { $0.kind == Frames.goaway }
        #expect(last.map { Frames.number($0.payload) } == [0x7FFF_FFFF, 3])
        #expect(harness.handler.events == ["drain"])
    }

    /// The client reads slowly and opens its windows as it does: closed too early, the connection
    /// would be reset by these frames, and what it had not read would be lost.
    @Test func aDrainLetsASlowReaderHaveAllOfItsResponse() throws {
        let harness = try self.started()
        harness.connect()
        harness.send(self.openUnary(1))
        harness.step()
        harness.loop.respond(to: harness.handler.token!) { buffer in
            for _ in 0 ..< 100_000 { buffer.append(UInt8(7)) }
        }
        harness.step()
        harness.loop.beginDrain(graceNanoseconds: 10_000_000_000)
        harness.pass(seconds: 1)
        #expect(harness.dataBytes(of: 1) == 65_535 && harness.next != .ended)
        harness.client.isReading = false
        harness.send(Frames.openWindow(0, by: 50_000) + Frames.openWindow(1, by: 50_000))
        harness.pass(seconds: 1)
        // All is with the network; the client has not read it, and still opens its windows.
        harness.send(Frames.openWindow(0, by: 1_000))
        harness.pass(seconds: 5)
        #expect(harness.next != .ended && harness.network.openEnds == 2)
        harness.client.isReading = true
        harness.step()
        #expect(harness.dataBytes(of: 1) == 100_005)
        harness.step()
        #expect(harness.next == .ended && harness.ends == ["done": 1])
        harness.loop.finish()
        #expect(harness.loop.metrics.callsCut == 0 && harness.loop.metrics.connectionsCut == 0)
    }

    @Test func theEndOfTheGraceCountsWhatItCuts() throws {
        let harness = try self.started()
        harness.connect()
        harness.send(self.openUnary(1) + self.openUnary(3))
        harness.step()
        let second = harness.connect()
        second.send(self.openUnary(1))
        harness.connect()
        harness.step()
        harness.loop.beginDrain(graceNanoseconds: 3_000_000_000)
        harness.pass(seconds: 4)
        #expect(harness.next == .ended)
        harness.loop.finish()
        #expect(harness.loop.metrics.callsCut == 3 && harness.loop.metrics.connectionsCut == 2)
    }

    @Test func aDrainWithoutConnectionsEndsAtOnce() throws {
        let harness = try self.started()
        harness.loop.beginDrain(graceNanoseconds: 60_000_000_000)
        #expect(harness.step() == .ended)
    }
}
