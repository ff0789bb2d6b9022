import ProfileClient

/// `profilectl key`: the keys of a project, or of the operators.
extension Tool {
    static let keyHelp = """
          create  prints the new key, once, and nothing else: only this output has its secret
          new     prints a line for profiled --operator-key-file; no server is needed
          list    shows the keys of the project, with those that were revoked or have expired
          revoke  ends one; calls that begin after the response are rejected
        SCOPES is a list of read, write, erase, export, admin. An operator's key (--operator) has
        all of them, in every project; list and revoke need --operator for it, too.
        """

    func key() throws {
        let words = try self.positional(1, 2)
        switch words[0] {
        case "new": try self.newKey(try self.positional(1, 1))
        case "create": try self.createKey(try self.positional(1, 1))
        case "list": try self.listKeys(try self.positional(1, 1))
        case "revoke": try self.revokeKey(try self.positional(2, 2)[1])
        default:
            let known = ["new", "create", "list", "revoke"]
            throw UsageError(
                "key \(words[0]): expected new, create, list or revoke"
                    + "\(ToolArguments.nearest(words[0], known)); `profilectl help key` explains")
        }
    }

    /// Keys of operators belong to no project.
    private var keyProject: JSONValue {
        .string(self.arguments.has("--operator") ? "" : self.project)
    }

    /// Prints a key that no server knows yet.
    private func newKey(_ words: [String]) throws {
        self.terminal.say(NewKey.text(random: self.terminal.random) + "\n")
    }

    private func createKey(_ words: [String]) throws {
        let isOperator = self.arguments.has("--operator")
        let scopes = try self.scopes()
        guard isOperator != (scopes != nil) else {
            throw UsageError(
                isOperator
                    ? "key create: --operator includes every scope"
                    : "key create needs --scopes, such as read,write; `profilectl help key` "
                        + "explains")
        }
        let response = try self.call(
            .admin("CreateKey"),
            [
                ("project", self.keyProject), ("scopes", scopes.map(JSONValue.array)),
                ("operator", isOperator ? .bool(true) : nil), ("request_id", self.requestID()),
                ("expires_at", try self.expiry()),
                ("updates_per_second_max", try self.quota("--rate")),
                ("concurrent_calls_max", try self.quota("--concurrency")),
                ("display_name", self.arguments["--name"].map(JSONValue.string)),
            ])
        if self.wantsJSON { return self.terminal.say("\(response)\n") }
        guard let key = response["key"]?.text, !key.isEmpty else {
            let id = response["key_id"]?.text ?? ""
            throw SecretMissing(keyID: id)
        }
        self.terminal.say("\(key)\n")
    }

    private func listKeys(_ words: [String]) throws {
        let response = try self.call(.admin("ListKeys"), [("project", self.keyProject)])
        let keys = response["keys"]?.items ?? []
        if self.wantsJSON {
            for key in keys { self.terminal.say("\(key)\n") }
            return
        }
        let view = KeyView(now: self.now)
        self.terminal.say(
            keys.isEmpty
                ? "no keys\n" : TerminalText.table([KeyView.head] + keys.map(view.row), indent: ""))
    }

    private func revokeKey(_ id: String) throws {
        let response = try self.call(
            .admin("RevokeKey"),
            [
                ("project", self.keyProject), ("key_id", .string(id)),
                ("request_id", self.requestID()),
            ])
        self.show(response) { "revoked: \(TerminalText.safe(id))\n" }
    }

    // MARK: Flags

    /// The scopes of the contract, as flags name them.
    static let scopes = ["read", "write", "erase", "export", "admin"]

    /// `nil` without --scopes.
    private func scopes() throws(UsageError) -> [JSONValue]? {
        guard let list = self.arguments["--scopes"] else { return nil }
        let known = Self.scopes
        var scopes: [JSONValue] = []
        for word in list.split(separator: ",", omittingEmptySubsequences: false).map(String.init) {
            guard known.contains(word.lowercased()) else {
                throw UsageError(
                    "--scopes \(list): \(word) is no scope"
                        + "\(ToolArguments.nearest(word, known)); there are "
                        + known.joined(separator: ", "))
            }
            scopes.append(.string("SCOPE_\(word.uppercased())"))
        }
        return scopes
    }

