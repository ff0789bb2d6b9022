import IOCore
import IOLinux
import ProfileService

/// Puts one thread around one component of the node: steps it, and parks between the steps for as
/// long as the component says.
struct ComponentThread {
    private let component: NodeComponent
    private let thread: any RunningThread

    /// - Parameter onFailure: Called on the thread when a network loop cannot watch its listener.
    init(
        _ component: NodeComponent, threads: any ThreadStarter,
        onFailure: @escaping @Sendable (IOError) -> Void = { _ in }
    ) {
        self.component = component
        self.thread = threads.start(name: component.name) {
            switch component.idling {
            case .polling(let loop):
                // The poller is where a loop sleeps, so its thread needs no parker.
                do throws(IOError) { try loop.run() } catch { onFailure(error) }
            case .parked(let parker): Self.drive(component.body, parker)
            }
        }
    }

    private static func drive(_ body: any Steppable, _ parker: any Parker) {
        while true {
            switch body.step() {
            case .now: continue
            case .after(let nanoseconds): parker.park(forNanoseconds: nanoseconds)
            case .whenWoken: parker.park(forNanoseconds: nil)
            case .ended: return
            }
        }
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
