import Testing

@testable import GRPCTransport

@Suite struct ConnectionStateMachineTests {
    private static let second: UInt64 = 1_000_000_000
    private static let start: UInt64 = 1_000 * second
    private static let limits = TransportLimits()

    /// A connection in each of its states.
    private enum Stage: CaseIterable {
        case handshake, open, announced, final, done, failed, closed
    }

    private func machine(in stage: Stage = .open) -> ConnectionStateMachine {
        var machine = ConnectionStateMachine(limits: Self.limits, nowNanoseconds: Self.start)
        if stage == .handshake { return machine }
        machine.frameReceived()
        switch stage {
        case .handshake, .open: break
        case .announced: _ = machine.announceDrain()
        case .final:
            _ = machine.announceDrain()
            _ = machine.finishDrain()
        case .done: machine.sessionEnded(nowNanoseconds: self.at(0))
        case .failed: machine.fail(.protocolError)
        case .closed: _ = machine.close(.peerClosed)
        }
        return machine
    }

    private func at(_ seconds: UInt64) -> UInt64 { Self.start + seconds * Self.second }

    // MARK: Input and output

    @Test func bytesAreReadUntilItCloses() {
        let fed = Stage.allCases.filter {
            var machine = self.machine(in: $0)
            return machine.bytesReceived(nowNanoseconds: self.at(1)) == .feedSession
        }
        #expect(fed == [.handshake, .open, .announced, .final])
    }

    @Test(arguments: [
        (Stage.handshake, ConnectionStateMachine.OnFlush.collect), (.open, .collect),
        (.announced, .collect), (.final, .collect), (.done, .writeRest),
        (.failed, .close(.protocolError)), (.closed, .close(.done)),
    ])
    private func whatIsWrittenInEveryState(stage: Stage, action: ConnectionStateMachine.OnFlush) {
        #expect(self.machine(in: stage).flush == action)
    }

    @Test func theFirstReasonToCloseCounts() {
        var machine = self.machine()
        machine.fail(.headerFlood)
        machine.fail(.protocolError)
        machine.sessionEnded(nowNanoseconds: 0)
        #expect(machine.flush == .close(.headerFlood))
    }

    @Test func aSessionThatEndedMayWriteItsRestInTimeOnly() {
        var machine = self.machine(in: .done)
        #expect(machine.outputBlocked(nowNanoseconds: self.at(1)) == .scheduleCheck)
        #expect(machine.check(nowNanoseconds: self.at(30), hasStreams: false) == .checkAgain)
        #expect(machine.flush == .writeRest)
        #expect(machine.check(nowNanoseconds: self.at(31), hasStreams: false) == .close)
        #expect(machine.flush == .close(.notReading))
    }

    // MARK: Budgets of the peer

    @Test func resetsBeyondTheBudgetClose() {
        var machine = self.machine()
        for _ in 0 ..< Self.limits.resetBurst { machine.streamReset(nowNanoseconds: Self.start) }
        #expect(machine.flush == .collect)
        machine.streamReset(nowNanoseconds: Self.start)
        #expect(machine.flush == .close(.rapidReset))
    }

    @Test func earlyPingsAreStrikesAndResponsesForgiveThem() {
        var machine = self.machine()
        // The first is not early, whatever the clock says.
        for second in 0 ..< 3 { machine.pingReceived(nowNanoseconds: self.at(UInt64(second))) }
        #expect(machine.flush == .collect)
        machine.responseSent()
        for second in 3 ..< 5 { machine.pingReceived(nowNanoseconds: self.at(UInt64(second))) }
        #expect(machine.flush == .collect)
        machine.pingReceived(nowNanoseconds: self.at(5))
        #expect(machine.flush == .close(.pings))
    }

    @Test func pingsThatAreFarApartAreNoStrikes() {
        var machine = self.machine()
        for round in 0 ..< 20 { machine.pingReceived(nowNanoseconds: self.at(UInt64(300 * round))) }
        #expect(machine.flush == .collect)
    }

