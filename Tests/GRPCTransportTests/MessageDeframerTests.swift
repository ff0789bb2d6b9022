import Bytes
import Testing

@testable import GRPCTransport

@Suite struct MessageDeframerTests {
    /// Feeds `wire` in pieces and returns the messages, and the event that ended it if not all was
    /// taken.
    private func deframe(_ wire: [UInt8], cuts: [Int], max: Int = 1 << 20) -> (
        messages: [[UInt8]], end: MessageDeframer.Event?
    ) {
        var deframer = MessageDeframer()
        var message = ByteBuffer()
        var messages: [[UInt8]] = []
        let edges = [0] + cuts + [wire.count]
        for (from, to) in zip(edges, edges.dropFirst()) {
            let event = Array(wire[from ..< to]).withUnsafeBytes {
                piece -> MessageDeframer.Event? in
                var rest = piece
                while true {
                    switch deframer.next(&rest, into: &message, messageBytesMax: max) {
                    case .needsMore: return nil
                    case .message:
                        messages.append(Array(message.bytes))
                        message.removeAll()
                        if rest.isEmpty { return nil }
                    case let other: return other
                    }
                }
            }
            if let event { return (messages, event) }
        }
        return (messages, nil)
    }

    private static func frame(_ payload: [UInt8], flag: UInt8 = 0) -> [UInt8] {
        [flag, 0, 0, UInt8(payload.count >> 8), UInt8(payload.count & 255)] + payload
    }

    private static let wire = frame([1, 2, 3]) + frame([]) + frame(Array(repeating: 7, count: 300))

    @Test(arguments: 0 ... wire.count)
    func everyCutGivesTheSameMessages(at cut: Int) {
        let (messages, end) = self.deframe(Self.wire, cuts: [cut])
        #expect(end == nil)
        #expect(messages == [[1, 2, 3], [], Array(repeating: 7, count: 300)])
    }

    @Test func oneByteAtATimeGivesTheSameMessages() {
        let (messages, _) = self.deframe(Self.wire, cuts: Array(1 ..< Self.wire.count))
        #expect(messages.count == 3)
    }

    @Test func lengthOverTheLimitIsRejectedFromThePrefix() {
        #expect(self.deframe([0, 0, 0, 0, 11], cuts: [], max: 10).end == .tooLarge(bytes: 11))
        #expect(
            self.deframe([0, 255, 255, 255, 255], cuts: []).end == .tooLarge(bytes: 4_294_967_295))
        #expect(self.deframe([0, 0, 0, 0, 10], cuts: [], max: 10).end == nil)
    }

    @Test func flagsAreTold() {
        #expect(self.deframe(Self.frame([1], flag: 1), cuts: []).end == .compressed)
        #expect(self.deframe([2], cuts: []).end == .invalidFlag(2))
        #expect(self.deframe([255], cuts: []).end == .invalidFlag(255))
    }
}
