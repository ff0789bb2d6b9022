// Parses bytes into requests, without a socket or a clock. Everything unusual is rejected: probes
// and scrapers do not need the lenient parts of HTTP/1.1 that make request smuggling possible.

/// Splits a byte stream into HTTP/1.x requests without bodies.
///
/// ```
/// empty --first byte--> head --blank line, or a line without version--> request, then empty again
///                         +--invalid, too long--> rejected (final)
/// ```
/// - Source: RFC 9112, sections 2, 3, 5, 6 and 9.3.
package struct HTTPRequestParser {
    package enum Step: Equatable {
        /// Feed more bytes.
        case needsMore
        case request(HTTPRequest)
        /// Respond with this status and close; the parser accepts no further bytes.
        case reject(HTTPStatus)
    }

    /// Longest request line and header fields together, including the blank line, in bytes: the
    /// usual limit of HTTP servers.
    package static let headBytesMax = 8_192

    /// Unread bytes; at most `headBytesMax`.
    private var buffer: [UInt8] = []
    /// How many of them were scanned: each byte is checked once, however slowly they arrive.
    private var scannedCount = 0
    /// Offset at which the current line begins.
    private var lineStart = 0
    /// Ranges of the lines of the current head, without their line breaks.
    private var lines: [Range<Int>] = []
    private var rejection: HTTPStatus?
    private let readsDetails: Bool

    /// - Parameter readsDetails: Whether requests have their `details`.
    package init(readsDetails: Bool = false) {
        self.readsDetails = readsDetails
    }

    /// Most bytes that `receive` accepts now.
    package var freeBytes: Int { Self.headBytesMax - self.buffer.count }
    /// Whether there are buffered bytes that are an incomplete request or not scanned yet.
    package var holdsBytes: Bool { !self.buffer.isEmpty }

    /// Copies at most `freeBytes` bytes into the buffer.
    package mutating func receive(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= self.freeBytes, "more bytes than free space")
        self.buffer.append(contentsOf: bytes)
    }

    /// Removes the next request from the received bytes.
    ///
    /// - Complexity: O(bytes not scanned before).
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
        // The buffer holds as many bytes as the largest head, but no blank line.
        return self.freeBytes == 0 ? self.reject(.headTooLarge) : .needsMore
    }

    /// Whether `byte` is valid at this position of a head. A bare CR, NUL and other controls are
    /// rejected immediately, so that a TLS handshake sent here by mistake does not run into the
    /// timeout.
    private func mayFollow(_ byte: UInt8) -> Bool {
        let index = self.scannedCount - 1
        if index > self.lineStart, self.buffer[index - 1] == UInt8(ascii: "\r") { return false }
        return byte == UInt8(ascii: "\r") || byte == UInt8(ascii: "\t")
            || (byte >= 0x20 && byte != 0x7F)
    }

    private mutating func endLine() -> Step? {
        let end = self.scannedCount - 2
        let endsProperly = end >= self.lineStart && self.buffer[end] == UInt8(ascii: "\r")
        let line = self.lineStart ..< (endsProperly ? end : self.scannedCount - 1)
        if self.lines.isEmpty, !line.isEmpty, let step = self.firstLine(line) { return step }
        guard endsProperly else { return self.reject(.badRequest) }
        self.lineStart = self.scannedCount
        if !line.isEmpty {
            self.lines.append(line)
            return nil
        }
        guard !self.lines.isEmpty else {
            // RFC 9112, 2.2: one empty line before the request line is ignored, a second one is
            // not.
            return line.lowerBound == 0 ? nil : self.reject(.badRequest)
        }
        // SAFETY: the buffer is borrowed for the call, whose result holds copies.
        let outcome = self.buffer.withUnsafeBufferPointer {
            HTTPHead.read($0, lines: self.lines, readsDetails: self.readsDetails)
        }
        switch outcome {
        case .failure(let rejection):
            return self.reject(rejection.status)
        case .success(let request): return self.finish(request)
        }
    }

    private mutating func firstLine(_ line: Range<Int>) -> Step? {
        // SAFETY: the buffer is borrowed for the call, whose result holds copies; the slice checks
        // its indices.
        switch self.buffer.withUnsafeBufferPointer({ HTTPHead.firstLine($0[line]) }) {
        case .begins: nil
        case .request(let request): self.finish(request)
        case .reject(let status): self.reject(status)
        }
    }

    private mutating func finish(_ request: HTTPRequest) -> Step {
        self.buffer.removeFirst(self.scannedCount)
        self.scannedCount = 0
        self.lineStart = 0
        self.lines.removeAll(keepingCapacity: true)
        return .request(request)
    }

    private mutating func reject(_ status: HTTPStatus) -> Step {
        self.rejection = status
        self.buffer = []
        return .reject(status)
    }
}