    // MARK: Time

    @Test func aPrefaceMustComeInTime() {
        var machine = self.machine(in: .handshake)
        #expect(machine.nextCheckNanoseconds == self.at(10))
        #expect(machine.check(nowNanoseconds: self.at(10) - 1, hasStreams: false) == .checkAgain)
        #expect(machine.check(nowNanoseconds: self.at(10), hasStreams: false) == .close)
        #expect(machine.flush == .close(.prefaceTimeout))
    }

    @Test(arguments: [Stage.open, .announced, .final])
    private func aConnectionWithoutCallsIsIdle(stage: Stage) {
        var machine = self.machine(in: stage)
        #expect(machine.nextCheckNanoseconds == self.at(300))
        #expect(machine.check(nowNanoseconds: self.at(300) - 1, hasStreams: false) == .checkAgain)
        #expect(machine.check(nowNanoseconds: self.at(300), hasStreams: false) == .close)
        #expect(machine.flush == .close(.idle))
    }

    @Test func callsKeepAConnectionAndBytesDoNot() {
        var machine = self.machine()
        #expect(machine.check(nowNanoseconds: self.at(300), hasStreams: true) == .checkAgain)
        machine.callsChanged(nowNanoseconds: self.at(400))
        #expect(machine.check(nowNanoseconds: self.at(600), hasStreams: false) == .checkAgain)
        _ = machine.bytesReceived(nowNanoseconds: self.at(690))
        machine.frameReceived()
        #expect(machine.check(nowNanoseconds: self.at(700), hasStreams: false) == .close)
        #expect(machine.flush == .close(.idle))
    }

    @Test func aDrippedPrefaceIsNotGivenMoreTime() {
        var machine = self.machine(in: .handshake)
        for second in 1 ..< 10 {
            _ = machine.bytesReceived(nowNanoseconds: self.at(UInt64(second)))
            #expect(machine.nextCheckNanoseconds == self.at(10))
        }
        #expect(machine.check(nowNanoseconds: self.at(10), hasStreams: false) == .close)
    }

    @Test(arguments: [false, true])
    func aHeaderBlockMustEndInTimeHoweverManyCallsAreOpen(hasStreams: Bool) {
        var machine = self.machine()
        machine.headerBlockOpen(1, nowNanoseconds: self.at(5))
        machine.headerBlockOpen(1, nowNanoseconds: self.at(7))
        #expect(machine.hasOpenHeaderBlock && machine.nextCheckNanoseconds == self.at(15))
        _ = machine.bytesReceived(nowNanoseconds: self.at(14))
        let early = machine.check(nowNanoseconds: self.at(15) - 1, hasStreams: hasStreams)
        #expect(early == .checkAgain)
        #expect(machine.check(nowNanoseconds: self.at(15), hasStreams: hasStreams) == .close)
        #expect(machine.flush == .close(.headerTimeout))
    }

    @Test func aHeaderBlockThatHasEndedIsNotDue() {
        var machine = self.machine()
        machine.headerBlockOpen(1, nowNanoseconds: self.at(5))
        machine.headerBlockOpen(nil, nowNanoseconds: self.at(6))
        #expect(!machine.hasOpenHeaderBlock)
        #expect(machine.check(nowNanoseconds: self.at(15), hasStreams: true) == .checkAgain)
    }

    @Test func eachHeaderBlockHasItsOwnTime() {
        var machine = self.machine()
        machine.headerBlockOpen(1, nowNanoseconds: self.at(5))
        machine.headerBlockOpen(2, nowNanoseconds: self.at(9))
        #expect(machine.nextCheckNanoseconds == self.at(19))
    }

