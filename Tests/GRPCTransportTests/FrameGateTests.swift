import CNGHTTP2
import TestSupport
import Testing

@testable import GRPCTransport

/// Frame headers in any cut, and the streams that they belong to.
@Suite struct FrameGateTests {
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    /// Headers that the scanner finds in the parts, with offsets in the whole.
    private func scan(_ parts: [[UInt8]]) -> [FrameScanner.Header] {
        var scanner = FrameScanner()
        var found: [FrameScanner.Header] = []
        for part in parts {
            part.withUnsafeBytes { bytes in
                var offset = 0
                while let header = scanner.next(in: bytes, at: &offset) { found.append(header) }
            }
        }
        return found
    }

    @Test func everyCutFindsTheSameFrames() {
        let bytes =
            Self.preface + Frames.frame(4, 0, 0, []) + Frames.frame(0xFA, 3, 0x7FFF_FFFF, [9])
            + Frames.frame(2, 0, 5, [0x80, 0, 0, 7, 1]) + Frames.frame(2, 0, 5, [1, 2])
            + Frames.frame(0, 1, 1, [UInt8](repeating: 2, count: 300)) + Frames.frame(6, 1, 0, [])
        let whole = self.scan([bytes])
        #expect(whole.map(\.kind) == [4, 0xFA, 2, 2, 0, 6])
        #expect(whole.map(\.length) == [0, 1, 5, 2, 300, 0])
        #expect(whole.map(\.flags) == [0, 3, 0, 0, 1, 1])
        #expect(whole.map(\.stream) == [0, 0x7FFF_FFFF, 5, 5, 1, 0])
        #expect(whole.map(\.dependency) == [0, 0, 7, 0, 0, 0])
        #expect(whole.map(\.offset) == [24, 33, 43, 57, 68, 377])
        func kinds(_ headers: [FrameScanner.Header]) -> [[UInt32]] {
            headers.map { [UInt32($0.kind), UInt32($0.length), $0.stream, $0.dependency] }
        }
        for cut in 0 ... bytes.count {
            let parts = [Array(bytes[..<cut]), Array(bytes[cut...])]
            #expect(kinds(self.scan(parts)) == kinds(whole), "cut at \(cut)")
        }
        #expect(kinds(self.scan(bytes.map { [$0] })) == kinds(whole))
    }

    // MARK: Streams

    private static let end: UInt8 = 1
    private static let endHeaders: UInt8 = 4

    private func verdicts(_ frames: [(kind: UInt8, flags: UInt8, stream: UInt32)])
        -> [PeerStreams.Verdict]
    {
        var streams = PeerStreams()
        return frames.map {
            streams.receive(
                FrameScanner.Header(
                    length: 5, kind: $0.kind, flags: $0.flags, stream: $0.stream, dependency: 1,
                    offset: 0))
        }
    }

