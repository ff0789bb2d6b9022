import ProfileServer
import Testing

@Suite struct HTTPRequestParserTests {
    private static let get = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"

    /// Feeds `text` in pieces, split at the given offsets, and returns all steps except
    /// `needsMore`.
    private func steps(_ text: String, cuts: [Int] = []) -> [HTTPRequestParser.Step] {
        var parser = HTTPRequestParser()
        var steps: [HTTPRequestParser.Step] = []
        var rest = Array(text.utf8)[...]
        let ends = cuts + [rest.count]
        for end in ends {
            var piece = rest.prefix(end - rest.startIndex)
            rest = rest.dropFirst(piece.count)
            // A piece may be larger than the free space: feed it as the reads of a socket would.
            while !piece.isEmpty {
                let taken = piece.prefix(parser.freeBytes)
                guard !taken.isEmpty else { return steps }
                taken.withUnsafeBytes { parser.receive($0) }
                piece = piece.dropFirst(taken.count)
                var step = parser.next()
                while step != .needsMore {
                    steps.append(step)
                    if case .reject = step { return steps }
                    step = parser.next()
                }
            }
        }
        return steps
    }

    private func request(
        _ method: HTTPRequest.Method, _ path: String, query: String = "", accept: String = "",
        keepsAlive: Bool = true
    ) -> HTTPRequestParser.Step {
        .request(
            HTTPRequest(
                method: method, path: path, query: query, accept: accept, keepsAlive: keepsAlive))
    }

    @Test func everySplitPointOfPipelinedRequestsGivesTheSameRequests() {
        let text =
            "\r\nGET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\naccept:b\r\n\r\n"
            + "HEAD http://h:1/readyz HTTP/1.1\r\nhost:a\r\nContent-Length: 0\r\n\r\n"
            + "GET /livez HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
            + "PUT /livez HTTP/1.1\r\nHost: a\r\nConnection: te, close\r\n\r\n"
        let expected = [
            self.request(.get, "/metrics", query: "x=1", accept: "*/*,b"),
            self.request(.head, "/readyz"),
            self.request(.get, "/livez"), self.request(.other, "/livez", keepsAlive: false),
        ]
        #expect(self.steps(text) == expected)
        #expect(self.steps(text, cuts: Array(1 ..< text.utf8.count)) == expected, "byte by byte")
        for cut in 1 ..< text.utf8.count { #expect(self.steps(text, cuts: [cut]) == expected) }
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive , CLOSE\r\n\r\n", false),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false),
        ("GET / HTTP/1.9\r\nHost: a\r\n\r\n", true),
    ])
    func keepAliveFollowsVersionAndConnectionHeader(text: String, keepsAlive: Bool) {
        #expect(self.steps(text) == [self.request(.get, "/", keepsAlive: keepsAlive)])
    }

    @Test(arguments: [
        "\u{16}\u{3}\u{1}", "\n", "\r\n\r\n", "GET / HTTP/1.1\n", "\rX", "GET /\0 HTTP/1.1\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "POST /\r\n", "GET\r\n\r\n", "GET x\n",
        "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /é HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1x\r\nHost: a\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/11\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nx\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ])
    func invalidRequestIsRejectedAtEverySplit(text: String) {
        #expect(self.steps(text).last == .reject(.badRequest))
        #expect(
            self.steps(text, cuts: Array(1 ..< max(2, text.utf8.count))).last
                == .reject(.badRequest))
    }

    @Test(arguments: [
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", HTTPStatus.contentTooLarge),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", .contentTooLarge),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .versionNotSupported),
    ])
    func bodiesAndOtherVersionsAreRejected(text: String, status: HTTPStatus) {
        #expect(self.steps(text) == [.reject(status)])
    }

    /// A probe by hand (`printf 'GET /livez\r\n' | nc`) sends nothing after its line.
    @Test(arguments: ["GET /livez\r\n", "GET /livez\n", "GET /livez?a=b\r\n", "\r\nGET /livez\r\n"])
    func lineWithoutVersionIsAWholeRequest(text: String) {
        let request = HTTPRequest(
            method: .get, path: "/livez", query: text.contains("?") ? "a=b" : "",
            keepsAlive: false, hasVersion: false)
        #expect(self.steps(text) == [.request(request)])
        #expect(self.steps(text, cuts: Array(1 ..< text.utf8.count)) == [.request(request)])
    }

    @Test(arguments: [
        ("GET /livez HTTP/0.9\r\n", HTTPStatus.versionNotSupported),
        ("GET /livez HTTP/3\r\n", .badRequest), ("nonsense\r\n", .badRequest),
    ])
    func invalidFirstLineIsRejectedBeforeTheNext(text: String, status: HTTPStatus) {
        #expect(self.steps(text) == [.reject(status)])
    }

    @Test func rejectionIsFinal() {
        #expect(self.steps("\n" + Self.get) == [.reject(.badRequest)])
    }

    @Test func headOfExactlyTheLimitIsServedAndOneByteMoreRejected() {
        let frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n"
        let headroom = HTTPRequestParser.headBytesMax - frame.utf8.count
        func text(_ count: Int) -> String {
            "GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "x", count: count) + "\r\n\r\n"
        }
        #expect(self.steps(text(headroom)) == [self.request(.get, "/")])
        #expect(self.steps(text(headroom + 1)) == [.reject(.headTooLarge)])
        #expect(self.steps(text(100 * 1_024)) == [.reject(.headTooLarge)])
    }

    @Test func incompleteHeadAsksForMore() {
        #expect(self.steps(String(Self.get.dropLast(1))) == [])
    }
}
