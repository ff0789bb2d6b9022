import GRPCTransport
import IOCore
import Synchronization

/// One part of a node that does its work in steps, on one thread at a time.
// SAFETY: it is handed to the thread that drives it, which alone uses `body`; `onStop` is Sendable.
package struct NodeComponent: @unchecked Sendable {
    /// How its driver waits between two steps.
    package enum Idling {
        /// The driver parks here; whoever has work for the component wakes the parker.
        case parked(any Parker)
        /// A network loop waits in its poller: a thread runs the loop instead of stepping it.
        case polling(RPCLoop)
    }

    /// At most 15 bytes, as a thread's name.
    package let name: String
    package let body: any Steppable
    package let idling: Idling
    private let onStop: @Sendable () -> Void

    init(
        name: String, body: any Steppable, idling: Idling, onStop: @escaping @Sendable () -> Void
    ) {
        self.name = name
        self.body = body
        self.idling = idling
        self.onStop = onStop
    }

    /// A component that may end between any two steps.
    init(name: String, interruptible body: any Steppable, parker: any Parker) {
        let stoppable = InterruptibleComponent(body, waker: parker)
        self.init(
            name: name, body: stoppable, idling: .parked(parker), onStop: { stoppable.stop() })
    }

    /// Makes its driver take a turn soon, also if there is nothing to do; from any thread.
    package func wake() {
        // SAFETY: of a loop it reaches only `wake`, which any thread may call.
        switch self.idling {
        case .parked(let parker): parker.wake()
        case .polling(let loop): loop.wake()
        }
    }

    /// Makes `body.step` return `.ended` soon, and wakes its driver; from any thread.
    package func stop() {
        self.onStop()
    }
}

/// Ends a component that has nothing to finish.
// SAFETY: `body` is used by the thread that steps; `stop` touches the atomic flag and the waker
// only.
private final class InterruptibleComponent: Steppable, @unchecked Sendable {
    private let body: any Steppable
    private let waker: any Waker
    private let isStopping = Atomic<Bool>(false)

    init(_ body: any Steppable, waker: any Waker) {
        self.body = body
        self.waker = waker
    }

    func step() -> NextStep {
        self.isStopping.load(ordering: .acquiring) ? .ended : self.body.step()
    }

    func stop() {
        self.isStopping.store(true, ordering: .releasing)
        self.waker.wake()
    }
}
