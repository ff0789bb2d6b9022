import GRPCTransport
import IOCore
import IOSimulation
import ProfileService

/// Steps one component of a node when it is due or woken.
package final class ComponentDriver {
    package let component: NodeComponent
    private let poller: SimulatedPoller?
    private let parker: SimulatedParker?
    /// Monotonic time of the next step, in nanoseconds; `nil`: when woken.
    package private(set) var due: UInt64? = 0
    package private(set) var hasEnded = false
    package private(set) var steps = 0

    /// - Parameter poller: Where a network loop would wait.
    package init(_ component: NodeComponent, poller: SimulatedPoller?) {
        self.component = component
        self.poller = poller
        if case .parked(let parker) = component.idling {
            self.parker = parker as? SimulatedParker
        } else {
            self.parker = nil
        }
    }

    /// Whether a driver that sleeps would be awake now.
    package func isRunnable(at now: UInt64) -> Bool {
        guard !self.hasEnded else { return false }
        if let due = self.due, due <= now { return true }
        if self.parker?.takeWake() == true {
            self.due = now
            return true
        }
        return self.poller?.hasWork ?? false
    }

    package func step(at now: UInt64) {
        self.steps += 1
        // A wake from here on is for the step after this one.
        _ = self.parker?.takeWake()
        switch self.component.body.step() {
        case .now: self.due = now
        case .after(let nanoseconds): self.due = now &+ nanoseconds
        case .whenWoken: self.due = nil
        case .ended: self.hasEnded = true
        }
    }
}
