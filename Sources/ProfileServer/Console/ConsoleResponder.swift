import IOCore
import ProfileClient

/// Responds to the requests of the profile page: its files at once, everything else from the
/// service, on a thread of `HTTPWorkers`.
///
/// Source: docs/decisions/0511-who-may-see-the-page.md.
final class ConsoleResponder: HTTPResponder {
    private static let cookieName = "profiles-console"

    private let isOpen: Bool
    private let version: String
    private let sessions: ConsoleSessions
    private let logins = ConsoleLoginLimit()
    private let clock: any Clock
    /// For calls that end by themselves.
    private let queries: HTTPWorkers<ConsoleClient>
    /// For calls that wait for the next change of a person.
    private let watches: HTTPWorkers<ConsoleClient>
    private let figures: any ConsoleFigures

    /// - Parameter isOpen: Whether no call needs a key.
    init(
        isOpen: Bool, version: String, random: any RandomSource, clock: any Clock,
        queries: HTTPWorkers<ConsoleClient>, watches: HTTPWorkers<ConsoleClient>,
        figures: any ConsoleFigures
    ) {
        self.isOpen = isOpen
        self.version = version
        self.sessions = ConsoleSessions(random: random)
        self.clock = clock
        self.queries = queries
        self.watches = watches
        self.figures = figures
    }

    var readsDetails: Bool { true }

    func forTurn() -> any HTTPResponder { self }

    // MARK: Routes

    func respond(to request: HTTPRequest, now: UInt64) -> HTTPReply {
        guard let details = request.details else {
            return .content(ConsoleContent.text(.badRequest, "HTTP/1.1 is required"))
        }
        guard ConsoleOrigin.isLoopback(host: details.host) else {
            return .content(ConsoleContent.text(.misdirected, ConsoleOrigin.allowed))
        }
        if let file = ConsoleAssets.find(request.path) {
            return .content(request.method.isRead ? file : Self.onlyAllowed("GET, HEAD"))
        }
        guard request.path.hasPrefix("/api/") else {
            return .content(ConsoleContent.text(.notFound, "not found"))
        }
        guard ConsoleOrigin.isSame(details) else {
            return .content(
                ConsoleContent.failure(
                    .forbidden, code: "PERMISSION_DENIED", "requests of other pages are rejected"))
        }
        guard let parameters = QueryString.parse(request.query) else {
            return .content(
                ConsoleContent.failure(
                    .badRequest, code: "INVALID_ARGUMENT", "the query is not valid UTF-8"))
        }
        switch (request.path, request.method) {
        case ("/api/session", .get): return .content(self.session(details, now))
        case ("/api/session", .post): return self.signIn(details, parameters, now)
        case ("/api/session", _): return .content(Self.onlyAllowed("GET, POST"))
        case ("/api/session/end", .post): return .content(self.signOut(details))
        case ("/api/session/end", _): return .content(Self.onlyAllowed("POST"))
        case (_, .get):
            return self.query(String(request.path.dropFirst(5)), details, parameters, now)
        default: return .content(Self.onlyAllowed("GET"))
        }
    }

    /// - Parameter methods: Those of the path, as `Allow` lists them.
    private static func onlyAllowed(_ methods: String) -> HTTPContent {
        ConsoleContent.failure(
            .methodNotAllowed, code: "UNIMPLEMENTED", "allowed here: \(methods)",
            fields: "\r\nAllow: \(methods)")
    }

    private func query(
        _ name: String, _ details: HTTPDetails, _ parameters: [String: String], _ now: UInt64
    ) -> HTTPReply {
        guard let query = ConsoleQuery(rawValue: name) else {
            return .content(
                ConsoleContent.failure(.notFound, code: "NOT_FOUND", "there is no such query"))
        }
        let token = Self.token(in: details.cookie)
        let session = token.flatMap { self.sessions.find($0, now: now) }
        guard self.isOpen || session != nil else {
            return .content(
                ConsoleContent.failure(.unauthorized, code: "UNAUTHENTICATED", "sign in first"))
        }
        let pending = PendingContent()
        let (sessions, figures) = (self.sessions, self.figures)
        let workers = query == .changes ? self.watches : self.queries
        let request = ConsoleRequest(
            project: parameters["project"] ?? session?.project ?? "default", key: session?.key,
            parameters: parameters,
            isAbandoned: { pending.isAbandoned || workers.isStopping })
        let isQueued = workers.submit { client in
            // Nobody waits for a response that would come too late.
            guard !pending.isAbandoned else { return }
            let content = ConsoleQueries(client: client, request: request, figures: figures)
                .run(query)
            // The key was revoked, or has expired.
            if content.status == .unauthorized, let token { sessions.close(token) }
            pending.complete(content)
        }
        return isQueued ? .later(pending) : .content(Self.busy)
    }

