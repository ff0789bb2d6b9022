import Testing

@testable import ProfileService

@Suite struct BatchHandoverTests {
    private typealias Handover = BatchHandover<Int, String>

    private static func text(_ finding: Handover.Finding) -> String {
        switch finding {
        case .batch(let batch): "batch \(batch)"
        case .nothing: "nothing"
        case .ended(let ending): "ended \(ending)"
        }
    }

    @Test func endIsFoundBehindTheBatchThatWaits() {
        var handover = Handover()
        #expect(Self.text(handover.take(giving: nil)) == "nothing")
        handover.post(1)
        handover.end("drain")
        #expect(!handover.hasHeadroom)
        #expect(Self.text(handover.take(giving: nil)) == "batch 1")
        #expect(handover.hasHeadroom)
        #expect(Self.text(handover.take(giving: nil)) == "ended drain")
    }

    @Test func abortedCallSendsNothingMore() {
        var handover = Handover()
        handover.post(1)
        handover.abort("deleted")
        #expect(Self.text(handover.take(giving: nil)) == "ended deleted")
    }

    @Test func storageOfASentBatchComesBackOnce() {
        var handover = Handover()
        #expect(handover.takeSpare() == nil)
        _ = handover.take(giving: 7)
        #expect(handover.takeSpare() == 7)
        #expect(handover.takeSpare() == nil)
    }
}
