import IOCore
import Synchronization
import Testing

@testable import GRPCTransport
@testable import ProfileServer

/// Pages of what the loops have open, beside loops that do not respond.
@Suite struct LoopPagesTests {
    /// Its clock goes on while it is parked, and whatever it waits for happens first.
    private final class WaitingParker: Parker {
        let clock: FakeClock
        let onPark: @Sendable () -> Void
        let parkedNanoseconds = Atomic<UInt64>(0)

        init(_ clock: FakeClock, onPark: @escaping @Sendable () -> Void = {}) {
            self.clock = clock
            self.onPark = onPark
        }

        func park(forNanoseconds nanoseconds: UInt64?) {
            self.onPark()
            self.clock.advance(nanoseconds: nanoseconds ?? 0)
            self.parkedNanoseconds.add(nanoseconds ?? 0, ordering: .relaxed)
        }

        func wake() {}
    }

    private let clock = FakeClock()

    private func inspector() -> LoopInspector {
        LoopInspector(poller: FakePoller(clock: self.clock, listener: FakeListener()))
    }

    private func page() throws -> DebugPage {
        try #require(DebugPage(path: "/debug/connections", query: ""))
    }

    @Test func loopThatDoesNotRespondIsNamedAndNotWaitedForAgain() throws {
        let parker = WaitingParker(self.clock)
        let pages = LoopPages([self.inspector()], clock: self.clock, parker: parker)
        let missing = #"{"connections":[],"next":null,"loops_missing":[0]}"#
        #expect(try pages.render(self.page()) == missing)
        #expect(parker.parkedNanoseconds.load(ordering: .relaxed) == 100_000_000)
        #expect(try pages.render(self.page()) == missing)
        #expect(parker.parkedNanoseconds.load(ordering: .relaxed) == 100_000_000)
    }

    @Test func loopThatRespondsIsListedBesideOneThatDoesNot() throws {
        let (stuck, busy) = (self.inspector(), self.inspector())
        let parker = WaitingParker(self.clock) { busy.serve { _ in .connections([]) } }
        let pages = LoopPages([stuck, busy], clock: self.clock, parker: parker)
        #expect(try pages.render(self.page()).hasSuffix(#""loops_missing":[0]}"#))
    }

    /// The thread is not there, as if it waited for a loop.
    @Test func pagesThatWaitForTheThreadAreBounded() throws {
        let clock = self.clock
        let pages = DebugPages([], clock: clock, makeParker: { WaitingParker(clock) })
        let made = try (0 ..< DebugPages.waitingMax).map { _ in try pages.make(self.page()) }
        #expect(made.allSatisfy { $0 != nil })
        #expect(try pages.make(self.page()) == nil)
    }
}
