// Spans leave on a thread of their own: a loop only copies a record into a bounded queue. A
// collector that is slow, gone or wrong costs spans, which are counted, and never a call.

import Bytes
import GRPCTransport
import IOCore
import IOLinux
import ProfileService
import Synchronization

/// Sends sampled spans to a collector, by OTLP over HTTP/1.1 in JSON.
final class SpanExporter: CallSink {
    /// Calls of one request: some 0.5 MiB with the spans below them.
    private static let callsPerRequest = 512
    /// How long the first span of a request waits for others, in nanoseconds.
    private static let gatherNanoseconds: UInt64 = 500_000_000
    /// For one request and its response, in nanoseconds.
    private static let requestNanoseconds: UInt64 = 5_000_000_000
    /// Requests for the same spans before they are dropped.
    private static let attemptsMax = 4
    /// Before the second attempt, in nanoseconds; twice as long before each further one.
    private static let firstPauseNanoseconds: UInt64 = 500_000_000
    /// At the end of the server: for the last request, in nanoseconds.
    private static let lastRequestNanoseconds: UInt64 = 800_000_000

    /// Why spans were dropped.
    enum Loss: Int, CaseIterable {
        case queueFull
        case rejected
        case undelivered

        var label: String {
            switch self {
            case .queueFull: "queue_full"
            case .rejected: "rejected"
            case .undelivered: "undelivered"
            }
        }
    }

    private let url: CollectorURL
    private let clock: any Clock
    private let log: Log
    private let names: ProjectNames
    private let text: SpanText
    private let queue: CallQueue
    private let end = WriterEnd(makeParker: { LinuxParker() })
    private let exportedCell = Atomic<UInt64>(0)
    private let rejectedCell = Atomic<UInt64>(0)
    private let undeliveredCell = Atomic<UInt64>(0)
    private let retriesCell = Atomic<UInt64>(0)
    private let seed: UInt64

    init(
        url: CollectorURL, clock: any Clock, log: Log, names: ProjectNames, text: SpanText,
        seed: UInt64
    ) {
        self.url = url
        self.clock = clock
        self.log = log
        self.names = names
        self.text = text
        self.seed = seed
        self.queue = CallQueue(waker: self.end.parker)
    }

    /// Calls whose spans a collector took.
    var exported: UInt64 { self.exportedCell.load(ordering: .relaxed) }
    /// Requests that were sent once more.
    var retries: UInt64 { self.retriesCell.load(ordering: .relaxed) }

    /// Calls whose spans were lost.
    func dropped(_ loss: Loss) -> UInt64 {
        switch loss {
        case .queueFull: self.queue.dropped
        case .rejected: self.rejectedCell.load(ordering: .relaxed)
        case .undelivered: self.undeliveredCell.load(ordering: .relaxed)
        }
    }

    func record(_ record: CallRecord) { self.queue.append(record) }

    // MARK: The sender

    /// What became of the spans of one request.
    private enum Outcome: Equatable {
        case accepted(rejectedSpans: UInt64)
        case rejected(status: Int)
        case unreachable(String)
    }

    /// Sends spans until `finish`; the body of its thread.
    func run() {
        var ids = TraceSampler(seed: self.seed)
        /// Whether the last request failed: operators are told once, and once that it goes on.
        var isFailing = false
        while true {
            // Before the queue is looked at: what was added before the stop is sent.
            let isStopping = self.end.isFinishing
            if !isStopping, self.queue.count > 0 { self.gather() }
            let records = self.queue.take(atMost: Self.callsPerRequest).records
            guard !records.isEmpty else {
                if isStopping { break }
                self.end.parker.park(forNanoseconds: nil)
                continue
            }
            let outcome = self.send(self.request(of: records, &ids))
            self.count(outcome, of: UInt64(records.count))
            self.report(outcome, &isFailing)
            if isStopping, case .unreachable = outcome { break }
        }
        let lost = UInt64(self.queue.count)
        self.undeliveredCell.wrappingAdd(lost, ordering: .relaxed)
        self.end.announce()
    }

