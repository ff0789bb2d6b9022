import ProfileClient

/// Sends operations in chunks over one stream, each with an id that depends only on the lines up to
/// the end of the chunk; the next chunks are read while earlier ones wait for their responses.
///
/// A record that is not an operation, or whose operation the service rejects, is reported and does
/// not hold up the others.
final class Importer {
    /// What an import reads and writes besides the service.
    struct Files {
        var source: ImportSource
        /// The number of lines, if they were counted in advance.
        var lines: Int?
        /// `nil`: the position is not stored.
        var positionPath: String?
        var rejects: RejectsFile?
    }

    /// The outcomes of the records and operations of this run.
    struct Tally {
        /// Records of which nothing was rejected.
        var done = 0
        var rejected = 0
        /// Operations that changed something, and those that changed nothing.
        var applied = 0
        var unchanged = 0
    }

    /// Records that are sent together.
    private struct Chunk {
        var records: [ImportRecord] = []
        var operationCount = 0
        /// Bytes of operations and of lines.
        var operationBytes = 0
        var lineBytes = 0
        /// The position behind it: lines, and their digest.
        var lines = 0
        var digest: UInt64 = 0
    }

    private let files: Files
    private var position: ImportPosition
    private let stream: ImportStream
    private let terminal: ToolTerminal
    private let isDryRun: Bool
    private var chunk = Chunk()
    /// Chunks whose records have no outcome yet, the oldest first.
    private var waiting: [Chunk] = []
    private(set) var tally = Tally()
    private let startedNanoseconds: UInt64
    private let startedLine: Int
    private var shownNanoseconds: UInt64 = 0
    private var shownRejections = 0

    /// Chunks without a response: one is imported while the next is on its way.
    private static let chunksWaitingMax = 3
    /// A chunk ends before the operation that would make it larger: a quarter of the largest
    /// message.
    private static let operationBytesMax = 1 << 20
    /// A chunk ends before the record that would make its lines larger, in bytes: they are kept
    /// until the response, for the rejects file.
    private static let lineBytesMax = LineReader.lineBytesMax
    /// Most records of a chunk, so that a file of bad lines does not fill the memory.
    private static let recordsMax = 1_000
    /// Rejections that are shown individually; further ones are only counted.
    private static let rejectionsShownMax = 20
    /// Longest reason that is shown, in characters: it may quote the line.
    private static let reasonCharactersMax = 400
    private static let progressNanoseconds: UInt64 = 200_000_000

    init(
        _ files: Files, position: ImportPosition, client: UnaryClient, terminal: ToolTerminal,
        isDryRun: Bool
    ) {
        self.files = files
        self.position = position
        self.stream = ImportStream(client)
        self.terminal = terminal
        self.isDryRun = isDryRun
        self.startedNanoseconds = terminal.nanoseconds()
        self.startedLine = position.lines
    }

