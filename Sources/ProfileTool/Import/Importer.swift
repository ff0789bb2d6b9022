import ProfileClient

/// Sends operations in batches, each with a request id that depends only on the lines up to the end
/// of the batch.
///
/// A line that is not an operation, or whose operation the service rejects, is reported and does
/// not hold up the others. A batch that is rejected as a whole for what one operation contains is
/// divided until that operation is alone.
final class Importer {
    /// What an import reads and writes besides the service.
    struct Files {
        var reader: LineReader
        /// The number of lines, if they were counted in advance.
        var lines: Int?
        /// `nil`: the position is not stored.
        var positionPath: String?
        var rejects: RejectsFile?
    }

    /// The outcomes of the operations of this run.
    struct Tally {
        var done = 0
        var rejected = 0
        var stored = 0
        var duplicates = 0
    }

    /// A line of the current batch, with its operation or the reason against it.
    private struct Entry {
        var number: Int
        /// `nil` if the line is too long to be kept.
        var line: [UInt8]?
        var operation: [UInt8] = []
        var rejection: String?
    }

    private let files: Files
    private var position: ImportPosition
    private let client: UnaryClient
    private let encoder: MessageEncoder
    private let terminal: ToolTerminal
    private var entries: [Entry] = []
    private var operations = 0
    /// Bytes of operations and of lines in `entries`.
    private var operationBytes = 0
    private var lineBytes = 0
    private var batchFirstLine = 0
    private var countsFromNow = false
    private(set) var tally = Tally()
    private let startedNanoseconds: UInt64
    private let startedLine: Int
    private var shownNanoseconds: UInt64 = 0
    private var shownRejections = 0

    /// A batch ends before the operation that would make it larger: a quarter of the largest
    /// message.
    private static let operationBytesMax = 1 << 20
    /// A batch ends before the line that would make its lines larger, in bytes: they are kept until
    /// the response, for the rejects file.
    private static let lineBytesMax = LineReader.lineBytesMax
    /// Most lines of a batch with operations or rejections, so that a file of bad lines does not
    /// fill the memory.
    private static let entriesMax = 1_000
    /// Rejections that are shown individually; further ones are only counted.
    private static let rejectionsShownMax = 20
    /// Longest reason that is shown, in characters: it may quote the line.
    private static let reasonCharactersMax = 400
    private static let progressNanoseconds: UInt64 = 200_000_000

    init(
        _ files: Files, position: ImportPosition, client: UnaryClient, terminal: ToolTerminal
    ) {
        self.files = files
        self.position = position
        self.client = client
        self.encoder = MessageEncoder(now: position.begunAt)
        self.terminal = terminal
        self.startedNanoseconds = terminal.nanoseconds()
        self.startedLine = position.lines
    }

    /// Reads to the end. The lines before the position must have been read already.
    ///
    /// - Returns: The position at the end.
    func run() throws -> ImportPosition {
        try self.savePosition()
        var number = self.position.lines
        var digest = self.files.reader.digest
        while let line = try self.files.reader.next() {
            let entry = self.entry(number + 1, line)
            if let entry, !self.fits(entry) { try self.send(upTo: number, digest) }
            number += 1
            digest = self.files.reader.digest
            if let entry { self.append(entry) }
            if self.operations >= self.position.batch || self.entries.count >= Self.entriesMax {
                try self.send(upTo: number, digest)
            }
        }
        try self.send(upTo: number, digest)
        self.terminal.progress("")
        if self.position.subject == .file, digest != self.position.digest {
            throw FileFailure(
                "\(self.files.reader.name) changed while it was imported; \(number) lines were read"
            )
        }
        self.position.isComplete = true
        try self.savePosition()
        try self.files.rejects?.close()
        return self.position
    }

    /// Seconds since the beginning of this run.
    var seconds: Double {
        Double(self.terminal.nanoseconds() &- self.startedNanoseconds) / 1e9
    }

    // MARK: Batches

    /// `nil` for a blank line and a comment.
    private func entry(_ number: Int, _ line: LineReader.Line) -> Entry? {
        switch line {
        case .tooLong(let bytes):
            return Entry(
                number: number,
                rejection: "a line of \(bytes) bytes; at most \(LineReader.lineBytesMax) are read")
        case .text(let text):
            do throws(ImportLine.Invalid) {
                return try ImportLine.operation(text, self.encoder).map {
                    Entry(number: number, line: text, operation: $0)
                }
            } catch {
                return Entry(number: number, line: text, rejection: error.reason)
            }
        }
    }

    private func fits(_ entry: Entry) -> Bool {
        self.operationBytes + entry.operation.count <= Self.operationBytesMax
            && self.lineBytes + (entry.line?.count ?? 0) <= Self.lineBytesMax
    }

    private func append(_ entry: Entry) {
        if self.batchFirstLine == 0 { self.batchFirstLine = entry.number }
        if entry.rejection == nil { self.operations += 1 }
        self.operationBytes += entry.operation.count
        self.lineBytes += entry.line?.count ?? 0
        self.countsFromNow =
            self.countsFromNow || ImportLine.countsFromNow(entry.line ?? [])
        self.entries.append(entry)
    }

    /// - Parameter digest: Of the lines up to `line`.
    private func send(upTo line: Int, _ digest: UInt64) throws {
        let sent = self.entries.indices.filter { self.entries[$0].rejection == nil }
        try self.write(sent[...], self.requestID(digest))
        for entry in self.entries {
            if let reason = entry.rejection { try self.reject(entry, reason) }
        }
        self.entries.removeAll(keepingCapacity: true)
        (self.operations, self.operationBytes, self.lineBytes) = (0, 0, 0)
        self.batchFirstLine = 0
        self.countsFromNow = false
        self.position.lines = line
        if self.position.subject == .stream { self.position.digest = digest }
        self.position.rejectsBytes = self.files.rejects?.bytes ?? self.position.rejectsBytes
        try self.savePosition()
        self.showProgress()
    }

