/// Which requests come from the page itself.
enum ConsoleOrigin {
    /// Longest key that is passed on, in bytes: several times that of a real one.
    static let keyBytesMax = 256

    static let allowed =
        "the profile page is served for localhost, 127.0.0.1 and [::1] only"

    /// Whether a `Host` names this machine, on whichever port: a page of another site whose name
    /// was made to lead here (DNS rebinding) has the other site's name.
    static func isLoopback(host: String) -> Bool {
        let name: Substring
        if host.hasPrefix("[") {
            guard let end = host.firstIndex(of: "]") else { return false }
            guard self.isPort(host[host.index(after: end)...]) else { return false }
            name = host[...end]
        } else {
            name = host.prefix { $0 != ":" }
            guard self.isPort(host[name.endIndex...]) else { return false }
        }
        return ["localhost", "127.0.0.1", "[::1]"].contains(name.lowercased())
    }

    private static func isPort(_ rest: Substring) -> Bool {
        rest.isEmpty
            || rest.first == ":" && (1 ... 5).contains(rest.dropFirst().utf8.count)
                && rest.dropFirst().utf8.allSatisfy(DecimalNumber.isDigit)
    }

    /// Whether a page of this listener has made the request, or a program that is no browser.
    static func isSame(_ details: HTTPDetails) -> Bool {
        let isSameSite = details.fetchSite.map { ["same-origin", "none"].contains($0) } ?? true
        let isSameOrigin =
            details.origin.map {
                ["http://\(details.host)", "https://\(details.host)"].contains($0)
            } ?? true
        return isSameSite && isSameOrigin
    }
}
