/// What a listener for browsers reads of a request beyond its path.
package struct HTTPDetails: Equatable, Sendable {
    package var isPost = false
    /// What follows the `?`, not decoded; empty if nothing does.
    package var query = ""
    package var host = ""
    package var cookie = ""
    package var authorization = ""
    package var origin: String?
    /// `Sec-Fetch-Site`: how the page that sends the request is related to this listener.
    package var fetchSite: String?

    package init() {}

    /// - Parameter requestLine: A valid one.
    init(requestLine: [UInt8]) {
        let parts = requestLine.split(separator: UInt8(ascii: " "))
        self.isPost = parts.first?.elementsEqual("POST".utf8) == true
        guard parts.count > 1, let mark = parts[1].firstIndex(of: UInt8(ascii: "?")) else { return }
        self.query = String(decoding: parts[1][(mark + 1)...].prefix { $0 != 0x23 }, as: UTF8.self)
    }

    /// Stores a header field.
    ///
    /// - Parameter name: In lower case.
    /// - Returns: False for a field that is there twice, of which readers could take either.
    mutating func read(_ name: String, _ value: Substring) -> Bool {
        let value = String(value)
        switch name {
        case "host":
            self.host = value
        case "cookie":
            // RFC 6265, 5.4: one field; proxies may have split it.
            self.cookie += (self.cookie.isEmpty ? "" : "; ") + value
        case "authorization":
            guard self.authorization.isEmpty else { return false }
            self.authorization = value
        case "origin":
            guard self.origin == nil else { return false }
            self.origin = value
        case "sec-fetch-site":
            guard self.fetchSite == nil else { return false }
            self.fetchSite = value
        default:
            break
        }
        return true
    }
}