    /// Depends on the lines up to the end of the batch, the batch size and, if a time in the batch
    /// is relative to the beginning of the import, on that beginning.
    private func requestID(_ digest: UInt64) -> String {
        let begun = self.countsFromNow ? String(self.position.begunAt, radix: 36) : ""
        return
            "import-\(String(digest, radix: 36))-\(begun)-\(self.position.batch)"
            + "-\(self.batchFirstLine)"
    }

    /// Sends the operations of some entries; notes in them what the service rejects.
    private func write(_ indices: ArraySlice<Int>, _ requestID: String) throws {
        guard !indices.isEmpty else { return }
        var batch = BatchRequest()
        for index in indices { batch.append(self.entries[index].operation) }
        let results: [JSONValue]
        do {
            let message = batch.message(project: self.position.project, requestID: requestID)
            results = try self.results(of: self.client.call(BatchRequest.method, message))
        } catch let failure as RPCFailure where Self.concernsOperations(failure) {
            guard indices.count > 1 else {
                self.entries[indices.first!].rejection = FailureText.ofOperation(failure)
                return
            }
            // Rejected as a whole, so nothing of it is applied. The halves have ids of their own.
            let middle = indices.startIndex + indices.count / 2
            try self.write(indices[..<middle], requestID + "-a")
            try self.write(indices[middle...], requestID + "-b")
            return
        }
        guard results.count == indices.count else {
            throw RPCFailure(
                withoutResponse: 13,
                "BatchWrite returned \(results.count) results for \(indices.count) operations")
        }
        for (index, result) in zip(indices, results) { self.note(result, at: index) }
    }

    private func results(of response: [UInt8]) throws -> [JSONValue] {
        guard let json = MessageJSON.decode(response, as: BatchRequest.method.response) else {
            throw RPCFailure(
                withoutResponse: 13, "the response of BatchWrite has an unexpected format")
        }
        return json["results"]?.items ?? []
    }

    /// Whether a batch was rejected for what its operations contain. What is wrong with the project
    /// or the caller would fail for each operation alone, too.
    private static func concernsOperations(_ failure: RPCFailure) -> Bool {
        failure.hasResponse && failure.code == RPCFailure.invalidArgument
            && (failure.violations.isEmpty
                || failure.violations.contains { $0.field.hasPrefix("operations") })
    }

    // MARK: Outcomes

    private func note(_ result: JSONValue, at index: Int) {
        if let error = result["error"] {
            self.entries[index].rejection = FailureText.ofOperation(RPCFailure(status: error))
            return
        }
        let events = result["track"]?["results"]?.items ?? []
        var reasons: [String] = []
        for (number, event) in events.enumerated() {
            switch event["status"]?.text {
            case "EVENT_STATUS_STORED": self.tally.stored += 1
            case "EVENT_STATUS_DUPLICATE": self.tally.duplicates += 1
            case "EVENT_STATUS_REJECTED":
                let why = FailureText.line(RPCFailure(status: event["error"] ?? .null))
                reasons.append("events[\(number)]: \(why)")
            default: break
            }
        }
        // With allow_partial, the other events of the line are stored.
        if reasons.isEmpty {
            self.tally.done += 1
        } else {
            self.entries[index].rejection = reasons.joined(separator: "; ")
        }
    }

    private func reject(_ entry: Entry, _ why: String) throws {
        var reason = String(why.prefix(Self.reasonCharactersMax))
        if reason.count < why.count { reason += "..." }
        self.tally.rejected += 1
        self.position.rejected += 1
        let source = self.files.reader.name
        try self.files.rejects?.append(source, entry.number, reason, line: entry.line)
        self.shownRejections += 1
        guard self.shownRejections <= Self.rejectionsShownMax else { return }
        self.terminal.progress("")
        self.terminal.complain("\(source):\(entry.number): \(reason)")
        if self.shownRejections == Self.rejectionsShownMax {
            self.terminal.complain(
                "further rejections are only counted"
                    + (self.files.rejects == nil ? "; --rejects FILE collects all" : ""))
        }
    }

    private func savePosition() throws(FileFailure) {
        if let path = self.files.positionPath { try self.position.write(path) }
    }

    private func showProgress() {
        let now = self.terminal.nanoseconds()
        guard now &- self.shownNanoseconds >= Self.progressNanoseconds else { return }
        self.shownNanoseconds = now
        let rate = Double(self.position.lines - self.startedLine) / max(self.seconds, 0.001)
        self.terminal.progress(
            Self.progressText(lines: self.position.lines, of: self.files.lines, rate: rate))
    }

    /// - Parameter all: `nil` for a stream.
    static func progressText(lines: Int, of all: Int?, rate: Double) -> String {
        let perSecond = "\(Int(rate)) per second"
        guard let all else { return "\(lines) lines, \(perSecond)" }
        let left = rate >= 1 ? Int((Double(max(0, all - lines)) / rate).rounded(.up)) : 0
        let span =
            left >= 3_600
            ? "\(left / 3_600) h \(left / 60 % 60) min"
            : left >= 60 ? "\(left / 60) min \(left % 60) s" : "\(left) s"
        return
            "\(lines) of \(all) lines, \(all == 0 ? 100 : 100 * min(lines, all) / all) %, "
            + "\(perSecond), \(span) left"
    }
}
