import Foundation
import IOCore
import IOLinux
import ProfileServer
import Synchronization
import Testing

@Suite struct LogQueueTests {
    private final class NoWaker: Waker {
        func wake() {}
    }

    private func append(
        _ text: String, to queue: LogQueue, of source: LogQueue.Source = .log
    ) {
        _ = Array(text.utf8).withUnsafeBytes { queue.append($0, of: source) }
    }

    private func texts(_ next: LogQueue.Next) -> [String]? {
        guard case .lines(let lines) = next else { return nil }
        return lines.map { String(decoding: $0.bytes, as: UTF8.self) }
    }

    private func fill(_ queue: LogQueue) -> [LogQueue.Line] {
        let line = String(repeating: "x", count: 1_024)
        for _ in 0 ..< LogQueue.bytesMax / 1_024 { self.append(line, to: queue) }
        #expect(queue.dropped == 0)
        guard case .lines(let lines) = queue.take(isFlowing: true) else { return [] }
        return lines
    }

    @Test func linesInTheHandsOfTheWriterCountUntilTheyAreFinished() {
        let queue = LogQueue(waker: NoWaker())
        let lines = self.fill(queue)
        #expect(lines.count == LogQueue.bytesMax / 1_024)
        self.append("a", to: queue)
        #expect(queue.dropped == 1)
        queue.finished(lines[0], isLost: false)
        self.append("b", to: queue)
        #expect(queue.dropped == 1)
        #expect(self.texts(queue.take(isFlowing: true)) == ["b"])
    }

    @Test func lossIsReportedOnceAfterTheLinesThatCameBefore() {
        let queue = LogQueue(waker: NoWaker())
        let lines = self.fill(queue)
        for _ in 0 ..< 3 { self.append("lost", to: queue) }
        for line in lines { queue.finished(line, isLost: false) }
        self.append("after", to: queue)
        #expect(self.texts(queue.take(isFlowing: true)) == ["after"])
        #expect(queue.take(isFlowing: true) == .report(dropped: 3))
        #expect(queue.take(isFlowing: true) == .wait)
        #expect(queue.dropped == 3)
    }

    /// A report that is lost as well would cause the next one, for ever.
    @Test func lossIsNotReportedWhileNobodyReads() {
        let queue = LogQueue(waker: NoWaker())
        self.append("a", to: queue)
        guard case .lines(let lines) = queue.take(isFlowing: false) else { return }
        queue.finished(lines[0], isLost: true)
        #expect(queue.take(isFlowing: false) == .wait)
        queue.stop()
        #expect(queue.take(isFlowing: false) == .end)
        #expect(queue.dropped == 1)
    }

    /// Lines that somebody else has given count for him, whether they had no space or were not
    /// written.
    @Test func lossOfALineThatWasOfferedIsNotTheLogs() {
        let queue = LogQueue(waker: NoWaker())
        self.append("a", to: queue, of: .offered)
        guard case .lines(let lines) = queue.take(isFlowing: true) else { return }
        queue.finished(lines[0], isLost: true)
        _ = self.fill(queue)
        self.append("b", to: queue, of: .offered)
        #expect(queue.dropped(of: .offered) == 2 && queue.dropped == 0)
        #expect(queue.take(isFlowing: true) == .wait)
    }

    @Test func stoppedQueueEndsAfterItsLines() {
        let queue = LogQueue(waker: NoWaker())
        self.append("a", to: queue)
        queue.stop()
        #expect(self.texts(queue.take(isFlowing: true)) == ["a"])
        #expect(queue.take(isFlowing: true) == .end)
    }
}

@Suite struct LogWriterTests {
    /// What a writer has written, and whether its reader reads.
    private final class Reader: Sendable {
        let text = Mutex("")
        let isBlocked = Atomic<Bool>(false)
        let hasGone = Atomic<Bool>(false)

        func write(_ line: UnsafeRawBufferPointer) -> Bool {
            while self.isBlocked.load(ordering: .acquiring) { usleep(1_000) }
            guard !self.hasGone.load(ordering: .acquiring) else { return false }
            let line = String(decoding: line, as: UTF8.self)
            self.text.withLock { $0 += line }
            return true
        }

        var messages: [String] {
            self.text.withLock { $0 }.split(separator: "\n").compactMap { line in
                let object = try? JSONSerialization.jsonObject(with: Data(line.utf8))
                return (object as? [String: Any])?["message"] as? String
            }
        }
    }

    private func start(_ reader: Reader, level: LogLevel = .info) -> (LogWriter, any RunningThread)
    {
        let writer = LogWriter(
            level: level, clock: FakeClock(), makeParker: { LinuxParker() },
            write: { reader.write($0) })
        return (writer, LinuxThreadStarter().start(name: "log-lines") { writer.run() })
    }

    private static let minute: UInt64 = 60 * 1_000_000_000

    @Test func finishWaitsForEverythingThatWasLogged() {
        let reader = Reader()
        let (writer, thread) = self.start(reader)
        for _ in 0 ..< 500 { writer.log.info("happened") }
        #expect(writer.finish(withinNanoseconds: Self.minute))
        #expect(reader.messages.count == 500)
        thread.join()
    }

    @Test func readerThatStopsCostsLinesButNoTime() {
        let reader = Reader()
        reader.isBlocked.store(true, ordering: .releasing)
        let (writer, thread) = self.start(reader)
        // Returns although nobody reads: that is the promise.
        while writer.queue.dropped < 5 { writer.log.info("happened") }
        #expect(!writer.finish(withinNanoseconds: 1_000_000))
        reader.isBlocked.store(false, ordering: .releasing)
        thread.join()
        let messages = reader.messages
        #expect(messages.last == "lines of this log were lost")
        #expect(messages.dropLast().allSatisfy { $0 == "happened" } && messages.count > 1_000)
    }

    @Test func lossIsReportedWhateverTheLowestLevelIs() {
        let reader = Reader()
        let (writer, thread) = self.start(reader, level: .error)
        reader.hasGone.store(true, ordering: .releasing)
        writer.log.error("lost")
        while writer.queue.dropped < 1 { usleep(1_000) }
        reader.hasGone.store(false, ordering: .releasing)
        writer.log.error("seen")
        writer.finish(withinNanoseconds: Self.minute)
        thread.join()
        #expect(reader.messages == ["seen", "lines of this log were lost"])
        #expect(writer.queue.dropped == 1)
    }

    /// A pipe takes so many bytes as a whole or not at all.
    @Test func longestLineFitsThePipe() {
        #expect(Log.lineBytesMax == LinuxOutput.atomicBytes)
        let reader = Reader()
        let (writer, thread) = self.start(reader)
        for length in 0 ... 16 {
            let fields = (0 ..< length).map { _ in
                LogField("text", String(repeating: "\u{1}", count: 600))
            }
            writer.log.write(.info, "happened", fields + [LogField("last", 1)])
        }
        writer.finish(withinNanoseconds: Self.minute)
        thread.join()
        let lines = reader.text.withLock { $0 }.split(separator: "\n")
        #expect(lines.count == 17 && reader.messages.count == 17)
        #expect(lines.map { $0.utf8.count + 1 }.max()! <= Log.lineBytesMax)
        #expect(lines[1].hasSuffix(#","last":1}"#) && lines[2].hasSuffix(#","fields_dropped":1}"#))
    }
}
