import Bytes
import GRPCTransport
import Messages
import Profiles
import Testing

@testable import ProfileService

/// What is handed from the worker to a loop.
@Suite struct WatcherTests {
    private static let id = ProfileID(high: 0x0102_0304_0506_0708, low: 9)

    private static func batch(_ texts: [String]) -> MessageBatch {
        let batch = MessageBatch()
        for text in texts { #expect(Self.append(text, to: batch)) }
        return batch
    }

    private static func append(
        _ text: String, to batch: MessageBatch, isGood: Bool = true
    ) -> Bool {
        batch.append(of: text.hasPrefix("-") ? nil : Self.id) { buffer in
            Array(text.utf8).withUnsafeBytes { buffer.append($0) }
            return isGood
        }
    }

    private static func texts(_ batch: MessageBatch) -> [String] {
        var texts: [String] = []
        while !batch.isEmpty {
            let message = batch.peek()
            texts.append(String(decoding: message.bytes, as: UTF8.self))
            #expect(message.profileID == (texts.last?.hasPrefix("-") == true ? nil : Self.id))
            batch.advance()
        }
        return texts
    }

    // MARK: Batches

    @Test func batchGivesItsMessagesInOrderWithTheirPeople() {
        let long = String(repeating: "x", count: 100_000)
        let batch = Self.batch(["a", "-", "", long, "-b"])
        #expect(!batch.isEmpty && batch.count > 100_000)
        #expect(Self.texts(batch) == ["a", "-", "", long, "-b"])
        #expect(batch.isEmpty && MessageBatch().isEmpty)
    }

    @Test func messageThatCannotBeEncodedLeavesNothing() {
        let batch = Self.batch(["a"])
        let count = batch.count
        #expect(!Self.append("half", to: batch, isGood: false) && batch.count == count)
        #expect(Self.append("b", to: batch))
        #expect(Self.texts(batch) == ["a", "b"])
    }

    @Test func batchIsUsedAgainAndGivesBackWhatIsTooLarge() {
        let batch = Self.batch([String(repeating: "x", count: 100_000)])
        batch.erasure = 7
        batch.advance()
        batch.reset(keepingCapacity: 4_096)
        #expect(batch.isEmpty && batch.count == 0 && batch.erasure == 0)
        #expect(batch.capacity <= 4_096)
        #expect(Self.append("again", to: batch) && Self.texts(batch) == ["again"])
    }

    // MARK: Handing over

    private static func isNothing(
        _ finding: BatchHandover<MessageBatch, CallFailure>.Finding
    ) -> Bool {
        if case .nothing = finding { true } else { false }
    }

    @Test func oneBatchWaitsAtATimeAndItsStorageComesBack() {
        let watcher = WatchWorld().watcher()
        #expect(Self.isNothing(watcher.take(giving: nil)))
        #expect(watcher.takeDemand().hasHeadroom)
        let first = Self.batch(["a"])
        watcher.post(first)
        #expect(!watcher.takeDemand().hasHeadroom && watcher.takeDemand().spare == nil)
        guard case .batch(let taken) = watcher.take(giving: nil) else {
            Issue.record("it waits")
            return
        }
        #expect(taken === first)
        #expect(Self.isNothing(watcher.take(giving: taken)))
        let demand = watcher.takeDemand()
        #expect(demand.hasHeadroom && demand.spare === first)
        #expect(watcher.takeDemand().spare == nil, "it is taken once")
    }

    @Test func endComesBehindTheLastBatch() {
        let watcher = WatchWorld().watcher()
        watcher.post(Self.batch(["last"]))
        watcher.end(with: .rejected(.draining))
        guard case .batch = watcher.take(giving: nil) else {
            Issue.record("the batch comes first")
            return
        }
        guard case .ended = watcher.take(giving: nil) else {
            Issue.record("the end comes then")
            return
        }
    }

    @Test func whatTheLoopWantsIsSeenByTheWorker() {
        let watcher = WatchWorld().watcher()
        #expect(!watcher.takeDemand().isDraining && !watcher.takeDemand().isClosed)
        watcher.drain()
        #expect(watcher.takeDemand().isDraining)
        watcher.close()
        #expect(watcher.takeDemand().isClosed)
    }
}
