import IOCore
import IOLinux
import ProfileService
import Synchronization

/// Puts one thread around one component of the node: steps it, and parks between the steps for as
/// long as the component says.
struct ComponentThread {
    /// Steps of a component that parks.
    private final class Steps: Sendable {
        private let cell = Atomic<UInt64>(0)

        var count: UInt64 { self.cell.load(ordering: .relaxed) }

        /// Only its thread raises it.
        func raise() { self.cell.store(self.count &+ 1, ordering: .relaxed) }
    }

    private let component: NodeComponent
    private let steps = Steps()
    private let thread: any RunningThread

    /// - Parameter onFailure: Called on the thread when a network loop cannot watch its listener.
    init(
        _ component: NodeComponent, threads: any ThreadStarter,
        onFailure: @escaping @Sendable (IOError) -> Void = { _ in }
    ) {
        self.component = component
        let steps = self.steps
        self.thread = threads.start(name: component.name) {
            switch component.idling {
            case .polling(let loop):
                // The poller is where a loop sleeps, so its thread needs no parker.
                do throws(IOError) { try loop.run() } catch { onFailure(error) }
            case .parked(let parker): Self.drive(component.body, parker, steps)
            }
        }
    }

    private static func drive(_ body: any Steppable, _ parker: any Parker, _ steps: Steps) {
        while true {
            let next = body.step()
            steps.raise()
            switch next {
            case .now: continue
            case .after(let nanoseconds): parker.park(forNanoseconds: nanoseconds)
            case .whenWoken: parker.park(forNanoseconds: nil)
            case .ended: return
            }
        }
    }

    /// The thread as the watchdog sees it.
    ///
    /// - Parameter waitsForDisk: Whether it does at this moment; may be called on any thread.
    func watched(waitsForDisk: @escaping @Sendable () -> Bool = { false }) -> WatchedThread {
        let (component, steps) = (self.component, self.steps)
        let count: @Sendable () -> UInt64
        switch component.idling {
        case .polling(let loop):
            let metrics = loop.metrics
            count = { metrics.turns }
        case .parked: count = { steps.count }
        }
        return WatchedThread(
            name: component.name, count: count, wake: { component.wake() },
            waitsForDisk: waitsForDisk)
    }

    /// Waits until the component has ended.
    func join() {
        self.thread.join()
    }

    /// Ends the component and waits for its thread.
    func stopAndJoin() {
        self.component.stop()
        self.thread.join()
    }
}
