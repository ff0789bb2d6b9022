import IOCore

/// Whoever has signed in to the profile page.
struct ConsoleSession: Equatable, Sendable {
    /// What the page's calls present for them.
    let key: String
    let project: String
    /// Monotonic, in nanoseconds.
    let openedAt: UInt64
    var usedAt: UInt64

    /// The part of the key that is no secret.
    var keyName: String {
        self.key.split(separator: "_", maxSplits: 2).prefix(2).joined(separator: "_")
    }
}

/// The sessions of the profile page, by a random token that its cookie carries. They are in memory
/// only: a restart signs everybody out. Any thread.
final class ConsoleSessions: Sendable {
    /// Most sessions; one more ends that which was used least recently. Each is under 1 KiB.
    static let countMax = 64
    /// Longest session, in nanoseconds: a working day.
    static let ageNanoseconds: UInt64 = 8 * 3_600 * 1_000_000_000
    /// Longest pause between two requests, in nanoseconds; a page that is shown makes one at least
    /// each minute.
    static let idleNanoseconds: UInt64 = 30 * 60 * 1_000_000_000
    /// Random bytes of a token.
    static let tokenBytes = 32

    private let random: any RandomSource
    private let sessions = Guarded<[String: ConsoleSession]>([:])

    init(random: any RandomSource) {
        self.random = random
    }

    var count: Int { self.sessions.withLock { $0.count } }

    /// Opens a session and returns its token.
    func open(key: String, project: String, now: UInt64) -> String {
        var bytes = [UInt8](repeating: 0, count: Self.tokenBytes)
        // SAFETY: the array is this call's own, filled within the closure.
        bytes.withUnsafeMutableBytes { self.random.fill($0) }
        let token = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        self.sessions.withLock { sessions in
            Self.prune(&sessions, now)
            if sessions.count >= Self.countMax,
                let oldest = sessions.min(by: { $0.value.usedAt < $1.value.usedAt })
            {
                sessions[oldest.key] = nil
            }
            sessions[token] = ConsoleSession(
                key: key, project: project, openedAt: now, usedAt: now)
        }
        return token
    }

    /// The session of a token, which counts as used now; `nil` if there is none, or no longer.
    func find(_ token: String, now: UInt64) -> ConsoleSession? {
        self.sessions.withLock { sessions in
            guard var session = sessions[token] else { return nil }
            guard Self.isAlive(session, now) else {
                sessions[token] = nil
                return nil
            }
            session.usedAt = max(now, session.usedAt)
            sessions[token] = session
            return session
        }
    }

    func close(_ token: String) {
        self.sessions.withLock { $0[token] = nil }
    }

    private static func prune(_ sessions: inout [String: ConsoleSession], _ now: UInt64) {
        sessions = sessions.filter { Self.isAlive($0.value, now) }
    }

    private static func isAlive(_ session: ConsoleSession, _ now: UInt64) -> Bool {
        now < session.openedAt + Self.ageNanoseconds && now < session.usedAt + Self.idleNanoseconds
    }
}
