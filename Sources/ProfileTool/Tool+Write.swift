import ProfileClient

/// The commands that write.
extension Tool {
    /// Attributes with a predefined meaning, which belong in `native`.
    private static let nativeNames: Set<String> = [
        "email_address", "phone_number", "language", "region", "timezone",
    ]

    func identify() throws {
        var words = try self.positional(0)
        // An ID with an equals sign would be taken for an attribute: after `--`, or with its
        // prefix, the first word is always the ID.
        let isNamed = self.arguments.literalIndex == 0 || words.first?.hasPrefix("custom:") == true
        let customID = words.first.flatMap { isNamed || !$0.contains("=") ? $0 : nil }
        if customID != nil { words.removeFirst() }
        guard customID != nil || self.arguments.has("--device") else {
            throw UsageError("identify needs a custom ID, or --device ID, or both")
        }
        if customID != nil, self.arguments.has("--logged-out") {
            throw UsageError("--logged-out and a custom ID exclude each other")
        }
        let response = try self.call(
            .profiles("Identify"),
            [
                ("project", .string(self.project)), ("request_id", self.requestID()),
                ("installation_id", self.arguments["--device"].map(JSONValue.string)),
                (
                    "custom_id",
                    customID.map { .string($0.hasPrefix("custom:") ? String($0.dropFirst(7)) : $0) }
                ),
                ("logged_out", self.arguments.has("--logged-out") ? .bool(true) : nil),
                ("attributes", try self.patch(words)), ("occurred_at", try self.time()),
                ("source", self.source()),
                ("expected_revision", try self.expectedRevision()),
            ])
        self.show(response) {
            let profile = response["profile"] ?? .null
            let name = profile["custom_id"]?.text ?? "anonymous"
            var text =
                "\(ProfileView.word(response["outcome"], "OUTCOME_")): \(TerminalText.safe(name)), "
                + "profile \(TerminalText.safe(profile["profile_id"]?.text ?? "")),"
                + " revision \(profile["revision"]?.description ?? "0")"
                + "\(Self.mergeID(response))\(Self.replayed(response))\n"
            let stale = (response["ignored_stale"]?.items ?? []).compactMap(\.text)
            if !stale.isEmpty {
                let names = TerminalText.safe(stale.joined(separator: ", "))
                text += "not changed, newer values are stored: \(names)\n"
            }
            return text + Self.warnings(response)
        }
    }

    /// A line for each warning of a response.
    static func warnings(_ response: JSONValue) -> String {
        var text = ""
        for warning in response["warnings"]?.items ?? [] {
            let about =
                warning["name"]?.text ?? warning["identifier"]?.members.first?.value.text ?? ""
            text +=
                "warning: \(ProfileView.word(warning["reason"], "")) "
                + "\(TerminalText.safe(about))\n"
        }
        return text
    }

    /// The `AttributePatch` of `name=value` words and --delete; `nil`: nothing changes.
    private func patch(_ words: [String]) throws -> JSONValue? {
        var parts: [String: [JSONValue.JSONMember]] = [:]
        for word in words {
            let assignment = try ValueText.split(word)
            let list = JSONValue.object([
                .init("items", .array(ValueText.list(assignment.text)))
            ])
            switch assignment.operation {
            case .add: parts["add", default: []].append(.init(assignment.name, list))
            case .remove: parts["remove", default: []].append(.init(assignment.name, list))
            case .set where Self.nativeNames.contains(assignment.name):
                parts["native", default: []].append(
                    .init(assignment.name, .string(assignment.text)))
            case .set, .json:
                parts["set", default: []].append(
                    .init(assignment.name, try ValueText.value(assignment)))
            }
        }
        let deleted = self.arguments.all("--delete").map(JSONValue.string)
        guard !parts.isEmpty || !deleted.isEmpty else { return nil }
        return .object(
            of: ["set", "add", "remove", "native"].map { ($0, parts[$0].map(JSONValue.object)) }
                + [("delete", deleted.isEmpty ? nil : .array(deleted))])
    }