    @Test func agesDifferByAFifthAtMost() {
        let ages = (0 ..< 1_000).map { number in
            let machine = ConnectionStateMachine(
                limits: Self.limits, nowNanoseconds: 0,
                jitter: UInt64(number) &* 0x9E37_79B9_7F4A_7C15)
            return Self.age(of: machine)
        }
        let hour = Self.limits.ageNanoseconds
        #expect(ages.allSatisfy { $0 >= hour / 10 * 9 && $0 <= hour / 10 * 11 })
        #expect(Set(ages).count > 900)
    }

    /// The time at which a connection that is never idle is asked to end.
    private static func age(of machine: ConnectionStateMachine) -> UInt64 {
        var machine = machine
        machine.frameReceived()
        var now: UInt64 = 0
        while now < 2 * self.limits.ageNanoseconds {
            now = machine.nextCheckNanoseconds
            _ = machine.bytesReceived(nowNanoseconds: now)
            if machine.check(nowNanoseconds: now, hasStreams: true) == .announceEndOfAge {
                return now
            }
        }
        return now
    }

    @Test func aConnectionEndsWithItsAgeAndItsGrace() {
        let limits = Self.limits
        var machine = self.machine()
        let age = Self.start + limits.ageNanoseconds / 10 * 9
        machine.callsChanged(nowNanoseconds: age)
        _ = machine.bytesReceived(nowNanoseconds: age)
        #expect(machine.check(nowNanoseconds: age, hasStreams: true) == .announceEndOfAge)
        #expect(machine.announceEndOfAge(nowNanoseconds: age) == .sendNoticeAndPing)
        #expect(machine.isEndOfAge && machine.nextCheckNanoseconds == age + Self.second)
        let final = age + Self.second
        #expect(machine.check(nowNanoseconds: final, hasStreams: true) == .finishDrain)
        #expect(machine.finishDrain() == .sendGoawayAndDrainStreams)
        let grace = age + limits.ageGraceNanoseconds
        #expect(machine.check(nowNanoseconds: grace, hasStreams: true) == .close)
        #expect(machine.flush == .close(.maxAge))
    }

    @Test func aSilentPeerWithCallsIsAskedForASignOfLife() {
        let limits = Self.limits
        var machine = self.machine()
        let silent = Self.start + limits.keepaliveNanoseconds
        #expect(machine.check(nowNanoseconds: silent, hasStreams: true) == .ping)
        let timeout = silent + limits.keepaliveTimeoutNanoseconds
        #expect(machine.nextCheckNanoseconds == timeout)
        var alive = machine
        _ = alive.bytesReceived(nowNanoseconds: timeout - 1)
        #expect(alive.check(nowNanoseconds: timeout, hasStreams: true) == .checkAgain)
        #expect(machine.check(nowNanoseconds: timeout, hasStreams: true) == .close)
        #expect(machine.flush == .close(.keepaliveTimeout))
    }

    @Test func aConnectionThatHasSentEverythingWaitsForItsPeer() {
        var machine = self.machine(in: .done)
        machine.outputFinished(lingerUntilNanoseconds: self.at(7))
        #expect(machine.isLingering && machine.flush == .wait)
        #expect(machine.bytesReceived(nowNanoseconds: self.at(1)) == .ignore)
        #expect(machine.nextCheckNanoseconds == self.at(7))
        #expect(machine.check(nowNanoseconds: self.at(7) - 1, hasStreams: false) == .checkAgain)
        #expect(machine.check(nowNanoseconds: self.at(7), hasStreams: false) == .close)
    }

    @Test func aPeerThatDoesNotReadIsCutOffEvenWithCalls() {
        var machine = self.machine()
        #expect(machine.outputBlocked(nowNanoseconds: self.at(1)) == .scheduleCheck)
        #expect(machine.outputBlocked(nowNanoseconds: self.at(2)) == .ignore)
        #expect(machine.nextCheckNanoseconds == self.at(31))
        #expect(machine.check(nowNanoseconds: self.at(31), hasStreams: true) == .close)
        #expect(machine.flush == .close(.notReading))
    }

