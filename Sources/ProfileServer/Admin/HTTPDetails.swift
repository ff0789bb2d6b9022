/// What a listener for browsers reads of a request beyond its first line.
package struct HTTPDetails: Equatable, Sendable {
    package var host = ""
    package var cookie = ""
    package var authorization = ""
    package var origin: String?
    /// `Sec-Fetch-Site`: how the page that sends the request is related to this listener.
    package var fetchSite: String?

    package init() {}

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
