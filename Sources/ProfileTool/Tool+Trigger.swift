import ProfileClient

/// `profilectl trigger`: the triggers of a project, and what they fire.
extension Tool {
    static let triggerHelp = """
          create  makes a trigger and prints its id; --event is required
          list    shows the triggers of the project, with the firings that wait for a consumer
          delete  ends one, with all its firings
          follow  prints the firings of one as they come
        SPAN is a number of seconds, or such as 30m or 2d. A firing waits until it is acknowledged.
        `follow` only looks unless it has --ack: it acknowledges nothing, so each firing comes again
        when its time to acknowledge is over, and until then no other consumer gets it. With --ack
        it acknowledges each firing once its line is written: the firing is settled, and no other
        consumer ever gets it.
        """

    static let triggerWords = ["create", "list", "delete", "follow"]

    func trigger() throws {
        let words = try self.positional(1, 2)
        switch words[0] {
        case "create":
            _ = try self.positional(1, 1)
            try self.createTrigger()
        case "list":
            _ = try self.positional(1, 1)
            try self.listTriggers()
        case "delete": try self.deleteTrigger(try self.positional(2, 2)[1])
        case "follow": try self.followTrigger(try self.positional(2, 2)[1])
        default:
            throw UsageError(
                "trigger \(words[0]): expected \(Self.triggerWords.joined(separator: ", "))"
                    + "\(ToolArguments.nearest(words[0], Self.triggerWords)); "
                    + "`profilectl help trigger` explains")
        }
    }

    private func createTrigger() throws {
        guard let event = self.arguments["--event"] else {
            throw UsageError("trigger create needs --event; `profilectl help trigger` explains")
        }
        let guarded = try self.arguments["--guard"].map { text throws(UsageError) in
            try WhoText.channel(text)
        }
        let cap = try self.arguments["--cap"].map { text throws(UsageError) in
            try TriggerText.cap(text)
        }
        let trigger = JSONValue.object(of: [
            ("event_name", .string(event)),
            ("filter", self.arguments["--filter"].map(JSONValue.string)),
            ("delay_seconds", try self.seconds("--delay")),
            ("unless_event_name", self.arguments["--unless"].map(JSONValue.string)),
            ("guard_channel", guarded?.channel), ("guard_topic", guarded?.topic),
            ("cap", cap.map { .string($0.count) }),
            ("cap_period_seconds", cap.map { .string($0.seconds) }),
            ("ack_deadline_seconds", try self.seconds("--ack-deadline")),
            ("display_name", self.arguments["--name"].map(JSONValue.string)),
        ])
        let response = try self.call(
            .profiles("CreateTrigger"),
            [
                ("project", .string(self.project)), ("request_id", self.requestID()),
                ("trigger", trigger),
            ])
        self.show(response) {
            TerminalText.safe(response["trigger"]?["trigger_id"]?.text ?? "") + "\n"
        }
    }

    private func listTriggers() throws {
        let response = try self.call(
            .profiles("ListTriggers"), [("project", .string(self.project))])
        let triggers = response["triggers"]?.items ?? []
        if self.wantsJSON {
            for trigger in triggers { self.terminal.say("\(trigger)\n") }
            return
        }
        let view = TriggerView(now: self.now)
        self.terminal.say(
            triggers.isEmpty
                ? "no triggers\n"
                : TerminalText.table([TriggerView.head] + triggers.map(view.row), indent: ""))
    }

    private func deleteTrigger(_ id: String) throws {
        let response = try self.call(
            .profiles("DeleteTrigger"),
            [
                ("project", .string(self.project)), ("request_id", self.requestID()),
                ("trigger_id", .string(id)),
            ])
        self.show(response) { "deleted: \(TerminalText.safe(id))\n" }
    }

    /// A span of a flag in seconds; `nil` without the flag.
    private func seconds(_ flag: String) throws(UsageError) -> JSONValue? {
        guard let text = self.arguments[flag] else { return nil }
        guard let seconds = TriggerText.seconds(text) else {
            throw UsageError("\(flag) \(text): expected seconds, or a span such as 30m or 2d")
        }
        return .string(seconds)
    }

    // MARK: Following

    private func followTrigger(_ id: String) throws {
        let method = RPCMethod.profiles("WatchTriggers")
        let encoder = MessageEncoder(now: self.now)
        let acknowledges = self.arguments.has("--ack")
        let inFlight = try self.arguments.number("--in-flight", 0)
        var settled = SettledFirings()
        if !acknowledges {
            self.terminal.complain(
                "nothing is acknowledged: each firing is kept from other consumers until its "
                    + "time to acknowledge is over, and comes again (--ack settles them)")
        }
        let first = JSONValue.object(of: [
            ("project", .string(self.project)), ("trigger_id", .string(id)),
            ("in_flight_max", inFlight > 0 ? .string(String(inFlight)) : nil),
        ])
        var last: StreamingCall?
        _ = try self.lasting(method, sendsMore: true).run(
            request: { try encoder.encode(first, as: method.request) }, position: { "" },
            received: { call, message in
                last = call
                let firing = try method.decode(message)
                let isHeartbeat = firing["heartbeat"]?.isTrue == true
                guard !isHeartbeat, let id = firing["firing_id"]?.text else {
                    if self.arguments.has("--heartbeats"), self.wantsJSON {
                        self.terminal.say("\(firing)\n")
                    }
                    return
                }
                if !settled.contains(id) {
                    self.terminal.say(
                        self.wantsJSON ? "\(firing)\n" : ChangeView.firing(firing))
                }
                guard acknowledges, self.terminal.outputFailure() == nil else { return }
                settled.insert(id)
                let acknowledgement = JSONValue.object(of: [
                    ("acknowledged_firing_ids", .array([.string(id)]))
                ])
                call.send(try encoder.encode(acknowledgement, as: method.request))
            })
        if acknowledges { self.finish(last) }
    }

