import ProfileClient

/// `profilectl list` and `profilectl count`: the profiles that a filter takes.
extension Tool {
    static let listHelp = """
        FILTER says which, such as 'plan = "gold" AND events.purchase.count >= 3'; without one,
        all. Several words are one filter. docs/filters.md has the language. With a custom ID, an
        installation or an address in it, joined by AND, nothing else is looked at.
        """

    /// The contract's largest page.
    private static let listPageMax = 1_000

    private static let columns = [
        "CUSTOM ID", "PROFILE", "DEVICES", "EVENTS", "SEEN",
    ]
    /// What the columns need.
    private static let columnFields =
        "profile_id,custom_id,installations,event_counters,last_seen_at"

    private var filter: JSONValue? {
        let text = self.arguments.positional.joined(separator: " ")
        return text.isEmpty ? nil : .string(text)
    }

    func count() throws {
        let response = try self.call(
            .profiles("CountProfiles"),
            [("project", .string(self.project)), ("filter", self.filter)])
        self.show(response) { "\(response["count"]?.description ?? "0")\n" }
    }

    func list() throws {
        let limit = try self.arguments.number("--limit", 20)
        if self.arguments.has("--fields"), !self.wantsJSON {
            throw UsageError("--fields needs --json: the columns of the table are always the same")
        }
        let view = ProfileView(now: self.now)
        let fields = self.wantsJSON ? self.arguments["--fields"] : Self.columnFields
        var left = limit == 0 ? Int.max : limit
        var token = ""
        var hasShown = false
        repeat {
            let response = try self.call(
                .profiles("ListProfiles"),
                [
                    ("project", .string(self.project)), ("filter", self.filter),
                    ("read_mask", fields.map(JSONValue.string)),
                    ("page_size", .number(String(min(left, Self.listPageMax)))),
                    ("page_token", token.isEmpty ? nil : .string(token)),
                ])
            let page = response["profiles"]?.items ?? []
            if self.wantsJSON {
                for profile in page { self.terminal.say("\(profile)\n") }
            } else if !page.isEmpty {
                // A page at a time: a whole base would not fit the memory.
                let rows = (hasShown ? [] : [Self.columns]) + page.map(view.row)
                self.terminal.say(TerminalText.table(rows, indent: ""))
            }
            hasShown = hasShown || !page.isEmpty
            left -= page.count
            // A page may be empty and not the last.
            token = response["next_page_token"]?.text ?? ""
        } while !token.isEmpty && left > 0 && self.terminal.outputFailure() == nil
        if !self.wantsJSON, !hasShown { self.terminal.say("no profiles\n") }
    }
}