    /// Reads to the end. The lines before the position must have been read already.
    ///
    /// - Returns: The position at the end.
    func run() throws -> ImportPosition {
        try self.savePosition()
        let source = self.files.source
        while true {
            let (lines, digest) = (source.lines, source.reader.digest)
            guard let record = try source.next() else { break }
            if !self.fits(record) { try self.endChunk(lines, digest) }
            if record.rejection != nil || !record.operations.isEmpty { self.append(record) }
            let isFull =
                self.chunk.operationCount >= self.position.batch
                || self.chunk.records.count >= Self.recordsMax
            if isFull { try self.endChunk(source.lines, source.reader.digest) }
        }
        try self.endChunk(source.lines, source.reader.digest)
        while !self.waiting.isEmpty { try self.settleOldest() }
        self.stream.finish()
        self.terminal.progress("")
        if self.position.subject == .file, source.reader.digest != self.position.digest {
            throw FileFailure(
                "\(source.reader.name) changed while it was imported; \(source.lines) lines were "
                    + "read")
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

    // MARK: Chunks

    private func fits(_ record: ImportRecord) -> Bool {
        self.chunk.operationCount + record.operations.count <= self.position.batch
            && self.chunk.operationBytes + record.operationBytes <= Self.operationBytesMax
            && self.chunk.lineBytes + (record.text?.count ?? 0) <= Self.lineBytesMax
    }

    private func append(_ record: ImportRecord) {
        self.chunk.operationCount += record.operations.count
        self.chunk.operationBytes += record.operationBytes
        self.chunk.lineBytes += record.text?.count ?? 0
        self.chunk.records.append(record)
    }

    /// Sends the chunk that is being read, and begins another one.
    ///
    /// - Parameter digest: Of the lines up to `lines`.
    private func endChunk(_ lines: Int, _ digest: UInt64) throws {
        (self.chunk.lines, self.chunk.digest) = (lines, digest)
        if self.chunk.operationCount > 0 {
            var request = ImportRequest()
            for record in self.chunk.records {
                for operation in record.operations { request.append(operation) }
            }
            self.stream.send(
                request.message(
                    project: self.position.project, chunkID: self.chunkID, isDryRun: self.isDryRun))
        }
        self.waiting.append(self.chunk)
        self.chunk = Chunk()
        while self.waiting.count >= Self.chunksWaitingMax { try self.settleOldest() }
    }

    /// Depends on the lines up to the end of the chunk, the chunk size and, if a time in the chunk
    /// is relative to the beginning of the import, on that beginning.
    private var chunkID: String {
        let counts = self.chunk.records.contains { $0.countsFromNow }
        let begun = counts ? String(self.position.begunAt, radix: 36) : ""
        return
            "import-\(String(self.chunk.digest, radix: 36))-\(begun)-\(self.position.batch)"
            + "-\(self.chunk.records.first?.number ?? 0)"
    }

    /// Waits for the response to the oldest chunk, and notes what became of its records.
    private func settleOldest() throws {
        var chunk = self.waiting[0]
        if chunk.operationCount > 0 {
            self.note(
                try ImportResponse(self.stream.next(), of: chunk.operationCount), in: &chunk)
        }
        self.waiting.removeFirst()
        for record in chunk.records {
            if let reason = record.rejection {
                try self.reject(record, reason)
            } else {
                self.tally.done += 1
            }
        }
        self.position.lines = chunk.lines
        if self.position.subject == .stream { self.position.digest = chunk.digest }
        self.position.rejectsBytes = self.files.rejects?.bytes ?? self.position.rejectsBytes
        try self.savePosition()
        self.showProgress()
    }

    // MARK: Outcomes

    private func note(_ response: ImportResponse, in chunk: inout Chunk) {
        self.tally.applied += response.applied
        self.tally.unchanged += response.unchanged
        var rejections = response.rejections[...]
        var first = 0
        for number in chunk.records.indices {
            let end = first + chunk.records[number].operations.count
            var reasons: [String] = []
            // Index 0 may be left out, as any value of 0.
            while let rejection = rejections.first, (rejection["index"]?.integer ?? 0) < end {
                reasons.append(
                    FailureText.ofOperation(RPCFailure(status: rejection["error"] ?? .null)))
                rejections.removeFirst()
            }
            if !reasons.isEmpty {
                chunk.records[number].rejection = reasons.joined(separator: "; ")
            }
            first = end
        }
    }

    private func reject(_ record: ImportRecord, _ why: String) throws {
        var reason = String(why.prefix(Self.reasonCharactersMax))
        if reason.count < why.count { reason += "..." }
        self.tally.rejected += 1
        self.position.rejected += 1
        let source = self.files.source.reader.name
        try self.files.rejects?.append(
            source, record.number, reason, line: record.text, header: self.files.source.header)
        self.shownRejections += 1
        guard self.shownRejections <= Self.rejectionsShownMax else { return }
        self.terminal.progress("")
        self.terminal.complain("\(source):\(record.number): \(reason)")
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
