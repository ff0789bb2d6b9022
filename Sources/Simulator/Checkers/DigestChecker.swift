import ProfileService
import Profiles

/// A replay gives the state that the process before had: equal digests at equal lsns.
final class DigestChecker: Checker {
    let name = "digest"
    /// The last state that a process of each node was seen with.
    private var last: [Int: (lsn: UInt64, digest: UInt64)] = [:]

    func nodeStops(_ node: SimulatedNode, _ end: ProcessEnd, _ world: World) throws(Violation) {
        guard let store = node.node?.recovered?.store else { return }
        self.last[node.index] = (store.appliedLSN, store.digest())
    }

    func nodeStarted(_ node: SimulatedNode, _ world: World) throws(Violation) {
        guard let store = node.node?.recovered?.store, let last = self.last[node.index] else {
            return
        }
        guard store.appliedLSN >= last.lsn else {
            throw Violation(
                self.name, "lsn \(store.appliedLSN) after a start, \(last.lsn) before it")
        }
        guard store.appliedLSN == last.lsn else { return }
        guard store.digest() == last.digest else {
            throw Violation(self.name, "another state at lsn \(last.lsn) after a start")
        }
    }
}
