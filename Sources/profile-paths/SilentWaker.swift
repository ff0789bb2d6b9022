import IOCore

/// Wakes nobody: one thread does everything here.
final class SilentWaker: Waker {
    func wake() {}
}
