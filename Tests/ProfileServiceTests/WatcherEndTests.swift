import GRPCTransport
import IOCore
import IOSimulation
import Profiles
import Storage
import TestSupport
import Testing

@testable import ProfileService

/// What a loop finds that looks at a watcher as soon as it is told to, and never again.
@Suite struct WatcherEndTests {
    private final class NoWaker: Waker {
        func wake() {}
    }

    @Test func loopThatIsToldOfTheLastBatchFindsTheEndBehindIt() throws {
        let fixture = try ServiceFixture(feedOptions: FeedOptions())
        let feed = try #require(fixture.feedWriter).feed
        let token = CallToken(
            loop: 0, connectionSlot: 0, connectionGeneration: 1, streamSlot: 0, streamGeneration: 1)
        let watcher = Watcher(
            token: token, peer: PeerAddress("127.0.0.1:1"), project: ProjectID(rawValue: 1),
            fromLSN: 0, filter: ChangeFilter())
        let found = Guarded<[String]>([])
        let mailbox = CompletionMailbox(wake: {
            while true {
                switch watcher.take(giving: nil) {
                case .batch: found.withLock { $0.append("batch") }
                case .ended: return found.withLock { $0.append("end") }
                case .nothing: return
                }
            }
        })
        let coordinator = WatchCoordinator(
            limits: WatchLimits(), startLSN: 0, mailboxes: [mailbox], waker: NoWaker())
        let worker = WatchWorker(
            coordinator, store: fixture.store, feed: feed, clock: fixture.clock, waker: NoWaker())
        #expect(coordinator.calls.open(watcher) == nil)
        _ = worker.step()
        #expect(mailbox.takeReady() == [token])
        watcher.drain()
        coordinator.calls.signal(watcher)
        _ = worker.step()
        #expect(found.withLock { $0 } == ["batch", "batch", "end"])
    }
}
