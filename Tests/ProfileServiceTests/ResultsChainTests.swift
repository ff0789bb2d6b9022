import Storage
import Testing

@testable import ProfileService

@Suite struct ResultsChainTests {
    private static func mark(_ lsn: UInt64, _ digest: UInt64? = nil) -> ResultsMark {
        ResultsMark(lsn: lsn, digest: digest ?? lsn * 10)
    }

    /// What a leader with `window` frames in flight writes into `frames` frames of one lsn each.
    private static func written(_ frames: Int, window: Int) -> [ResultsMark] {
        var chain = ResultsChain()
        var named: [ResultsMark] = []
        var applied: UInt64 = 0
        for number in 1 ... frames {
            named.append(chain.next)
            _ = chain.name()
            if number - Int(applied) >= window {
                applied += 1
                chain.applied(Self.mark(applied))
            }
        }
        return named
    }

    @Test func withOneFrameInFlightEachNamesTheOneBefore() {
        #expect(Self.written(5, window: 1) == [Self.mark(0)] + (1 ... 4).map { Self.mark($0) })
    }

    @Test func withSeveralInFlightEachIsNamedOnceAndInOrder() {
        let named = Self.written(40, window: 16)
        #expect(named.prefix(16).allSatisfy { $0 == Self.mark(0) })
        #expect(Array(named.dropFirst(16)) == (1 ... 24).map { Self.mark($0) })
    }

    @Test(arguments: [1, 2, 16], [0, 3, 9])
    func replayFindsTheFrameThatDiffersAtMostAWindowLater(window: Int, changed: Int) {
        var named = Self.written(40, window: window)
        #expect(Self.firstMismatch(named) == nil)
        let index = window + changed
        named[index].digest += 1
        #expect(Self.firstMismatch(named) == index)
    }

    /// The first frame whose named results a replay does not have.
    private static func firstMismatch(_ named: [ResultsMark]) -> Int? {
        var chain = ResultsChain()
        for (index, mark) in named.enumerated() {
            guard chain.check(mark) else { return index }
            chain.applied(Self.mark(UInt64(index + 1)))
        }
        return nil
    }

    @Test func repeatedNameIsComparedToo() {
        var chain = ResultsChain()
        chain.applied(Self.mark(1))
        let outcomes = [Self.mark(1), Self.mark(1), Self.mark(1, 11)].map { chain.check($0) }
        #expect(outcomes == [true, true, false])
    }

    @Test func nameThatIsNoEndOfAFrameIsAMismatch() {
        var chain = ResultsChain()
        chain.applied(Self.mark(4))
        let isSame = chain.check(Self.mark(3))
        #expect(!isSame)
    }

    @Test func whatIsOlderThanTheSnapshotIsNotComparedAndTheSnapshotsOwnIs() {
        var chain = ResultsChain(behind: Self.mark(7))
        var other = chain
        let outcomes = [Self.mark(5, 1), Self.mark(7)].map { chain.check($0) }
        #expect(outcomes == [true, true])
        let isSame = other.check(Self.mark(7, 1))
        #expect(!isSame)
    }

    @Test func resultsNamedByDiscardedFramesAreNamedAgain() {
        var chain = ResultsChain()
        for lsn in 1 ... 3 as ClosedRange<UInt64> { chain.applied(Self.mark(lsn)) }
        let named = (0 ..< 2).compactMap { _ in chain.name() }
        for mark in named.reversed() { chain.restore(mark) }
        let again = (0 ..< 4).map { _ in chain.name() }
        #expect(again == [Self.mark(1), Self.mark(2), Self.mark(3), nil])
        #expect(chain.next == Self.mark(3))
    }
}