    /// Ends the stream of acknowledgements, and waits a moment for the server's end, so that what
    /// was printed is settled.
    private func finish(_ call: StreamingCall?) {
        guard let call else { return }
        call.finishSending()
        let deadline = ClientClock.milliseconds() + Self.finishMilliseconds
        while true {
            let rest = deadline - ClientClock.milliseconds()
            guard rest > 0, case .message? = try? call.next(within: rest) else { return }
        }
    }

    /// Longest wait for the end of a stream.
    private static let finishMilliseconds: Int64 = 2_000
}

/// The firings that were acknowledged, of which some may come again: an acknowledgement on a lost
/// connection may be lost, too.
struct SettledFirings {
    /// As many as a stream may have unacknowledged.
    private static let countMax = 10_000
    private var known: Set<String> = []
    /// In the order of their acknowledgement, as a ring.
    private var order: [String] = []
    private var oldest = 0

    func contains(_ id: String) -> Bool { self.known.contains(id) }

    mutating func insert(_ id: String) {
        guard self.known.insert(id).inserted else { return }
        if self.order.count < Self.countMax { return self.order.append(id) }
        self.known.remove(self.order[self.oldest])
        self.order[self.oldest] = id
        self.oldest = (self.oldest + 1) % Self.countMax
    }
}

/// Reads the numbers of a trigger's flags.
package enum TriggerText {
    /// `1800` or `30m`, as decimal digits.
    package static func seconds(_ text: String) -> String? {
        if let seconds = UInt64(text) { return String(seconds) }
        return TimeText.span(text).map { String($0 / 1_000_000) }
    }

    /// `2/7d` or `2/604800`.
    package static func cap(_ text: String) throws(UsageError) -> (count: String, seconds: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, let count = UInt32(parts[0]), count > 0,
            let seconds = self.seconds(parts[1])
        else {
            throw UsageError("--cap \(text): expected N/SPAN, such as 2/7d: at most 2 in 7 days")
        }
        return (String(count), seconds)
    }
}

/// One row of `profilectl trigger list`.
package struct TriggerView {
    package static let head = [
        "TRIGGER", "EVENT", "DELAY", "UNLESS", "GUARD", "CAP", "ACK", "PENDING", "LOST", "CREATED",
        "NAME", "FILTER",
    ]

    /// The time that ages are relative to, in microseconds since 1970.
    private let now: Int64

    package init(now: Int64) {
        self.now = now
    }

    /// - Parameter trigger: A `Trigger` of the contract.
    package func row(_ trigger: JSONValue) -> [String] {
        let topic = trigger["guard_topic"]?.text ?? ""
        let guarded = trigger["guard_channel"].map { ProfileView.word($0, "CHANNEL_") }
        let cap = self.number(trigger["cap"])
        let created = trigger["created_at"]?.text ?? "-"
        return [
            trigger["trigger_id"]?.text ?? "", trigger["event_name"]?.text ?? "",
            self.span(trigger["delay_seconds"]), self.text(trigger["unless_event_name"]),
            (guarded ?? "-") + (topic.isEmpty ? "" : "/\(topic)"),
            cap == "0" ? "-" : "\(cap)/\(self.span(trigger["cap_period_seconds"]))",
            self.span(trigger["ack_deadline_seconds"]),
            self.number(trigger["pending"]), self.number(trigger["lost"]),
            TimeText.parse(created).map { TimeText.age(of: $0, now: self.now) } ?? created,
            self.text(trigger["display_name"]), trigger["filter"]?.text ?? "",
        ]
    }

    private func text(_ value: JSONValue?) -> String {
        guard let text = value?.text, !text.isEmpty else { return "-" }
        return text
    }

    /// Beyond 2^53 it is a string.
    private func number(_ value: JSONValue?) -> String {
        value.map { $0.text ?? $0.description } ?? "0"
    }

    /// Seconds in the largest unit that shows them exactly, such as `30m`.
    private func span(_ value: JSONValue?) -> String {
        guard let seconds = value?.integer, seconds > 0 else { return value?.text ?? "-" }
        let units: [(Int64, String)] = [(86_400, "d"), (3_600, "h"), (60, "m")]
        let unit = units.first { seconds % $0.0 == 0 } ?? (1, "s")
        return "\(seconds / unit.0)\(unit.1)"
    }
}