    /// Waits for more spans, but not for long.
    private func gather() {
        let end = self.clock.monotonicNanoseconds() + Self.gatherNanoseconds
        while self.queue.count < Self.callsPerRequest,
            !self.end.isFinishing
        {
            let now = self.clock.monotonicNanoseconds()
            guard now < end else { return }
            self.end.parker.park(forNanoseconds: end - now)
        }
    }

    private func request(of records: [CallRecord], _ ids: inout TraceSampler) -> [UInt8] {
        var body = ByteBuffer(capacity: 64 << 10)
        self.text.append(
            records, name: { self.names.name(of: $0.project) }, ids: &ids, to: &body)
        let head = """
            POST \(self.url.path) HTTP/1.1\r
            Host: \(self.url.endpoint)\r
            Content-Type: application/json\r
            Content-Length: \(body.count)\r
            User-Agent: profiled/\(BuildVersion.program)\r
            Connection: close\r
            \r

            """
        return Array(head.utf8) + Array(body.bytes)
    }

    /// Sends a request, again if that may help.
    private func send(_ request: [UInt8]) -> Outcome {
        var pause = Self.firstPauseNanoseconds
        var attempts = 0
        while true {
            attempts += 1
            let outcome: Outcome
            let isFinal: Bool
            do throws(IOError) {
                let bytes = try LinuxExchange.exchange(
                    request, with: self.url.endpoint.host, port: self.url.endpoint.port,
                    bytesMax: CollectorResponse.bytesMax,
                    withinNanoseconds: self.end.isFinishing
                        ? Self.lastRequestNanoseconds : Self.requestNanoseconds,
                    isComplete: CollectorResponse.isWhole)
                let response = CollectorResponse(bytes)
                if response.isAccepted {
                    return .accepted(rejectedSpans: response.rejectedSpans)
                }
                isFinal = !response.isTemporary && response.status != 0
                outcome =
                    isFinal
                    ? .rejected(status: response.status)
                    : .unreachable("status \(response.status)")
            } catch {
                isFinal = false
                outcome = .unreachable(error.explanation)
            }
            guard !isFinal, attempts < Self.attemptsMax, self.rest(forNanoseconds: pause) else {
                return outcome
            }
            self.retriesCell.wrappingAdd(1, ordering: .relaxed)
            pause *= 2
        }
    }

    /// Waits; false: the server ends meanwhile.
    private func rest(forNanoseconds nanoseconds: UInt64) -> Bool {
        let end = self.clock.monotonicNanoseconds() + nanoseconds
        while !self.end.isFinishing {
            let now = self.clock.monotonicNanoseconds()
            guard now < end else { return true }
            self.end.parker.park(forNanoseconds: end - now)
        }
        return false
    }

    private func count(_ outcome: Outcome, of calls: UInt64) {
        switch outcome {
        case .accepted(let rejectedSpans):
            // A call may have several spans.
            let rejected = min(rejectedSpans, calls)
            self.exportedCell.wrappingAdd(calls - rejected, ordering: .relaxed)
            self.rejectedCell.wrappingAdd(rejected, ordering: .relaxed)
        case .rejected: self.rejectedCell.wrappingAdd(calls, ordering: .relaxed)
        case .unreachable: self.undeliveredCell.wrappingAdd(calls, ordering: .relaxed)
        }
    }

    private func report(_ outcome: Outcome, _ isFailing: inout Bool) {
        switch outcome {
        case .accepted:
            if isFailing { self.log.info("spans are taken again") }
            isFailing = false
        case .rejected(let status):
            if !isFailing {
                self.log.warning(
                    "the collector rejects spans: they are dropped", LogField("status", status))
            }
            isFailing = true
        case .unreachable(let reason):
            if !isFailing {
                self.log.warning(
                    "spans cannot be delivered: they are dropped", LogField("reason", reason))
            }
            isFailing = true
        }
    }

    /// Waits until what is queued was sent or dropped, but not longer than `nanoseconds`. Called
    /// once, when no call is left.
    ///
    /// - Returns: Whether so: `run` returns then, and its thread can be joined.
    func finish(withinNanoseconds nanoseconds: UInt64) -> Bool {
        self.end.finish(withinNanoseconds: nanoseconds)
    }
}
