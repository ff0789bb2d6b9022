import IOCore
import IOLinux
import Testing

@testable import ProfileServer

@Suite struct SupervisorStateMachineTests {
    private func texts(_ machine: SupervisorStateMachine) -> [String] {
        machine.waiting.map { $0.text }
    }

    @Test func aStartThatIsReadyServesThenStops() {
        var machine = SupervisorStateMachine()
        machine.ready()
        machine.ready()
        machine.stop(withinMicroseconds: 5)
        machine.stop(withinMicroseconds: 7)
        machine.ready()
        #expect(self.texts(machine) == ["READY=1", "STOPPING=1\nEXTEND_TIMEOUT_USEC=5"])
    }

    @Test func reloadsAreOnlyToldWhileServing() {
        var machine = SupervisorStateMachine()
        machine.reloadBegins(atMicroseconds: 1)
        machine.reloadEnded()
        #expect(machine.waiting.isEmpty)
        machine.ready()
        machine.reloadBegins(atMicroseconds: 2)
        machine.reloadEnded()
        #expect(
            self.texts(machine) == ["READY=1", "RELOADING=1\nMONOTONIC_USEC=2", "READY=1"])
        machine.stop(withinMicroseconds: 5)
        machine.reloadBegins(atMicroseconds: 3)
        machine.reloadEnded()
        #expect(machine.waiting.count == 4)
    }

    @Test func theEndOfAReloadIsAlwaysBehindItsBegin() {
        var machine = SupervisorStateMachine()
        machine.ready()
        machine.removeFirst()
        machine.reloadBegins(atMicroseconds: 1)
        machine.removeFirst()
        machine.reloadEnded()
        // The end of the first still waits when the second begins.
        machine.reloadBegins(atMicroseconds: 2)
        machine.reloadEnded()
        #expect(machine.waiting == [.reloading(microseconds: 2), .reloaded])
    }

    @Test func aReceiverThatDoesNotReadMakesNothingGrow() {
        var machine = SupervisorStateMachine()
        for round in 0 ..< 1_000 as Range<UInt64> {
            machine.observe(
                .replaying(doneBytes: round, totalBytes: 1_000), extensionMicroseconds: 9)
            if round == 500 { machine.ready() }
            machine.reloadBegins(atMicroseconds: round)
            machine.reloadEnded()
            machine.alive()
            if round == 900 { machine.stop(withinMicroseconds: 1) }
        }
        #expect(machine.waiting.count <= SupervisorMessage.Kind.allCases.count)
    }

    @Test func onlyProgressOfAStartAsksForTime() {
        var machine = SupervisorStateMachine()
        let half = ServingPhase.replaying(doneBytes: 5, totalBytes: 10)
        machine.observe(half, extensionMicroseconds: 9)
        machine.observe(half, extensionMicroseconds: 9)
        #expect(
            self.texts(machine) == [
                "STATUS=not ready: replaying, 5 of 10 bytes (50 %)", "EXTEND_TIMEOUT_USEC=9",
            ])
        machine.removeFirst()
        machine.removeFirst()
        machine.observe(half, extensionMicroseconds: 9)
        #expect(machine.waiting.isEmpty)
        machine.ready()
        machine.removeFirst()
        machine.observe(.ready, extensionMicroseconds: 9)
        #expect(self.texts(machine) == ["STATUS=ready"])
    }
}

@Suite struct ProgressWatchTests {
    @Test func everyThreadMustMove() {
        var watch = ProgressWatch(counts: [1, 1])
        #expect(watch.observe([2, 2]).isEmpty)
        #expect(watch.observe([3, 2]) == [1])
        // The first one's turn counts until the second has had one.
        #expect(watch.observe([3, 3]).isEmpty)
        #expect(watch.observe([3, 3]) == [0, 1])
    }

    @Test func whoWaitsForTheDiskIsExcused() {
        var watch = ProgressWatch(counts: [1, 1])
        #expect(watch.observe([2, 1], isExcused: { $0 == 1 }).isEmpty)
        #expect(watch.observe([3, 1]) == [1])
    }
}

@Suite struct SupervisorRequestTests {
    private func read(
        _ environment: [String: String]
    ) throws(SupervisorRequest.Invalid) -> SupervisorRequest? {
        try SupervisorRequest.read(from: environment, processID: 42)
    }

    @Test func nobodyAsksWithoutASocket() throws {
        #expect(try self.read(["WATCHDOG_USEC": "nonsense"]) == nil)
        #expect(try self.read(["NOTIFY_SOCKET": ""]) == nil)
    }

    @Test(arguments: [(nil, 60_000_000), ("42", 60_000_000), ("41", nil)] as [(String?, UInt64?)])
    func theWatchdogIsOfOneProcess(owner: String?, microseconds: UInt64?) throws {
        var environment = ["NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "60000000"]
        environment["WATCHDOG_PID"] = owner
        #expect(try self.read(environment)?.watchdogMicroseconds == microseconds)
    }

    @Test(arguments: ["99999", "86400000001", "-1", "1.5", " 1000000"])
    func whatIsNoPeriodIsRejected(text: String) {
        #expect(throws: SupervisorRequest.Invalid.self) {
            try self.read(["NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": text])
        }
    }

    @Test(arguments: [107, 108])
    func aPathMustFitIntoTheAddress(bytes: Int) throws {
        let path = "/" + String(repeating: "x", count: bytes - 1)
        let fits = (try? self.read(["NOTIFY_SOCKET": path])) != nil
        #expect(fits == (bytes == LinuxNotifySocket.pathBytesMax))
    }
}
