import ProfileClient

/// `profilectl watch`: the changes of a project as they are committed.
extension Tool {
    static let watchHelp = """
        Each line is a change: its lsn, when it was received, what it is about, of whom, and what.
        With --json each line is a WatchResponse. Kinds, events, attributes and the like may be
        given several times, and kinds as a list. A change of one of the events, attributes or
        channels is shown, if any is given.
        If the connection is lost or the server restarts, it resumes where it was: no change is
        missing, and none is shown twice. With --timeout it ends when no server has responded
        for so long. Ctrl-C ends it with code 0, and prints where --from continues.
        Exit code 7: the changes from there on are no longer kept, and some are missing.
        """

    /// The kinds of the contract, as --kind takes them.
    static let changeKinds = [
        "profile_created", "profile_identified", "profiles_merged", "profiles_unmerged",
        "installation_moved", "attributes_changed", "event_stored", "subscription_changed",
        "suppression_changed", "profile_erased",
    ]

    func watch() throws {
        _ = try self.positional(0, 0)
        let method = RPCMethod.profiles("Watch")
        let filters = try self.watchFilters()
        let encoder = MessageEncoder(now: self.now)
        var position = WatchPosition(first: try self.firstLSN())
        var isResumed = false
        let wantsHeartbeats = self.arguments.has("--heartbeats")
        let end = try self.lasting(method, sendsMore: false).run(
            request: {
                position.resume()
                let from = ("from_lsn", JSONValue?.some(.string(String(position.next))))
                return try encoder.encode(.object(of: filters + [from]), as: method.request)
            },
            position: { position.next == 0 ? "" : " from lsn \(position.next)" },
            received: { _, message in
                let response = try method.decode(message)
                let lsn = response["lsn"]?.lsn ?? 0
                guard let change = response["change"] else {
                    position.pass(heartbeat: lsn)
                    if !isResumed, !self.wantsJSON {
                        self.terminal.complain("watching \(self.project) from lsn \(position.next)")
                    }
                    isResumed = true
                    if wantsHeartbeats {
                        self.terminal.say(self.wantsJSON ? "\(response)\n" : "\(lsn)  heartbeat\n")
                    }
                    return
                }
                guard position.pass(change: lsn, bytes: message) else { return }
                self.terminal.say(
                    self.wantsJSON
                        ? "\(response)\n" : ChangeView.line(lsn: response["lsn"], change))
            })
        if end == .interrupted, position.next > 0 {
            self.terminal.complain("stopped; --from \(position.next) continues")
        }
    }

    /// A stream that outlives its connections.
    func lasting(
        _ method: RPCMethod, sendsMore: Bool, isFinite: Bool = false
    ) -> LastingStream {
        let timeout = self.client.retryPolicy.timeoutMilliseconds
        return LastingStream(
            method: method, client: self.client, terminal: self.terminal,
            firstMilliseconds: timeout,
            patienceMilliseconds: self.arguments.has("--timeout") ? timeout : nil,
            sendsMore: sendsMore, isFinite: isFinite)
    }

    private func firstLSN() throws(UsageError) -> UInt64 {
        guard let text = self.arguments["--from"] else { return 0 }
        guard let lsn = UInt64(text) else {
            throw UsageError("--from \(text): expected an lsn, such as that of an earlier line")
        }
        return lsn
    }

    /// All of the request but its position.
    private func watchFilters() throws(UsageError) -> [(String, JSONValue?)] {
        func list(_ values: [JSONValue]) -> JSONValue? { values.isEmpty ? nil : .array(values) }
        var kinds: [JSONValue] = []
        for list in self.arguments.all("--kind") {
            for word in list.split(separator: ",", omittingEmptySubsequences: false) {
                kinds.append(try Self.kind(String(word)))
            }
        }
        var channels: [JSONValue] = []
        for text in self.arguments.all("--channel") {
            let (channel, topic) = try WhoText.channel(text)
            guard topic == nil else {
                throw UsageError("--channel \(text): expected email, sms or push without a topic")
            }
            channels.append(channel)
        }
        return [
            ("project", .string(self.project)), ("kinds", list(kinds)),
            ("event_names", list(self.arguments.all("--event").map(JSONValue.string))),
            ("attributes", list(self.arguments.all("--attribute").map(JSONValue.string))),
            ("channels", list(channels)),
            ("identifiers", list(self.arguments.all("--identifier").map(WhoText.identifier))),
            (
                "include_historical",
                self.arguments.has("--include-historical") ? .bool(true) : nil
            ),
        ]
    }

    /// `event_stored`, in any case and with or without its prefix, as the contract names it.
    private static func kind(_ word: String) throws(UsageError) -> JSONValue {
        var name = word.lowercased()
        if name.hasPrefix("change_kind_") { name.removeFirst(12) }
        guard self.changeKinds.contains(name) else {
            throw UsageError(
                "--kind \(word): no such kind\(ToolArguments.nearest(name, self.changeKinds)); "
                    + "there are \(self.changeKinds.joined(separator: ", "))")
        }
        return .string("CHANGE_KIND_\(name.uppercased())")
    }
}