    func track() throws {
        let words = try self.positional(2)
        var attributes: [JSONValue.JSONMember] = []
        for word in words.dropFirst(2) {
            let assignment = try ValueText.split(word)
            guard assignment.operation == .set || assignment.operation == .json else {
                throw UsageError(
                    "\(word): cannot add to an event's attribute; write \(assignment.name)=...")
            }
            attributes.append(.init(assignment.name, try ValueText.value(assignment)))
        }
        let tags = self.arguments.all("--tag").map(JSONValue.string)
        let event = JSONValue.object(of: [
            ("event_id", self.arguments["--event-id"].map(JSONValue.string)),
            ("name", .string(words[1])),
            ("attributes", attributes.isEmpty ? nil : .object(attributes)),
            ("occurred_at", try self.time()),
            ("label", self.arguments["--label"].map(JSONValue.string)),
            ("tags", tags.isEmpty ? nil : .array(tags)),
        ])
        let response = try self.call(
            .profiles("Track"),
            [
                ("project", .string(self.project)), ("request_id", self.requestID()),
                ("identifier", WhoText.identifier(words[0])),
                ("events", .array([event])), ("source", self.source()),
                ("historical", self.arguments.has("--historical") ? .bool(true) : nil),
                ("must_exist", self.arguments.has("--must-exist") ? .bool(true) : nil),
                ("expected_revision", try self.expectedRevision()),
            ])
        self.show(response) {
            let result = response["results"]?.items.first ?? .null
            let differs =
                result["content_differs"]?.isTrue == true
                ? ", and its content differs from the stored one" : ""
            return
                "\(ProfileView.word(result["status"], "EVENT_STATUS_")): "
                + TerminalText.safe("\(words[1]) \(result["event_id"]?.text ?? "")") + "\(differs),"
                + " profile \(TerminalText.safe(response["profile_id"]?.text ?? "")), revision "
                + "\(response["revision"]?.description ?? "0"),"
                + " lsn \(response["lsn"]?.description ?? "0")\(Self.replayed(response))\n"
        }
    }

    func changeSubscription(_ state: String) throws {
        let words = try self.positional(2)
        let changes = try words.dropFirst().map { word in
            let (channel, topic) = try WhoText.channel(word)
            return JSONValue.object(of: [
                ("channel", channel), ("topic", topic), ("state", .string(state)),
            ])
        }
        let evidence = [("method", "--method"), ("actor", "--actor"), ("reference", "--reference")]
            .compactMap { field, flag in
                self.arguments[flag].map { JSONValue.JSONMember(field, .string($0)) }
            }
        let response = try self.call(
            .profiles("UpdateSubscription"),
            [
                ("project", .string(self.project)), ("request_id", self.requestID()),
                ("identifier", WhoText.identifier(words[0])),
                ("changes", .array(changes)),
                ("source", .string(self.arguments["--source"] ?? "API")),
                ("evidence", evidence.isEmpty ? nil : .object(evidence)),
                ("occurred_at", try self.time()),
            ])
        self.show(response) {
            TerminalText.table(
                (response["results"]?.items ?? []).map { result in
                    let applied =
                        result["applied"]?.isTrue == true
                        ? "" : "not applied: a newer choice is stored"
                    let token =
                        result["confirmation_token"]?.text.map {
                            $0.isEmpty ? "" : "to be confirmed with \($0)"
                        } ?? ""
                    return [
                        ProfileView.channel(result),
                        ProfileView.word(result["state"], "SUBSCRIPTION_STATE_"),
                        applied + token + Self.replayed(response),
                    ]
                }, indent: "")
        }
    }

    static func replayed(_ response: JSONValue) -> String {
        response["replayed"]?.isTrue == true ? " (response of the first call)" : ""
    }
}