    @Test func framesAfterTheEndOfAStreamAreErrors() {
        for last: (UInt8, UInt8) in [(FrameKind.data, Self.end), (FrameKind.reset, 0)] {
            for (kind, flags) in [(FrameKind.data, UInt8(0)), (FrameKind.headers, Self.endHeaders)]
            {
                #expect(
                    self.verdicts([
                        (FrameKind.headers, Self.endHeaders, 1), (FrameKind.data, 0, 1),
                        (last.0, last.1, 1), (kind, flags, 1),
                    ]) == [.pass, .pass, .pass, .streamClosed])
            }
        }
        let ended = Self.endHeaders | Self.end
        #expect(
            self.verdicts([(FrameKind.headers, ended, 1), (FrameKind.headers, ended, 1)])
                == [.pass, .streamClosed])
        #expect(
            self.verdicts([
                (FrameKind.headers, Self.endHeaders, 1), (FrameKind.headers, ended, 1),
                (FrameKind.data, 0, 1),
            ]) == [.pass, .pass, .streamClosed])
    }

    @Test func streamsThatEndInAnyOrderAreToldApart() {
        let open = Self.endHeaders
        #expect(
            self.verdicts([
                (FrameKind.headers, open, 1), (FrameKind.headers, open, 3),
                (FrameKind.headers, open | Self.end, 5), (FrameKind.data, 0, 1),
                (FrameKind.data, Self.end, 3), (FrameKind.data, Self.end, 1),
                (FrameKind.data, 0, 3),
            ]) == [.pass, .pass, .pass, .pass, .pass, .pass, .streamClosed])
    }

    @Test func aStreamThatWasPassedOverCannotBeOpened() {
        let ended = Self.endHeaders | Self.end
        #expect(
            self.verdicts([(FrameKind.headers, ended, 5), (FrameKind.headers, ended, 3)])
                == [.pass, .protocolError])
        #expect(
            self.verdicts([
                (FrameKind.headers, ended, 1), (FrameKind.headers, ended, 7),
                (FrameKind.headers, ended, 9), (FrameKind.headers, ended, 5),
            ]) == [.pass, .pass, .pass, .protocolError])
    }

    @Test func framesOfVeryOldStreamsAreLeftToTheSession() {
        let ended = Self.endHeaders | Self.end
        var frames: [(kind: UInt8, flags: UInt8, stream: UInt32)] = [
            (FrameKind.headers, Self.endHeaders, 1)
        ]
        for index in 1 ... 128 { frames.append((FrameKind.headers, ended, UInt32(2 * index + 1))) }
        frames += [(FrameKind.data, Self.end, 1), (FrameKind.data, 0, 1), (FrameKind.data, 0, 3)]
        #expect(
            self.verdicts(frames)
                == [PeerStreams.Verdict](repeating: .pass, count: 131) + [.streamClosed])
    }

    @Test func aHugeLeapOfIdentifiersForgetsWhatCameBefore() {
        let ended = Self.endHeaders | Self.end
        #expect(
            self.verdicts([
                (FrameKind.headers, ended, 1), (FrameKind.headers, ended, 0x7FFF_FFFF),
                (FrameKind.data, 0, 1), (FrameKind.headers, ended, 0x7FFF_FFFD),
                (FrameKind.data, 0, 0x7FFF_FFFF),
            ]) == [.pass, .pass, .pass, .protocolError, .streamClosed])
    }

    @Test func insideAHeaderBlockOnlyTheSessionDecides() {
        #expect(
            self.verdicts([
                (FrameKind.headers, Self.end, 1), (FrameKind.data, 0, 1),
                (FrameKind.continuation, 0, 1), (FrameKind.priority, 0, 1),
                (FrameKind.continuation, Self.endHeaders, 1), (FrameKind.data, 0, 1),
            ]) == [.pass, .pass, .pass, .pass, .pass, .streamClosed])
    }

    @Test func priorityNeedsAStreamAndAnotherToDependOn() {
        #expect(
            self.verdicts([
                (FrameKind.priority, 0, 3), (FrameKind.priority, 0, 1), (FrameKind.priority, 0, 0),
            ]) == [.pass, .protocolError, .protocolError])
    }

    @Test func idleStreamsAndThoseOfTheServerAreLeftToTheSession() {
        #expect(
            self.verdicts([
                (FrameKind.data, 0, 1), (FrameKind.data, 0, 0), (FrameKind.headers, 5, 2),
                (FrameKind.headers, 5, 0), (FrameKind.reset, 0, 9), (FrameKind.data, 0, 2),
            ]) == [PeerStreams.Verdict](repeating: .pass, count: 6))
    }

    // MARK: Budget

    /// Whether the peer may go on after each step: frames that it sends, at a time.
    private func outcomes(_ steps: [(frames: Int, nanoseconds: UInt64)]) -> [Bool] {
        var budget = WorkBudget(burstFrames: 10, framesPerSecond: 5, nowNanoseconds: 0)
        return steps.map {
            budget.refill(nowNanoseconds: $0.nanoseconds)
            budget.spend($0.frames * WorkBudget.framePoints)
            return budget.settle()
        }
    }

    @Test func framesWithoutProgressUseTheBudgetUp() {
        let second: UInt64 = 1_000_000_000
        #expect(self.outcomes([(10, 0), (1, 0), (0, second)]) == [true, false, true])
        #expect(self.outcomes([(10, 0), (5, second), (1, second)]) == [true, true, false])
    }

    @Test func aLongSilenceFillsTheBudgetOnce() {
        #expect(self.outcomes([(10, 0), (10, .max / 2), (1, .max / 2)]) == [true, true, false])
    }

    @Test func progressEarnsWhatFramesCostAndNoMoreThanTheBurst() {
        var budget = WorkBudget(burstFrames: 10, framesPerSecond: 5, nowNanoseconds: 0)
        var outcomes: Set<Bool> = []
        for _ in 0 ..< 1_000 {
            budget.spend(8 * WorkBudget.framePoints)
            budget.earnProgress()
            budget.spend(WorkBudget.framePoints)
            budget.earn(bytes: WorkBudget.framePoints)
            outcomes.insert(budget.settle())
        }
        budget.earn(bytes: 1 << 40)
        outcomes.insert(budget.settle())
        #expect(outcomes == [true])
        budget.spend(10 * WorkBudget.framePoints + 1)
        let isLeft = budget.settle()
        #expect(!isLeft)
    }
}