    private static var busy: HTTPContent {
        ConsoleContent.failure(
            .unavailable, code: "UNAVAILABLE", "the page has too many requests at a time",
            fields: "\r\nRetry-After: 1")
    }

    // MARK: Sessions

    private func session(_ details: HTTPDetails, _ now: UInt64) -> HTTPContent {
        let session = Self.token(in: details.cookie).flatMap { self.sessions.find($0, now: now) }
        return ConsoleContent.json(
            .object(of: [
                ("open", .bool(self.isOpen)),
                ("signed_in", .bool(self.isOpen || session != nil)),
                ("project", .string(session?.project ?? "default")),
                ("key_name", session.map { .string($0.keyName) }),
                ("version", .string(self.version)),
            ]))
    }

    /// Opens a session if the key may read the project.
    private func signIn(_ details: HTTPDetails, _ parameters: [String: String], _ now: UInt64)
        -> HTTPReply
    {
        guard !self.isOpen else {
            return .content(
                ConsoleContent.failure(
                    .badRequest, code: "FAILED_PRECONDITION", "this server needs no key"))
        }
        let scheme = "Bearer "
        let project = parameters["project"] ?? ""
        guard details.authorization.hasPrefix(scheme), !project.isEmpty,
            case let key = String(details.authorization.dropFirst(scheme.count)),
            1 ... ConsoleOrigin.keyBytesMax ~= key.utf8.count,
            key.utf8.allSatisfy({ 0x21 ... 0x7E ~= $0 })
        else {
            return .content(
                ConsoleContent.failure(
                    .badRequest, code: "INVALID_ARGUMENT", "project and key are required"))
        }
        if let seconds = self.logins.begin(now: now) {
            return .content(
                ConsoleContent.failure(
                    .tooManyRequests, code: "RESOURCE_EXHAUSTED",
                    "too many failed sign-ins; try again in \(seconds) s",
                    fields: "\r\nRetry-After: \(seconds)"))
        }
        let pending = PendingContent()
        let isQueued = self.queries.submit { [self] client in
            do {
                try ConsoleQueries.checkAccess(client, project: project, key: key)
            } catch {
                return pending.complete(ConsoleContent.failure(error))
            }
            self.logins.succeeded(begunAt: now)
            let token = self.sessions.open(
                key: key, project: project, now: self.clock.monotonicNanoseconds())
            pending.complete(
                ConsoleContent.json(
                    .object(of: [("project", .string(project))]),
                    fields: Self.cookie(
                        token, seconds: ConsoleSessions.ageNanoseconds / 1_000_000_000)))
        }
        guard isQueued else {
            self.logins.succeeded(begunAt: now)
            return .content(Self.busy)
        }
        return .later(pending)
    }

    private func signOut(_ details: HTTPDetails) -> HTTPContent {
        if let token = Self.token(in: details.cookie) { self.sessions.close(token) }
        return ConsoleContent.json(.object([]), fields: Self.cookie("", seconds: 0))
    }

    /// Without the attribute Secure: the page is served on loopback without TLS, where some
    /// browsers would not store such a cookie.
    private static func cookie(_ token: String, seconds: UInt64) -> String {
        "\r\nSet-Cookie: \(Self.cookieName)=\(token); Path=/; HttpOnly; SameSite=Strict;"
            + " Max-Age=\(seconds)"
    }

    private static func token(in cookie: String) -> String? {
        for part in cookie.split(separator: ";") {
            let text = part.drop { $0 == " " }
            if text.hasPrefix(Self.cookieName + "=") {
                return String(text.dropFirst(Self.cookieName.utf8.count + 1))
            }
        }
        return nil
    }
}
