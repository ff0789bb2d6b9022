import ProfileServer
import Testing

@Suite struct ServingPhaseTests {
    @Test(arguments: [
        (ServingPhase.starting, false, false, "starting"),
        (.replaying(doneBytes: 1, totalBytes: 3), false, false, "1 of 3 bytes (33 %)"),
        (.replaying(doneBytes: 0, totalBytes: 0), false, false, "(100 %)"),
        (.replaying(doneBytes: .max, totalBytes: 1), false, false, "(100 %)"),
        (.ready, true, true, "ready"),
        (.diskFull, false, true, "disk full"),
        (.logFailed, false, true, "log failed"),
        (.draining, false, true, "draining"),
    ])
    func phaseDeterminesTheProbes(phase: ServingPhase, ready: Bool, started: Bool, why: String) {
        #expect(phase.livez.ok)
        #expect(phase.readyz.ok == ready)
        #expect(phase.startupz.ok == started)
        #expect(phase.readyz.text.contains(why))
    }
}
