import Foundation
import GRPCTransport
import IOLinux
import ProfileService
import Testing

@testable import ProfileServer

@Suite struct TerminationTests {
    private func run(_ signals: [LinuxSignals.Signal], serving: Bool = true)
        -> [TerminationStateMachine.OnSignal]
    {
        var machine = TerminationStateMachine()
        if serving {
            let isServing = machine.serve()
            #expect(isServing)
        }
        return signals.map { machine.received($0) }
    }

    @Test func firstSignalDrainsAndTheSecondEndsAtOnce() {
        #expect(
            self.run([.terminate, .terminate, .terminate]) == [.drain, .endNow, .endNow])
    }

    @Test func signalBeforeAnythingIsServedEndsTheProcess() {
        #expect(
            self.run([.terminate, .terminate], serving: false) == [.endBeforeServing, .endNow])
        var machine = TerminationStateMachine()
        _ = machine.received(.terminate)
        let isServing = machine.serve()
        #expect(!isServing && !machine.isDraining)
    }

    @Test func reloadChangesNothing() {
        #expect(
            self.run([.reload, .terminate, .reload, .terminate, .reload])
                == [.reload, .drain, .reload, .endNow, .ignore])
    }

    @Test(arguments: [0, 1, 2])
    func abortEndsInEveryState(terminations: Int) {
        let signals = [LinuxSignals.Signal](repeating: .terminate, count: terminations)
        #expect(self.run(signals + [.abort(3)]).last == .abort(signal: 3))
        #expect(self.run([.abort(6)], serving: false) == [.abort(signal: 6)])
    }

    /// The writer of the audit log is a little behind when the process has to end.
    @Test func abruptEndWaitsForTheLinesOfTheAuditLog() throws {
        let path = NSTemporaryDirectory() + "audit-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let writer = LogWriter(
            level: .error, clock: FakeClock(), makeParker: { LinuxParker() }, write: { _ in true })
        let log = try AuditLog(path: path, clock: FakeClock(), log: writer.log)
        log.record(
            AuditRecord(
                timeMicroseconds: 0, keyName: nil, peer: "", method: 0, project: "", code: .ok,
                reason: "", lsn: 1))
        let threads = LinuxThreadStarter()
        let lines = threads.start(name: "log-lines") { writer.run() }
        let auditLines = threads.start(name: "audit-lines") {
            usleep(20_000)
            log.run()
        }
        Termination(writer: writer, auditLog: log, onReload: {}).finishLines()
        #expect(try String(contentsOfFile: path, encoding: .utf8).contains(#""lsn":1,"#))
        // A failure must not leave a thread behind that waits for ever.
        #expect(log.finish(withinNanoseconds: 10_000_000_000))
        lines.join()
        auditLines.join()
    }

    @Test func drainingIsSeenByTheMainThread() {
        var machine = TerminationStateMachine()
        let isServing = machine.serve()
        #expect(isServing && !machine.isDraining)
        _ = machine.received(.terminate)
        #expect(machine.isDraining)
    }
}
