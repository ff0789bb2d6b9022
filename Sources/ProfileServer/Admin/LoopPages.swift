import Bytes
import GRPCTransport
import IOCore

/// Renders what the loops have open. Used by one thread, which waits for the loops: each writes its
/// list in its next tick, and goes on.
final class LoopPages {
    /// Longest wait for all loops together, in nanoseconds: hundreds of ticks.
    private static let waitNanoseconds: UInt64 = 100_000_000

    private let inspectors: [LoopInspector]
    private let clock: any Clock
    private let parker: any Parker

    /// - Parameter parker: Of the thread that renders; for nothing else.
    init(_ inspectors: [LoopInspector], clock: any Clock, parker: any Parker) {
        self.inspectors = inspectors
        self.clock = clock
        self.parker = parker
    }

    /// Renders a page: entries in the order of loops and slots, where the next page begins, and the
    /// loops that did not respond in time, whose entries are missing.
    func render(_ page: DebugPage) -> String {
        let loops = Array(self.inspectors.indices.dropFirst(page.loop))
        let listings = self.gather(page, loops)
        var text = ByteBuffer(capacity: 16 << 10)
        text.append(page.subject == .connections ? "{\"connections\":[" : "{\"streams\":[")
        var count = 0
        var next: String?
        for loop in loops {
            for entry in Self.entries(of: listings[loop], loop: loop) {
                guard count < page.limit else {
                    next = "\(loop).\(entry.slot)"
                    break
                }
                if count > 0 { text.append(",") }
                entry.append(to: &text)
                count += 1
            }
            if next != nil { break }
            // A full list may have been cut.
            if count == page.limit {
                let last = Self.entries(of: listings[loop], loop: loop).last?.slot
                next = last.map { "\(loop).\($0 + 1)" } ?? "\(loop + 1).0"
                break
            }
        }
        text.append("],\"next\":")
        if let next { JSONText.append(next, to: &text) } else { text.append("null") }
        let missing = loops.filter { listings[$0] == nil }.map(String.init)
        text.append(text: ",\"loops_missing\":[\(missing.joined(separator: ","))]}")
        return String(decoding: text.bytes, as: UTF8.self)
    }

    /// Asks the loops at once, and waits until all have responded or the time is over. A loop that
    /// still has the question of an earlier page is not waited for.
    private func gather(
        _ page: DebugPage, _ loops: [Int]
    ) -> [Int: LoopInspector.Listing] {
        var waiting = loops.filter { !self.inspectors[$0].isWaiting }
        for loop in waiting {
            self.inspectors[loop].ask(
                LoopInspector.Question(
                    page.subject == .connections ? .connections : .streams,
                    from: loop == page.loop ? page.slot : 0, limit: page.limit),
                asker: self.parker)
        }
        var listings: [Int: LoopInspector.Listing] = [:]
        let end = self.clock.monotonicNanoseconds() + Self.waitNanoseconds
        while true {
            waiting.removeAll { loop in
                listings[loop] = self.inspectors[loop].takeListing()
                return listings[loop] != nil
            }
            let now = self.clock.monotonicNanoseconds()
            guard !waiting.isEmpty, now < end else { return listings }
            self.parker.park(forNanoseconds: end - now)
        }
    }

    // MARK: Entries

    private struct Entry {
        let slot: Int
        let loop: Int
        let members: [(StaticString, Member)]

        enum Member {
            case number(Int)
            case seconds(UInt64)
            case text(String)
            case flag(Bool)
            case null
        }

        func append(to text: inout ByteBuffer) {
            text.append(text: "{\"loop\":\(self.loop),\"slot\":\(self.slot)")
            for (name, member) in self.members {
                text.append(",\"")
                text.append(name)
                text.append("\":")
                switch member {
                case .number(let number): text.append(text: String(number))
                case .seconds(let nanoseconds):
                    text.append(text: String(Double(nanoseconds / 1_000_000) / 1_000))
                case .text(let value): JSONText.append(value, bytesMax: 128, to: &text)
                case .flag(let flag): text.append(flag ? "true" : "false")
                case .null: text.append("null")
                }
            }
            text.append("}")
        }
    }

    private static func entries(of listing: LoopInspector.Listing?, loop: Int) -> [Entry] {
        switch listing {
        case nil: []
        case .connections(let figures): figures.map { self.entry(of: $0, loop) }
        case .streams(let figures): figures.map { self.entry(of: $0, loop) }
        }
    }

    private static func entry(of connection: ConnectionFigures, _ loop: Int) -> Entry {
        Entry(
            slot: connection.slot, loop: loop,
            members: [
                ("generation", .number(Int(connection.generation))),
                ("peer", .text(connection.peer)),
                ("age_seconds", .seconds(connection.ageNanoseconds)),
                ("streams", .number(connection.streams)),
                ("response_bytes_waiting", .number(connection.responseBytesWaiting)),
                ("request_bytes_held", .number(connection.requestBytesHeld)),
                ("output_bytes", .number(connection.outputBytes)),
                ("ending", .flag(connection.isEnding)),
            ])
    }

    private static func entry(of stream: StreamFigures, _ loop: Int) -> Entry {
        Entry(
            slot: stream.slot, loop: loop,
            members: [
                ("connection", .number(stream.connectionSlot)),
                ("stream_id", .number(Int(stream.id))),
                ("method", .text(stream.method.isEmpty ? "unknown" : stream.method)),
                ("age_seconds", .seconds(stream.ageNanoseconds)),
                ("deadline_seconds", stream.deadlineNanoseconds.map { .seconds($0) } ?? .null),
                ("request_bytes", .number(stream.requestBytes)),
                ("response_bytes", .number(stream.responseBytes)),
                ("response_bytes_waiting", .number(stream.responseBytesWaiting)),
                ("request_bytes_held", .number(stream.requestBytesHeld)),
                ("ended", .flag(stream.hasEnded)),
                ("trace", stream.trace.map { .text($0.description) } ?? .null),
            ])
    }
}
