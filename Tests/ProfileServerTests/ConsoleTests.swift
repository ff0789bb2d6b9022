import Glibc
import IOCore
import ProfileClient
import Synchronization
import Testing

@testable import ProfileServer

@Suite struct QueryStringTests {
    @Test(arguments: [
        ("", [:]), ("a=1", ["a": "1"]), ("a=1&b=", ["a": "1", "b": ""]), ("a", ["a": ""]),
        ("a=1&a=2", ["a": "2"]), ("a=b=c", ["a": "b=c"]), ("&&a=1&", ["a": "1"]),
        ("a=x+y%20z", ["a": "x y z"]), ("%61=%E2%82%AC", ["a": "\u{20AC}"]),
    ])
    func pairsAreDecoded(query: String, values: [String: String]) {
        #expect(QueryString.parse(query) == values)
    }

    @Test(arguments: ["a=%", "a=%2", "a=%zz", "a=%FF", "%ED%A0%80=1"])
    func invalidEscapesAndTextsAreNoQuery(query: String) {
        #expect(QueryString.parse(query) == nil)
    }
}

@Suite struct ConsoleOriginTests {
    @Test(arguments: ["localhost", "LocalHost:1", "127.0.0.1:65535", "[::1]", "[::1]:80"])
    func loopbackIsServedOnAnyPort(host: String) {
        #expect(ConsoleOrigin.isLoopback(host: host))
    }

    @Test(arguments: [
        "", "a", "localhost.", "localhost.a:80", "127.0.0.1.a", "127.0.0.2", "[::1", "[::1]a",
        "localhost:", "localhost:a", "localhost:123456", "a@localhost", "::1",
    ])
    func otherNamesAreNot(host: String) {
        #expect(!ConsoleOrigin.isLoopback(host: host))
    }

    @Test(arguments: [
        (nil, nil, true), ("same-origin", nil, true), ("none", nil, true),
        ("cross-site", nil, false), ("same-site", nil, false), (nil, "http://localhost:1", true),
        (nil, "http://localhost:2", false), (nil, "null", false),
        ("same-origin", "http://other:1", false),
    ])
    func requestsOfOtherPagesAreTold(site: String?, origin: String?, isSame: Bool) {
        var details = HTTPDetails()
        (details.host, details.fetchSite, details.origin) = ("localhost:1", site, origin)
        #expect(ConsoleOrigin.isSame(details) == isSame)
    }
}

@Suite struct ConsoleSessionsTests {
    private final class Counting: RandomSource {
        private let next = Guarded<UInt8>(0)

        func fill(_ bytes: UnsafeMutableRawBufferPointer) {
            let value = self.next.withLock { next in
                next += 1
                return next
            }
            for index in bytes.indices { bytes[index] = value }
        }
    }

    private let sessions = ConsoleSessions(random: Counting())
    private static let minute: UInt64 = 60_000_000_000

    @Test func sessionIsFoundByItsTokenAlone() {
        let token = self.sessions.open(key: "pk_a_secret", project: "shop", now: 0)
        #expect(token == String(repeating: "01", count: ConsoleSessions.tokenBytes))
        let session = self.sessions.find(token, now: 1)
        #expect(session?.key == "pk_a_secret" && session?.keyName == "pk_a")
        #expect(self.sessions.find("", now: 1) == nil)
        #expect(self.sessions.find(token.uppercased() + "0", now: 1) == nil)
        self.sessions.close(token)
        #expect(self.sessions.find(token, now: 1) == nil)
    }

    @Test func sessionEndsWhenItIsNotUsed() {
        let token = self.sessions.open(key: "k", project: "p", now: 0)
        #expect(self.sessions.find(token, now: 29 * Self.minute) != nil)
        #expect(self.sessions.find(token, now: 58 * Self.minute) != nil)
        #expect(self.sessions.find(token, now: 88 * Self.minute) == nil)
        #expect(self.sessions.count == 0)
    }

    @Test func sessionEndsWithItsAgeHoweverMuchItIsUsed() {
        let token = self.sessions.open(key: "k", project: "p", now: 0)
        for minute in stride(from: UInt64(0), to: 480, by: 20) {
            #expect(self.sessions.find(token, now: minute * Self.minute) != nil)
        }
        #expect(self.sessions.find(token, now: 480 * Self.minute) == nil)
    }

    @Test func oneMoreSessionEndsTheOneUsedLeastRecently() {
        let tokens = (0 ..< ConsoleSessions.countMax).map {
            self.sessions.open(key: "k", project: "p", now: UInt64($0))
        }
        #expect(self.sessions.find(tokens[0], now: 100) != nil)
        _ = self.sessions.open(key: "k", project: "p", now: 101)
        #expect(self.sessions.count == ConsoleSessions.countMax)
        #expect(self.sessions.find(tokens[1], now: 102) == nil)
        #expect(self.sessions.find(tokens[0], now: 102) != nil)
    }
}

