import ProfileClient

/// `profilectl project`: the projects of a server, their options and figures.
extension Tool {
    static let projectHelp = """
          create  makes a project; without options it has the defaults
          list    shows all projects, by name
          get     shows the options and every limit of one (NAME, or --project)
          set     changes the options that are given, and no others
          delete  blocks a project at once; its data is removed a day later, unless it is undone
          stats   shows what a project holds, and what became of what it received
        Options are merge_policy (survivor_wins, latest_wins), double_opt_in (channels, such as
        email,sms), topic_default_unsubscribed, late_window_seconds, event_retention_days,
        events_per_profile_max and reset_consent_on_address_change. OPTION=default resets one.
        """

    func projects() throws {
        let words = try self.positional(1)
        switch words[0] {
        case "create":
            let words = try self.positional(2)
            try self.createProject(words[1], try self.options(words.dropFirst(2)))
        case "list":
            _ = try self.positional(1, 1)
            try self.listProjects()
        case "get": try self.getProject(try self.projectName())
        case "set":
            let isNamed = words.count > 1 && !words[1].contains("=")
            let options = try self.options(words.dropFirst(isNamed ? 2 : 1))
            guard !options.isEmpty else {
                throw UsageError(
                    "project set needs OPTION=VALUE; `profilectl help project` lists them")
            }
            try self.setProject(isNamed ? words[1] : self.project, options)
        case "delete": try self.deleteProject(try self.positional(2, 2)[1])
        case "stats": try self.showStatistics(of: try self.projectName())
        default:
            let known = ["create", "list", "get", "set", "delete", "stats"]
            throw UsageError(
                "project \(words[0]): expected \(known.joined(separator: ", "))"
                    + "\(ToolArguments.nearest(words[0], known)); `profilectl help project` "
                    + "explains")
        }
    }

    /// The positional name, or the project of every command.
    private func projectName() throws(UsageError) -> String {
        let words = try self.positional(1, 2)
        return words.count > 1 ? words[1] : self.project
    }

    /// A project as it is; `nil`: there is none.
    private func find(_ name: String) throws -> JSONValue? {
        do {
            return try self.call(.admin("GetProject"), [("project", .string(name))])
        } catch let failure as RPCFailure where failure.reason == "PROJECT_NOT_FOUND" {
            return nil
        }
    }

    private func createProject(_ name: String, _ options: [ProjectOption]) throws {
        // The response is that of an existing project, too.
        let exists = try self.find(name) != nil
        let response = try self.call(
            .admin("CreateProject"),
            [
                ("project", .string(name)), ("request_id", self.requestID()),
                ("options", options.isEmpty ? nil : .object(of: options.map(\.member))),
            ])
        self.show(response) {
            "\(name): \(exists ? "exists" : "created")\n"
                + ProjectView(now: self.now).options(response)
        }
    }

    private func listProjects() throws {
        var projects: [JSONValue] = []
        var token = ""
        repeat {
            let page = try self.call(
                .admin("ListProjects"), [("page_token", token.isEmpty ? nil : .string(token))])
            projects += page["projects"]?.items ?? []
            token = page["next_page_token"]?.text ?? ""
        } while !token.isEmpty
        if self.wantsJSON {
            for project in projects { self.terminal.say("\(project)\n") }
            return
        }
        let view = ProjectView(now: self.now)
        self.terminal.say(
            projects.isEmpty
                ? "no projects\n"
                : TerminalText.table([ProjectView.head] + projects.map(view.row), indent: ""))
    }

    private func getProject(_ name: String) throws {
        let response = try self.call(.admin("GetProject"), [("project", .string(name))])
        self.show(response) { ProjectView(now: self.now).text(response) }
    }

    private func setProject(_ name: String, _ options: [ProjectOption]) throws {
        let response = try self.call(
            .admin("UpdateProject"),
            [
                ("project", .string(name)), ("request_id", self.requestID()),
                ("options", .object(of: options.map(\.member))),
                ("update_mask", .string(options.map(\.name).joined(separator: ","))),
            ])
        self.show(response) { "\(name): set\n" + ProjectView(now: self.now).options(response) }
    }

