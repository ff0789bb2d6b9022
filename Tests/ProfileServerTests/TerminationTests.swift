import IOLinux
import ProfileServer
import Testing

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

    @Test func drainingIsSeenByTheMainThread() {
        var machine = TerminationStateMachine()
        let isServing = machine.serve()
        #expect(isServing && !machine.isDraining)
        _ = machine.received(.terminate)
        #expect(machine.isDraining)
    }
}