@Suite struct ConsoleLoginLimitTests {
    @Test func signInsAreRejectedUntilTheOldestFailureIsOver() {
        let limit = ConsoleLoginLimit()
        for second in 0 ..< UInt64(ConsoleLoginLimit.failuresMax) {
            #expect(limit.begin(now: second * 1_000_000_000) == nil)
        }
        #expect(limit.begin(now: 20_000_000_000) == 40)
        #expect(limit.begin(now: 59_999_999_999) == 1)
        #expect(limit.begin(now: 60_000_000_000) == nil)
        #expect(limit.begin(now: 60_000_000_000) == 1)
    }

    @Test func signInsThatSucceedDoNotCount() {
        let limit = ConsoleLoginLimit()
        for second in 0 ..< UInt64(100) {
            #expect(limit.begin(now: second) == nil)
            limit.succeeded(begunAt: second)
        }
    }
}

@Suite struct ConsolePositionTests {
    private static func heartbeat(_ lsn: Int) -> JSONValue {
        .object(of: [("lsn", .number("\(lsn)"))])
    }

    private static func change(_ lsn: Int, _ name: String) -> JSONValue {
        .object(of: [("lsn", .number("\(lsn)")), ("change", .string(name))])
    }

    private static func names(_ messages: [JSONValue], from position: inout ConsoleQueries.Position)
        -> [String]
    {
        messages.compactMap { position.take($0)?["change"]?.text }
    }

    @Test func everyCutOfAStreamContinuesWithoutGapAndRepetition() {
        // Watch begins at an lsn with all of its changes, so what a cut left of it comes again.
        let stream = [(1, "a"), (1, "b"), (3, "c"), (3, "d"), (3, "e"), (4, "f")]
        for cut in 0 ... stream.count {
            var position = ConsoleQueries.Position(from: 1, skip: 0)
            let first = Self.names(
                stream[..<cut].map { Self.change($0.0, $0.1) }, from: &position)
            var next = ConsoleQueries.Position(from: position.from, skip: position.skip)
            let second = Self.names(
                stream.filter { $0.0 >= position.from }.map { Self.change($0.0, $0.1) },
                from: &next)
            #expect(first + second == stream.map(\.1), "cut at \(cut)")
        }
    }

    @Test func heartbeatMovesThePositionBehindIt() {
        var position = ConsoleQueries.Position(from: 0, skip: 0)
        #expect(position.take(Self.heartbeat(7)) == nil)
        #expect(position.from == 8 && position.skip == 0)
        #expect(position.take(Self.change(9, "a")) != nil)
        #expect(position.from == 9 && position.skip == 1)
        #expect(position.take(Self.heartbeat(9)) == nil)
        #expect(position.from == 10 && position.skip == 0)
    }
}

@Suite struct HTTPDetailsTests {
    private static func request(_ text: String) -> HTTPRequestParser.Step {
        var parser = HTTPRequestParser(readsDetails: true)
        // SAFETY: the text is copied within the closure.
        Array(text.utf8).withUnsafeBytes { parser.receive($0) }
        return parser.next()
    }

    @Test func detailsAreReadWhereTheListenerAsks() {
        let step = Self.request(
            "POST /api/a?x=1&y=2 HTTP/1.1\r\nHost: localhost:1\r\nCookie: a=1\r\nCookie: b=2\r\n"
                + "Authorization: Bearer k\r\nOrigin: http://localhost:1\r\n"
                + "Sec-Fetch-Site: same-origin\r\n\r\n")
        guard case .request(let request) = step, let details = request.details else {
            Issue.record("no request with details: \(step)")
            return
        }
        #expect(request.path == "/api/a" && request.method == .post && request.query == "x=1&y=2")
        #expect(details.host == "localhost:1" && details.cookie == "a=1; b=2")
        #expect(details.authorization == "Bearer k" && details.origin == "http://localhost:1")
        #expect(details.fetchSite == "same-origin")
    }

    @Test(arguments: ["Authorization", "Origin", "Sec-Fetch-Site"])
    func aFieldThatIsThereTwiceIsRejected(name: String) {
        let step = Self.request("GET / HTTP/1.1\r\nHost: a\r\n\(name): a\r\n\(name): b\r\n\r\n")
        #expect(step == .reject(.badRequest))
    }
}

@Suite struct ConsoleClientTests {
    private final class Counter: Sendable {
        let dials = Atomic<Int>(0)
    }

    @Test func aConnectionThatTheServiceHasClosedIsMadeAnewOnce() {
        let counter = Counter()
        var address = ServerAddress(port: 1)
        address.dial = {
            counter.dials.add(1, ordering: .relaxed)
            var pair: [Int32] = [-1, -1]
            let kind = SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue
            guard socketpair(AF_UNIX, Int32(kind), 0, &pair) == 0 else { return nil }
            close(pair[1])
            return pair[0]
        }
        let client = ConsoleClient(address)
        #expect(throws: RPCFailure.self) {
            _ = try client.call(.admin("ListProjects"), [], key: nil)
        }
        #expect(counter.dials.load(ordering: .relaxed) == 2)
    }

    @Test func nobodyWhoListensIsAFailureWithoutAResponse() throws {
        var address = ServerAddress(port: 1)
        address.dial = { nil }
        let client = ConsoleClient(address)
        let failure = try #require(throws: RPCFailure.self) {
            _ = try client.call(.admin("ListProjects"), [], key: nil)
        }
        #expect(failure.code == RPCFailure.unavailable && !failure.hasResponse)
    }
}
