import ProfileClient

/// Sends a file of operations in batches, each with a request id that depends only on the file and
/// the line.
final class Importer {
    private let file: ImportFile
    private let positionPath: String
    private var position: ImportPosition
    private let client: UnaryClient
    private let encoder: MessageEncoder
    private let terminal: ToolTerminal
    private var batch = BatchRequest()
    /// Line numbers of the operations in `batch`.
    private var batchLines: [Int] = []
    private var batchFirstLine = 0
    private(set) var tally = Tally()
    private let startedNanoseconds: UInt64
    private let startedLine: Int
    private var shownNanoseconds: UInt64 = 0
    private var shownRejections = 0

    /// A batch is sent early when it reaches this size, a quarter of the largest message.
    private static let batchBytesMax = 1 << 20
    /// Rejections that are shown individually; further ones are only counted.
    private static let rejectionsShownMax = 20
    private static let progressNanoseconds: UInt64 = 200_000_000

    /// The outcomes of the operations of this run.
    struct Tally {
        var done = 0
        var rejected = 0
        var stored = 0
        var duplicates = 0
    }

    init(
        _ file: ImportFile, positionPath: String, position: ImportPosition, client: UnaryClient,
        terminal: ToolTerminal
    ) {
        self.file = file
        self.positionPath = positionPath
        self.position = position
        self.client = client
        self.encoder = MessageEncoder(now: position.begunAt)
        self.terminal = terminal
        self.startedNanoseconds = terminal.nanoseconds()
        self.startedLine = position.lines
    }

    /// - Returns: The position at the end.
    func run() throws -> ImportPosition {
        try self.position.write(self.positionPath)
        var last = self.position.lines
        try self.file.forEach(after: self.position.lines) { number, line in
            last = number
            if self.batchFirstLine == 0 { self.batchFirstLine = number }
            if let operation = self.operation(number, line) {
                self.batch.append(operation)
                self.batchLines.append(number)
            }
            if self.batch.count >= self.position.batch || self.batch.bytes >= Self.batchBytesMax {
                try self.send(upTo: number)
            }
        }
        try self.send(upTo: last)
        self.position.isComplete = true
        try self.position.write(self.positionPath)
        self.terminal.progress("")
        return self.position
    }

    /// Seconds since the beginning of this run.
    var seconds: Double { Double(self.terminal.nanoseconds() - self.startedNanoseconds) / 1e9 }

    /// The encoded operation of a line; `nil` for a blank line and for one that is rejected before
    /// it is sent.
    private func operation(_ number: Int, _ line: [UInt8]) -> [UInt8]? {
        let blanks: Set<UInt8> = [0x20, 0x09, 0x0A, 0x0D]
        guard let first = line.first(where: { !blanks.contains($0) }), first != UInt8(ascii: "#")
        else { return nil }
        do {
            let json = try JSONParser.parse(line)
            guard json.members.count == 1 else {
                self.reject(number, "expected one of identify, track and update_subscription")
                return nil
            }
            return try self.encoder.encode(json, as: BatchRequest.operation)
        } catch let error as JSONSyntaxError {
            self.reject(number, "invalid JSON at byte \(error.offset): \(error.reason)")
        } catch let error as MessageJSONError {
            self.reject(number, "\(error.path): \(error.reason)")
        } catch {
            self.reject(number, "\(error)")
        }
        return nil
    }

    private func reject(_ number: Int, _ why: String) {
        self.tally.rejected += 1
        self.position.rejected += 1
        self.shownRejections += 1
        guard self.shownRejections <= Self.rejectionsShownMax else { return }
        self.terminal.progress("")
        self.terminal.complain("\(self.file.path):\(number): \(TerminalText.safe(why))")
        if self.shownRejections == Self.rejectionsShownMax {
            self.terminal.complain("further rejections are only counted")
        }
    }

    private func send(upTo line: Int) throws {
        if self.batch.count > 0 {
            let message = self.batch.message(
                project: self.position.project, requestID: self.requestID)
            let response = try self.client.call(BatchRequest.method, message)
            guard let json = MessageJSON.decode(response, as: BatchRequest.method.response) else {
                throw RPCFailure(
                    withoutResponse: 13, "the response of BatchWrite has an unexpected format")
            }
            for (index, result) in (json["results"]?.items ?? []).enumerated() {
                self.count(result, line: self.batchLines[index])
            }
        }
        self.batch = BatchRequest()
        self.batchLines = []
        self.batchFirstLine = 0
        self.position.lines = line
        try self.position.write(self.positionPath)
        self.showProgress()
    }

    /// Depends on the file, the batch size and, if times are relative to the beginning of the
    /// import, on that beginning.
    private var requestID: String {
        let begun = self.file.countsFromNow ? String(self.position.begunAt, radix: 36) : ""
        return
            "import-\(String(self.position.digest, radix: 36))-\(begun)-\(self.position.batch)"
            + "-\(self.batchFirstLine)"
    }

    private func count(_ result: JSONValue, line: Int) {
        if let error = result["error"] {
            self.reject(line, FailureText.line(RPCFailure(status: error)))
            return
        }
        self.tally.done += 1
        for event in result["track"]?["results"]?.items ?? [] {
            if event["status"] == .string("EVENT_STATUS_STORED") { self.tally.stored += 1 }
            if event["status"] == .string("EVENT_STATUS_DUPLICATE") { self.tally.duplicates += 1 }
        }
    }

    private func showProgress() {
        let now = self.terminal.nanoseconds()
        guard now - self.shownNanoseconds >= Self.progressNanoseconds else { return }
        self.shownNanoseconds = now
        let rate = Double(self.position.lines - self.startedLine) / max(self.seconds, 0.001)
        self.terminal.progress(
            Self.progressText(lines: self.position.lines, of: self.file.lines, rate: rate))
    }

    static func progressText(lines: Int, of all: Int, rate: Double) -> String {
        let left = rate > 0 ? Int((Double(all - lines) / rate).rounded(.up)) : 0
        let span =
            left >= 3_600
            ? "\(left / 3_600) h \(left / 60 % 60) min"
            : left >= 60 ? "\(left / 60) min \(left % 60) s" : "\(left) s"
        return
            "\(lines) of \(all) lines, \(all == 0 ? 100 : 100 * lines / all) %, "
            + "\(Int(rate)) per second, \(span) left"
    }
}
