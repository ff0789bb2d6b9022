/// Parses the lines of one complete request head.
enum HTTPHead {
    struct Rejection: Error, Equatable {
        let status: HTTPStatus
    }

    /// The values of the header fields that matter here.
    private struct Fields {
        var hosts = 0
        var contentLength: Int?
        var hasTransferEncoding = false
        var asksToClose = false
        var asksToKeepAlive = false
        var accept = ""
        /// `nil`: nobody reads them.
        var details: HTTPDetails?
    }

    /// - Parameters:
    ///   - bytes: The head; no controls but tabs inside its lines.
    ///   - lines: Its lines without line breaks; the first is the request line.
    ///   - readsDetails: Whether the request gets its `details`.
    static func read(
        _ bytes: UnsafeBufferPointer<UInt8>, lines: [Range<Int>], readsDetails: Bool = false
    ) -> Result<HTTPRequest, Rejection> {
        do {
            // SAFETY: the parser owns the bytes for this call, and the lines are ranges of them;
            // slices check their indices.
            var (request, isVersion10) = try Self.requestLine(bytes[lines[0]])
            var fields = Fields()
            if readsDetails { fields.details = HTTPDetails() }
            for line in lines.dropFirst() { try Self.field(bytes[line], into: &fields) }
            try Self.check(fields, isVersion10: isVersion10)
            request.details = fields.details
            request.keepsAlive =
                !fields.asksToClose && (!isVersion10 || fields.asksToKeepAlive)
            request.accept = fields.accept
            return .success(request)
        } catch {
            return .failure(error)
        }
    }

    private static func check(_ fields: Fields, isVersion10: Bool) throws(Rejection) {
        // RFC 9112, 3.2: exactly one Host; optional in HTTP/1.0.
        guard fields.hosts == 1 || (isVersion10 && fields.hosts == 0) else { throw Self.malformed }
        if fields.hasTransferEncoding {
            // RFC 9112, 6.1: both lengths together, or chunks in HTTP/1.0, are used for request
            // smuggling.
            guard fields.contentLength == nil, !isVersion10 else { throw Self.malformed }
            throw Rejection(status: .contentTooLarge)
        }
        guard fields.contentLength ?? 0 == 0 else { throw Rejection(status: .contentTooLarge) }
    }

    private static let malformed = Rejection(status: .badRequest)

    // MARK: - Request line

    /// What the first line of a head says by itself.
    enum FirstLine: Equatable {
        /// Header fields follow.
        case begins
        /// `GET /path` without a version: the whole request.
        case request(HTTPRequest)
        case reject(HTTPStatus)
    }

    /// Examines a first line as soon as it is complete, so that whoever sends nothing after it gets
    /// a response instead of a timeout.
    ///
    /// - Parameter line: Without its line break.
    static func firstLine(_ line: Slice<UnsafeBufferPointer<UInt8>>) -> FirstLine {
        let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        do throws(Rejection) {
            if parts.count == 2, parts[0].elementsEqual("GET".utf8) {
                let (path, query) = try Self.target(parts[1])
                return .request(
                    HTTPRequest(
                        method: .get, path: path, query: query, keepsAlive: false,
                        hasVersion: false))
            }
            _ = try Self.requestLine(line)
            return .begins
        } catch {
            return .reject(error.status)
        }
    }

    private static func requestLine(
        _ line: Slice<UnsafeBufferPointer<UInt8>>
    ) throws(Rejection) -> (HTTPRequest, isVersion10: Bool) {
        let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, parts[0].allSatisfy(Self.isTokenByte) else {
            throw Self.malformed
        }
        let minor = try Self.minorVersion(parts[2])
        let (path, query) = try Self.target(parts[1])
        let method: HTTPRequest.Method =
            switch true {
            case parts[0].elementsEqual("GET".utf8): .get
            case parts[0].elementsEqual("HEAD".utf8): .head
            case parts[0].elementsEqual("POST".utf8): .post
            default: .other
            }
        return (
            HTTPRequest(method: method, path: path, query: query, keepsAlive: true), minor == 0
        )
    }

