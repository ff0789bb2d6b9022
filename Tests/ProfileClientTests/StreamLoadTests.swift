import Glibc
import Testing

@testable import ProfileClient

@Suite struct StreamLoadTests {
    /// A length-delimited field.
    private static func field(_ number: UInt8, _ content: [UInt8]) -> [UInt8] {
        [number << 3 | 2, UInt8(content.count)] + content
    }

    private static func counts(of message: [UInt8]) -> [Int] {
        var counts = TrackResponseCounts()
        message.withUnsafeBytes { counts.add($0) }
        return [counts.stored, counts.others, counts.failures]
    }

    @Test func resultsAreCountedByTheirStatus() {
        let id = Self.field(1, Array("e1".utf8))
        let message =
            Self.field(1, Array("01J".utf8)) + [2 << 3, 0x96, 0x01]
            + Self.field(4, id + [2 << 3, 1]) + Self.field(4, id + [2 << 3, 2])
            + Self.field(4, [2 << 3, 1] + id)
        #expect(Self.counts(of: message) == [2, 1, 0])
    }

    @Test func anErrorIsAFailedMessage() {
        #expect(Self.counts(of: [6 << 3, 9] + Self.field(7, [1 << 3, 3])) == [0, 0, 1])
    }

    @Test(
        arguments: [
            [0x08], [0x22, 5, 1], [0x22, 0xFF], [0x23, 1], [0x09, 1, 2], [0x0D, 1],
            [UInt8](repeating: 0x80, count: 12), [0x22, 1, 0x10],
        ] as [[UInt8]])
    func whatIsNoMessageIsAFailure(bytes: [UInt8]) {
        #expect(Self.counts(of: bytes).last == 1)
    }

    @Test func messagesAreCutAtEverySplitPoint() {
        let bytes = [[1, 2, 3], [], [4]].flatMap { ClientFraming.framed($0) }
        for split in 0 ... bytes.count {
            var splitter = MessageSplitter()
            var messages: [[UInt8]] = []
            for part in [bytes[..<split], bytes[split...]] {
                part.withUnsafeBytes { splitter.receive($0) { messages.append(Array($0)) } }
            }
            #expect(messages == [[1, 2, 3], [], [4]], "\(split)")
        }
    }

    @Test func aTemplateRepeatsItsEventsAndNamesItsPerson() {
        let one = LoadTemplate(.track, project: "default", ids: 100, projects: nil)
        let many = LoadTemplate(.track, project: "default", ids: 100, projects: nil, events: 15)
        var output: [UInt8] = [7]
        many.append(person: 42, to: &output)
        #expect(output[0] == 7 && Array(output[1...]) == many.request(person: 42))
        #expect(String(decoding: output, as: UTF8.self).contains("user-000042"))
        // The event is the last field of the request.
        let event = many.request(person: 0).count - one.request(person: 0).count
        #expect(event > 0 && event % 14 == 0)
    }

    @Test func cpuTimeIsReadBehindANameOfAnyCharacters() {
        let stat = "77 (a) b) (c) S 1 77 77 0 -1 4194560 1 0 0 0 120 30 0 0 20 0 1 0 5 6 7"
        #expect(ProcessCPU.ticks(stat) == 150)
        for text in ["", "77 (a", "77 (a) S 1 2", "77 (a) S 1 2 3 4 5 6 7 8 9 10 x 30"] {
            #expect(ProcessCPU.ticks(text) == nil, "\(text)")
        }
    }

    @Test func thisProcessHasCPUTime() {
        #expect((ProcessCPU(pid: getpid())?.microseconds ?? -1) >= 0)
        #expect(ProcessCPU(pid: Int32.max) == nil)
    }
}
