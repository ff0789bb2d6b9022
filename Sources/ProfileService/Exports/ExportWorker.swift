import IOCore
import Messages
import Profiles

/// Serves all exports of a node: reads people, encodes them, and hands them to the loops of their
/// calls.
///
/// It reads the store as loops do, under one shard's lock at a time, and is a component of its own
/// because an export of a project takes seconds of computing time. Open exports take turns. Used by
/// one thread, which its coordinator and the loops wake.
package final class ExportWorker: Steppable {
    /// How often exports whose client does not read are looked at for a project that is gone, in
    /// nanoseconds.
    private static let restNanoseconds: UInt64 = 500_000_000

    private let coordinator: ExportCoordinator
    private let store: Store
    private let clock: any Clock
    private let encoder = MessageEncoder()
    /// In the order of their turns; at most `ExportLimits.exportsMax`.
    private var followers: [ExportFollower] = []
    /// When those that are blocked are looked at, in nanoseconds.
    private var endingDue: UInt64 = 0

    package init(_ coordinator: ExportCoordinator, store: Store, clock: any Clock) {
        self.coordinator = coordinator
        self.store = store
        self.clock = clock
    }

    package func step() -> NextStep {
        let requests = self.coordinator.calls.takeRequests()
        if requests.isStopping { return .ended }
        for call in requests.opened {
            self.followers.append(
                ExportFollower(call, self.coordinator, store: self.store, encoder: self.encoder))
        }
        for call in requests.signalled { self.hear(call) }
        self.coordinator.metrics.note(open: self.followers.count)
        let now = self.clock.monotonicNanoseconds()
        if now >= self.endingDue {
            self.endingDue = now + Self.restNanoseconds
            for follower in self.followers { follower.isBlocked = false }
        }
        guard let index = self.followers.firstIndex(where: { !$0.isBlocked }) else {
            return self.followers.isEmpty
                ? .whenWoken : .after(nanoseconds: Self.restNanoseconds)
        }
        let follower = self.followers.remove(at: index)
        switch follower.proceed(now: self.clock.wallMicroseconds()) {
        case .more: self.followers.append(follower)
        case .blocked:
            follower.isBlocked = true
            self.followers.append(follower)
        case .ended: self.coordinator.calls.forget(follower.call)
        }
        return .now
    }

    private func hear(_ call: ExportCall) {
        guard let index = self.followers.firstIndex(where: { $0.call === call }) else { return }
        self.followers[index].isBlocked = false
        guard !self.followers[index].hear() else { return }
        self.followers.remove(at: index)
        self.coordinator.calls.forget(call)
    }
}