    /// `HTTP/1.` and a digit; 0 is 1.0, any other is served as 1.1.
    private static func minorVersion(_ text: Slice<UnsafeBufferPointer<UInt8>>) throws(Rejection)
        -> UInt8
    {
        let bytes = Array(text)
        guard bytes.count == 8, bytes[..<5].elementsEqual("HTTP/".utf8),
            DecimalNumber.isDigit(bytes[5]), bytes[6] == UInt8(ascii: "."),
            DecimalNumber.isDigit(bytes[7])
        else { throw Self.malformed }
        guard bytes[5] == UInt8(ascii: "1") else { throw Rejection(status: .versionNotSupported) }
        return bytes[7] - UInt8(ascii: "0")
    }

    /// The parts of `/path?query` or `http://host/path?query`; `*` stays `*`. No fragment:
    /// clients keep it to themselves (RFC 9112, 3.2).
    private static func target(_ target: Slice<UnsafeBufferPointer<UInt8>>) throws(Rejection)
        -> (path: String, query: String)
    {
        guard !target.isEmpty,
            target.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") })
        else { throw Self.malformed }
        var path = Substring(decoding: target, as: UTF8.self)
        if path.lowercased().hasPrefix("http://") {
            // RFC 9112, 3.2.2: servers must accept the absolute form, although clients send it to
            // proxies only.
            let rest = path.dropFirst(7)
            path = rest.firstIndex(of: "/").map { rest[$0...] } ?? "/"
        }
        guard path.first == "/" || path == "*" else { throw Self.malformed }
        let name = path.prefix { $0 != "?" }
        return (String(name), String(path.dropFirst(name.count + 1)))
    }

    // MARK: - Header fields

    private static func field(
        _ line: Slice<UnsafeBufferPointer<UInt8>>, into fields: inout Fields
    ) throws(Rejection) {
        // A blank before the colon, or a folded line (a name that begins with a blank), is not a
        // valid token.
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { throw Self.malformed }
        let nameBytes = line[..<colon]
        guard !nameBytes.isEmpty, nameBytes.allSatisfy(Self.isTokenByte) else {
            throw Self.malformed
        }
        let name = String(decoding: nameBytes, as: UTF8.self).lowercased()
        let value = Self.trim(Substring(decoding: line[(colon + 1)...], as: UTF8.self))
        guard fields.details?.read(name, value) != false else { throw Self.malformed }
        switch name {
        case "host":
            fields.hosts += 1
        case "content-length":
            // A repeated field is rejected even if both are equal: no client of this listener needs
            // it.
            guard fields.contentLength == nil, value.utf8.count <= 19,
                value.utf8.allSatisfy(DecimalNumber.isDigit), let length = Int(value)
            else { throw Self.malformed }
            fields.contentLength = length
        case "transfer-encoding":
            fields.hasTransferEncoding = true
        case "accept":
            if !fields.accept.isEmpty { fields.accept += "," }
            fields.accept += value
        case "connection":
            for option in value.split(separator: ",") {
                switch Self.trim(option).lowercased() {
                case "close": fields.asksToClose = true
                case "keep-alive": fields.asksToKeepAlive = true
                default: break
                }
            }
        default:
            break
        }
    }

    private static func trim(_ text: Substring) -> Substring {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
        var bytes = text.utf8
        while let first = bytes.first, isBlank(first) { bytes.removeFirst() }
        while let last = bytes.last, isBlank(last) { bytes.removeLast() }
        return Substring(bytes)
    }

    /// RFC 9110, 5.6.2.
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a") ... UInt8(ascii: "z"), UInt8(ascii: "A") ... UInt8(ascii: "Z"),
            UInt8(ascii: "0") ... UInt8(ascii: "9"):
            true
        default:
            "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