    @Test func aPeerThatReadsALittleHasItsTimeAnew() {
        var machine = self.machine()
        _ = machine.outputBlocked(nowNanoseconds: self.at(1))
        machine.outputTaken()
        #expect(machine.outputBlocked(nowNanoseconds: self.at(20)) == .scheduleCheck)
        #expect(machine.check(nowNanoseconds: self.at(31), hasStreams: true) == .checkAgain)
        #expect(machine.nextCheckNanoseconds == self.at(50))
    }

    @Test func aResponseThatIsReadSlowlyKeepsItsConnection() {
        var machine = self.machine()
        _ = machine.outputBlocked(nowNanoseconds: self.at(299))
        #expect(machine.check(nowNanoseconds: self.at(300), hasStreams: false) == .checkAgain)
        machine.outputTaken()
        #expect(machine.check(nowNanoseconds: self.at(599), hasStreams: false) == .checkAgain)
        #expect(machine.check(nowNanoseconds: self.at(600), hasStreams: false) == .close)
    }

    @Test func aTimeoutDoesNotReplaceTheReasonOfAFault() {
        var machine = self.machine(in: .failed)
        _ = machine.outputBlocked(nowNanoseconds: self.at(1))
        #expect(machine.check(nowNanoseconds: self.at(100), hasStreams: false) == .close)
        #expect(machine.flush == .close(.protocolError))
    }

    // MARK: Shutdown and end

    @Test func aDrainIsAnnouncedOnceToWhatLives() {
        let announced = Stage.allCases.filter {
            var machine = self.machine(in: $0)
            return machine.announceDrain() == .sendNoticeAndPing
        }
        #expect(announced == [.handshake, .open])
    }

    @Test func aDrainIsFinishedOnceAndOnlyAfterItsAnnouncement() {
        // An unasked PING acknowledgement asks for it too, at any time.
        let finished = Stage.allCases.filter {
            var machine = self.machine(in: $0)
            return machine.finishDrain() == .sendGoawayAndDrainStreams
        }
        #expect(finished == [.announced])
    }

    @Test func aDrainingConnectionEndsWithItsSession() {
        var machine = self.machine(in: .final)
        machine.sessionEnded(nowNanoseconds: 0)
        #expect(machine.flush == .writeRest)
        #expect(machine.close(.done) == nil)
    }

    /// Each part that the peer takes gives it no further time.
    @Test func theLastOutputHasAnAbsoluteTime() {
        var machine = self.machine(in: .final)
        machine.sessionEnded(nowNanoseconds: self.at(0))
        for second in stride(from: 0 as UInt64, to: 60, by: 10) {
            let now = self.at(second)
            machine.outputTaken()
            _ = machine.outputBlocked(nowNanoseconds: now)
            let action = machine.check(nowNanoseconds: now, hasStreams: false)
            #expect(action == .checkAgain && machine.nextCheckNanoseconds <= self.at(60))
        }
        let action = machine.check(nowNanoseconds: self.at(60), hasStreams: false)
        #expect(action == .close && machine.flush == .close(.notReading))
    }

    @Test(arguments: [
        (
            ConnectionEnd.pings,
            ConnectionEnd.Goodbye?.some(.init(isPeerAtFault: true, reason: "too_many_pings"))
        ),
        (.rapidReset, .init(isPeerAtFault: true, reason: "too_many_resets")),
        (.notReading, .init(isPeerAtFault: true, reason: "output_not_read")),
        (.frameFlood, .init(isPeerAtFault: true, reason: "too_many_frames_without_progress")),
        (.idle, .init(isPeerAtFault: false, reason: "max_idle")),
        (.drained, .init(isPeerAtFault: false)), (.peerClosed, nil), (.prefaceTimeout, nil),
    ])
    private func thePeerIsToldWhyOnce(reason: ConnectionEnd, goodbye: ConnectionEnd.Goodbye?) {
        var machine = self.machine()
        #expect(machine.close(reason) == goodbye)
        #expect(machine.close(reason) == nil)
    }
}