    private func deleteProject(_ name: String) throws {
        let isUndo = self.arguments.has("--undo")
        // The response says nothing of what was undone.
        let wasDeleted = isUndo ? try self.find(name)?["delete_due"] != nil : false
        let response = try self.call(
            .admin("DeleteProject"),
            [
                ("project", .string(name)), ("request_id", self.requestID()),
                ("undo", isUndo ? .bool(true) : nil),
            ])
        self.show(response) {
            guard !isUndo else {
                return wasDeleted ? "\(name): no longer deleted\n" : "\(name): was not deleted\n"
            }
            let due = response["delete_due"]?.text ?? ""
            let when = TimeText.parse(due).map { TimeText.age(of: $0, now: self.now) } ?? due
            return "\(name): blocked; its data is removed \(when). Until then it can be undone:\n"
                + "  profilectl project delete \(name) --undo\n"
        }
    }

    private func showStatistics(of name: String) throws {
        let response = try self.call(.admin("GetStats"), [("project", .string(name))])
        self.show(response) { ProjectView.statistics(response) }
    }

    // MARK: Options

    /// One OPTION=VALUE.
    struct ProjectOption {
        var name: String
        /// `nil`: the default.
        var value: JSONValue?

        var member: (String, JSONValue?) { (self.name, self.value) }
    }

    private func options(_ words: ArraySlice<String>) throws(UsageError) -> [ProjectOption] {
        var options: [ProjectOption] = []
        for word in words {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                .map(String.init)
            guard parts.count == 2 else {
                throw UsageError("project: unexpected argument \(word); expected OPTION=VALUE")
            }
            guard let kind = Self.optionKinds.first(where: { $0.name == parts[0] })?.kind else {
                throw UsageError(
                    "project: \(parts[0]) is no option"
                        + ToolArguments.nearest(parts[0], Self.optionKinds.map(\.name)))
            }
            guard !options.contains(where: { $0.name == parts[0] }) else {
                throw UsageError("project: \(parts[0]) is given twice")
            }
            options.append(
                ProjectOption(
                    name: parts[0],
                    value: parts[1] == "default" ? nil : try self.value(kind, parts[0], parts[1])))
        }
        return options
    }

    private enum OptionKind {
        case policy
        case channels
        case flag
        case number
    }

    /// What completion offers.
    static var projectAssignments: [String] { Self.optionKinds.map { $0.name + "=" } }

    private static let optionKinds: [(name: String, kind: OptionKind)] = [
        ("merge_policy", .policy), ("double_opt_in", .channels),
        ("topic_default_unsubscribed", .flag), ("late_window_seconds", .number),
        ("event_retention_days", .number), ("events_per_profile_max", .number),
        ("reset_consent_on_address_change", .flag),
    ]

    private func value(_ kind: OptionKind, _ name: String, _ text: String) throws(UsageError)
        -> JSONValue
    {
        func expected(_ what: String) -> UsageError {
            UsageError("project: \(name)=\(text): expected \(what)")
        }
        switch kind {
        case .policy:
            guard ["survivor_wins", "latest_wins"].contains(text) else {
                throw expected("survivor_wins or latest_wins")
            }
            return .string("MERGE_POLICY_\(text.uppercased())")
        case .channels:
            var channels: [JSONValue] = []
            for channel in text.split(separator: ",").map(String.init) where channel != "none" {
                guard ["email", "sms", "push"].contains(channel) else {
                    throw expected("none, or a list of email, sms, push")
                }
                channels.append(.string("CHANNEL_\(channel.uppercased())"))
            }
            return .array(channels)
        case .flag:
            guard ["true", "false"].contains(text) else { throw expected("true or false") }
            return .bool(text == "true")
        case .number:
            guard let number = UInt32(text) else { throw expected("a non-negative integer") }
            return .number(String(number))
        }
    }
}
