// Bytes to requests, and nothing else: no socket, no clock. What it does not understand it refuses;
// a probe and a scraper have no need of the lenient corners of HTTP/1.1 where smuggling lives.

/// Cuts a byte stream into HTTP/1.x requests without bodies.
///
/// ```
/// empty ──first byte──▶ head ──blank line──▶ request, then empty again
///                         └──garbage, too long──▶ refused (for good)
/// ```
/// - Source: RFC 9112, sections 2, 3, 5, 6 and 9.3.
package struct HTTPRequestParser {
    package enum Step: Equatable {
        /// Feed more bytes.
        case needsMore
        case request(HTTPRequest)
        /// Answer this and close; the parser takes no more.
        case reject(HTTPStatus)
    }

    /// Longest request line and header fields together, with their blank line, in bytes: what
    /// common servers allow.
    package static let headBytesMax = 8_192

    /// Unread bytes; at most `headBytesMax`.
    private var buffer: [UInt8] = []
    /// How many of them were looked at: each byte is checked once, however slowly they come.
    private var scannedCount = 0
    /// Where the present line began.
    private var lineStart = 0
    /// Ends of the lines of the present head, without their line breaks.
    private var lines: [Range<Int>] = []
    private var rejection: HTTPStatus?

    package init() {}

    /// Bytes that `receive` takes now.
    package var freeBytes: Int { Self.headBytesMax - self.buffer.count }
    /// Whether bytes wait that are no whole request yet, or not looked at yet.
    package var holdsBytes: Bool { !self.buffer.isEmpty }

    /// Takes at most `freeBytes` bytes; a copy is kept.
    package mutating func receive(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= self.freeBytes, "more bytes than there is room for")
        self.buffer.append(contentsOf: bytes)
    }

    /// Takes the next request out of what was received.
    ///
    /// - Complexity: O(bytes not looked at before).
    package mutating func next() -> Step {
        if let rejection = self.rejection { return .reject(rejection) }
        while self.scannedCount < self.buffer.count {
            let byte = self.buffer[self.scannedCount]
            self.scannedCount += 1
            if byte == UInt8(ascii: "\n") {
                guard let step = self.endLine() else { continue }
                return step
            }
            guard self.mayFollow(byte) else { return self.reject(.badRequest) }
        }
        // The buffer holds the largest head there may be, and the blank line is not in it.
        return self.freeBytes == 0 ? self.reject(.headTooLarge) : .needsMore
    }

    /// Whether `byte` may stand at this place of a head: a bare CR, NUL and other controls are
    /// refused at once, so that a TLS handshake sent here by mistake is not waited for.
    private func mayFollow(_ byte: UInt8) -> Bool {
        let index = self.scannedCount - 1
        if index > self.lineStart, self.buffer[index - 1] == UInt8(ascii: "\r") { return false }
        return byte == UInt8(ascii: "\r") || byte == UInt8(ascii: "\t")
            || (byte >= 0x20 && byte != 0x7F)
    }

    private mutating func endLine() -> Step? {
        let end = self.scannedCount - 2
        guard end >= self.lineStart, self.buffer[end] == UInt8(ascii: "\r") else {
            return self.reject(.badRequest)
        }
        let line = self.lineStart ..< end
        self.lineStart = self.scannedCount
        if !line.isEmpty {
            self.lines.append(line)
            return nil
        }
        guard !self.lines.isEmpty else {
            // RFC 9112, 2.2: one empty line before the request line is ignored; a second has no
            // excuse.
            return line.lowerBound == 0 ? nil : self.reject(.badRequest)
        }
        let outcome = self.buffer.withUnsafeBufferPointer { HTTPHead.read($0, lines: self.lines) }
        switch outcome {
        case .failure(let rejection):
            return self.reject(rejection.status)
        case .success(let request):
            self.buffer.removeFirst(self.scannedCount)
            self.scannedCount = 0
            self.lineStart = 0
            self.lines.removeAll(keepingCapacity: true)
            return .request(request)
        }
    }

    private mutating func reject(_ status: HTTPStatus) -> Step {
        self.rejection = status
        self.buffer = []
        return .reject(status)
    }
}
