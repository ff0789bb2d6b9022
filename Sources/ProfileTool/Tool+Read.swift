import ProfileClient

/// The commands that read.
extension Tool {
    /// The contract's largest page.
    private static let pageMax = 1_000

    func get() throws {
        let who = WhoText.identifier(try self.positional(1, 1)[0])
        let count = try self.arguments.number("--events", 5)
        let response = try self.call(
            .profiles("GetProfile"),
            [
                ("project", .string(self.project)), ("identifier", who), ("metadata", .bool(true)),
            ])
        guard !self.wantsJSON else { return self.terminal.say("\(response)\n") }
        let events = count == 0 ? nil : try self.lastEvents(who, count)
        self.terminal.say(ProfileView(now: self.now).text(response, events: events))
    }

    /// `nil` if the server does not implement ListEvents: the rest of the profile is still useful.
    private func lastEvents(_ who: JSONValue, _ count: Int) throws -> JSONValue? {
        do {
            return try self.call(
                .profiles("ListEvents"),
                [
                    ("project", .string(self.project)), ("identifier", who),
                    ("page_size", .number(String(min(count, Self.pageMax)))),
                ])
        } catch let failure as RPCFailure where failure.code == RPCFailure.unimplemented {
            return nil
        }
    }

    func events() throws {
        let who = WhoText.identifier(try self.positional(1, 1)[0])
        let limit = try self.arguments.number("--limit", 20)
        let names = self.arguments.all("--name").map(JSONValue.string)
        let view = ProfileView(now: self.now)
        var rows: [[String]] = []
        var left = limit == 0 ? Int.max : limit
        var token = ""
        repeat {
            let response = try self.call(
                .profiles("ListEvents"),
                [
                    ("project", .string(self.project)), ("identifier", who),
                    ("names", names.isEmpty ? nil : .array(names)),
                    ("from", self.arguments["--from"].map(JSONValue.string)),
                    ("to", self.arguments["--to"].map(JSONValue.string)),
                    ("order", self.arguments.has("--oldest-first") ? .string("OLDEST_FIRST") : nil),
                    ("page_size", .number(String(min(left, Self.pageMax)))),
                    ("page_token", token.isEmpty ? nil : .string(token)),
                ])
            let page = response["events"]?.items ?? []
            if self.wantsJSON {
                for event in page { self.terminal.say("\(event)\n") }
            } else {
                rows += page.map(view.event)
            }
            left -= page.count
            token = page.isEmpty ? "" : response["next_page_token"]?.text ?? ""
        } while !token.isEmpty && left > 0 && self.terminal.outputFailure() == nil
        guard !self.wantsJSON else { return }
        self.terminal.say(rows.isEmpty ? "no events\n" : TerminalText.table(rows, indent: ""))
    }

    func consent() throws {
        let who = WhoText.identifier(try self.positional(1, 1)[0])
        let view = ProfileView(now: self.now)
        var rows: [[String]] = []
        var token = ""
        repeat {
            let response = try self.call(
                .profiles("ListConsentHistory"),
                [
                    ("project", .string(self.project)), ("identifier", who),
                    ("page_token", token.isEmpty ? nil : .string(token)),
                ])
            let page = response["entries"]?.items ?? []
            for entry in page {
                if self.wantsJSON {
                    self.terminal.say("\(entry)\n")
                } else {
                    rows.append(view.consent(entry))
                }
            }
            token = page.isEmpty ? "" : response["next_page_token"]?.text ?? ""
        } while !token.isEmpty && self.terminal.outputFailure() == nil
        if !self.wantsJSON {
            self.terminal.say(rows.isEmpty ? "no entries\n" : TerminalText.table(rows, indent: ""))
        }
        guard self.arguments.has("--verify") else { return }
        let response = try self.call(
            .profiles("VerifyConsentLedger"),
            [("project", .string(self.project)), ("identifier", who)])
        self.show(response) {
            response["valid"]?.isTrue == true
                ? "the chain of \(response["entries"]?.description ?? "0") entries is valid\n"
                : "THE CHAIN IS BROKEN: entries were changed\n"
        }
    }

    func sendable() throws {
        let words = try self.positional(2, 2)
        let (channel, topic) = try WhoText.channel(words[1])
        let response = try self.call(
            .profiles("CheckSendable"),
            [
                ("project", .string(self.project)), ("identifier", WhoText.identifier(words[0])),
                ("channel", channel), ("topic", topic),
                (
                    "message_class",
                    .string(self.arguments.has("--transactional") ? "TRANSACTIONAL" : "MARKETING")
                ),
            ])
        self.show(response) {
            let reason = ProfileView.word(response["reason"], "SENDABLE_REASON_")
            return response["sendable"]?.isTrue == true
                ? "yes\(reason == "ok" ? "" : ": \(reason)")\n" : "no: \(reason)\n"
        }
    }

    func health() throws -> Int32 {
        let service = try self.positional(0, 1).first ?? ""
        let response = try self.call(.healthCheck, [("service", .string(service))])
        let status = response["status"]?.text ?? "UNKNOWN"
        self.show(response) { "\(TerminalText.safe(status))\n" }
        return status == "SERVING" ? ToolMain.ExitCode.done : ToolMain.ExitCode.rejected
    }

    func help() throws {
        if self.arguments.has("--man") {
            _ = try self.positional(0, 0)
            return self.terminal.say(ToolCommand.manual)
        }
        guard let name = try self.positional(0, 1).first else {
            return self.terminal.say(ToolCommand.overview)
        }
        guard let command = ToolCommand.named(name) else {
            throw UsageError(
                "unknown command \(name)\(ToolArguments.nearest(name, ToolCommand.all.map(\.name)))"
            )
        }
        self.terminal.say(command.help)
    }

    func completion() throws {
        let shell = try self.positional(1, 1)[0]
        guard let script = Completion.script(for: shell) else {
            throw UsageError("\(shell): expected bash, zsh or fish")
        }
        self.terminal.say(script)
    }
}