    /// A time, or a span from now; `nil` without --expires.
    private func expiry() throws(UsageError) -> JSONValue? {
        guard let text = self.arguments["--expires"] else { return nil }
        if TimeText.parse(text) != nil { return .string(text) }
        guard let span = TimeText.span(text), span > 0 else {
            throw UsageError(
                "--expires \(text): expected a span such as 90d, or a time such as "
                    + "2027-01-31T12:00:00Z")
        }
        // The same call a second later would be another message with the same id.
        guard !self.arguments.has("--request-id") else {
            throw UsageError(
                "--expires \(text): with --request-id it must be a time, such as "
                    + "\(TimeText.text(microseconds: self.now + span)), the same in each call")
        }
        return .string(TimeText.text(microseconds: self.now + span))
    }

    private func quota(_ flag: String) throws(UsageError) -> JSONValue? {
        guard self.arguments.has(flag) else { return nil }
        let number = try self.arguments.number(flag, 0)
        guard number <= Int(UInt32.max) else {
            throw UsageError("\(flag) \(number): at most \(UInt32.max)")
        }
        return .number(String(number))
    }
}

/// A repeated `key create` got the response of the first one, but without the secret.
struct SecretMissing: Error, CustomStringConvertible {
    let keyID: String

    var description: String {
        "the key \(self.keyID) was made by an earlier call, which alone had its secret; "
            + "if that is lost, revoke the key and create another"
    }
}

/// One row of `profilectl key list`.
package struct KeyView {
    package static let head = [
        "KEY", "STATE", "SCOPES", "CREATED", "EXPIRES", "USED", "LIMITS", "NAME",
    ]

    /// The time that ages are relative to, in microseconds since 1970.
    private let now: Int64

    package init(now: Int64) {
        self.now = now
    }

    /// - Parameter key: A `Key` of the contract.
    package func row(_ key: JSONValue) -> [String] {
        let scopes = (key["scopes"]?.items ?? []).compactMap(\.text).map {
            $0.hasPrefix("SCOPE_") ? $0.dropFirst(6).lowercased() : $0
        }
        let expiry = key["expires_at"]?.text.flatMap { TimeText.parse($0) }
        let isExpired = expiry.map { $0 <= self.now } ?? false
        return [
            key["key_id"]?.text ?? "",
            key["revoked"]?.isTrue == true ? "revoked" : isExpired ? "expired" : "live",
            key["operator"]?.isTrue == true ? "operator" : scopes.joined(separator: ","),
            self.age(key["created_at"], absent: "-"), self.age(key["expires_at"], absent: "never"),
            self.use(of: key), self.limits(key),
            key["display_name"]?.text ?? "",
        ]
    }

    private func age(_ time: JSONValue?, absent: String) -> String {
        guard let text = time?.text else { return absent }
        return TimeText.parse(text).map { TimeText.age(of: $0, now: self.now) } ?? text
    }

    /// How long ago the key was used. A use is known by the beginning of its minute: shown is
    /// nothing finer, and no use before the key was made.
    private func use(of key: JSONValue) -> String {
        guard let minute = key["last_used_at"]?.text.flatMap({ TimeText.parse($0) }) else {
            return self.age(key["last_used_at"], absent: "-")
        }
        guard self.now - minute >= 60_000_000 else { return "this minute" }
        let creation = key["created_at"]?.text.flatMap { TimeText.parse($0) } ?? minute
        return TimeText.age(of: max(minute, creation), now: self.now)
    }

    private func limits(_ key: JSONValue) -> String {
        let rate = key["updates_per_second_max"]?.integer ?? 0
        let calls = key["concurrent_calls_max"]?.integer ?? 0
        let parts = (rate > 0 ? ["\(rate)/s"] : []) + (calls > 0 ? ["\(calls) calls"] : [])
        return parts.isEmpty ? "-" : parts.joined(separator: ", ")
    }
}
