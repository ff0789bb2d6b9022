import ProfileClient

/// Responds to the page's queries with calls of the service. Blocking; on a worker's thread.
struct ConsoleQueries {
    /// Rows of a page.
    private static let profilesPerPage = "50"
    private static let eventsPerPage = "25"
    private static let entriesPerPage = "100"
    /// What a row of a list shows.
    private static let rowMask =
        "profile_id,custom_id,state,native,event_counters,created_at,last_seen_at"

    let client: ConsoleClient
    let request: ConsoleRequest
    let figures: any ConsoleFigures

    func run(_ query: ConsoleQuery) -> HTTPContent {
        do {
            return ConsoleContent.json(try self.response(to: query))
        } catch {
            return ConsoleContent.failure(error)
        }
    }

    private func response(to query: ConsoleQuery) throws -> JSONValue {
        switch query {
        case .activity: try self.activity()
        case .changes: try self.changes()
        case .count:
            try self.call("CountProfiles", [("filter", self.text("filter"))])
        case .events: try self.events()
        case .find: try self.find()
        case .ledger:
            try self.call(
                "ListConsentHistory",
                [
                    ("identifier", try self.identifier()),
                    ("page_size", .number(Self.entriesPerPage)),
                    ("page_token", self.text("page_token")),
                ])
        case .list:
            try self.call(
                "ListProfiles",
                [
                    ("filter", self.text("filter")), ("page_token", self.text("page_token")),
                    ("page_size", .number(Self.profilesPerPage)),
                    ("read_mask", .string(Self.rowMask)),
                ])
        case .merges: try self.merges()
        case .overview: try self.overview()
        case .profile: try self.profile()
        case .projects: try self.projects()
        }
    }

    // MARK: Calls

    func call(_ name: String, _ fields: [(String, JSONValue?)]) throws -> JSONValue {
        try self.client.call(
            .profiles(name), [("project", .string(self.request.project))] + fields,
            key: self.request.key)
    }

    /// Fails unless the key may read the project: a lookup of an address that nobody has.
    static func checkAccess(_ client: ConsoleClient, project: String, key: String) throws {
        _ = try client.call(
            .profiles("LookupProfiles"),
            [
                ("project", .string(project)), ("phone_number", .string("+10")),
                ("read_mask", .string("profile_id")),
            ], key: key)
    }

    private func text(_ name: String) -> JSONValue? {
        self.request.parameters[name].map { .string($0) }
    }

    func identifier() throws -> JSONValue {
        .object(of: [("profile_id", .string(try self.request.required("profile_id")))])
    }

    // MARK: Queries

    /// The person that an identifier names, or all with an address.
    private func find() throws -> JSONValue {
        let value = JSONValue.string(try self.request.required("value"))
        let mask = ("read_mask", JSONValue?.some(.string(Self.rowMask)))
        switch try self.request.required("kind") {
        case let kind where ["email_address", "phone_number"].contains(kind):
            return try self.call("LookupProfiles", [(kind, value), mask])
        case let kind where ["custom_id", "installation_id", "profile_id"].contains(kind):
            do {
                let found = try self.call(
                    "GetProfile", [("identifier", .object(of: [(kind, value)])), mask])
                return .object(of: [
                    ("profiles", .array([found["profile"] ?? .null])), ("lsn", found["lsn"]),
                    ("redirected_from", found["redirected_from"]),
                ])
            } catch let failure as RPCFailure where failure.reason == "PROFILE_NOT_FOUND" {
                return .object(of: [("profiles", .array([]))])
            }
        default:
            throw ConsoleFailure(
                status: .badRequest,
                message: "kind: expected custom_id, email_address, phone_number, installation_id"
                    + " or profile_id")
        }
    }

    private func events() throws -> JSONValue {
        let names = self.request.parameters["name"].map { [JSONValue.string($0)] } ?? []
        return try self.call(
            "ListEvents",
            [
                ("identifier", try self.identifier()), ("names", .array(names)),
                ("order", .string("NEWEST_FIRST")), ("page_size", .number(Self.eventsPerPage)),
                ("page_token", self.text("page_token")),
            ])
    }

    /// The projects that a key sees: an operator's all (the first page of them), any other its own.
    private func projects() throws -> JSONValue {
        do {
            let listed = try self.client.call(
                .admin("ListProjects"), [("page_size", .number("1000"))], key: self.request.key)
            return .object(of: [
                (
                    "projects",
                    .array((listed["projects"]?.items ?? []).compactMap { $0["project"] })
                )
            ])
        } catch let failure as RPCFailure where failure.code == RPCFailure.permissionDenied {
            return .object(of: [("projects", .array([.string(self.request.project)]))])
        }
    }

    /// The figures of the project, and where the server is. Without the scope ADMIN two counts take
    /// the place of the statistics, when they are asked for: they read every profile.
    private func overview() throws -> JSONValue {
        var statistics: JSONValue?
        var counts: JSONValue?
        do {
            statistics = try self.client.call(
                .admin("GetStats"), [("project", .string(self.request.project))],
                key: self.request.key)
        } catch let failure as RPCFailure where failure.code == RPCFailure.permissionDenied {
            if self.request.parameters["counts"] != nil {
                let all = try self.call("CountProfiles", [])
                let identified = try self.call(
                    "CountProfiles", [("filter", .string("state = IDENTIFIED"))])
                counts = .object(of: [
                    ("profiles", all["count"] ?? .number("0")),
                    ("identified", identified["count"] ?? .number("0")),
                ])
            } else {
                try Self.checkAccess(
                    self.client, project: self.request.project, key: self.request.key ?? "")
            }
        }
        let readiness = self.figures.readiness
        let positions = self.figures.positions
        return .object(of: [
            ("statistics", statistics), ("counts", counts),
            ("ready", .bool(readiness.ok)), ("phase", .string(readiness.text)),
            ("applied_lsn", positions.map { .number("\($0.applied)") }),
            ("feed_lsn", positions.map { .number("\($0.feed)") }),
        ])
    }
}
