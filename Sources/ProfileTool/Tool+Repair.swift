import ProfileClient

/// The commands that repair who is whom.
extension Tool {
    static let mergeHelp = """
        LOSER is merged into SURVIVOR: its devices, attributes, counters, events and consent go
        there, and its ids become aliases. Two profiles with custom IDs need --allow-identified.
        The merge id that is printed undoes it within 30 days: `profilectl unmerge MERGE_ID`.
        """

    static let unmergeHelp = """
        What came since the merge through the ids of either profile goes to that profile;
        everything else is as it was before. An unsubscribe since then holds on both. Possible for
        30 days, and not after an erasure of either.
        """

    func merge() throws {
        let words = try self.positional(2, 2)
        let response = try self.call(
            .profiles("MergeProfiles"),
            [
                ("project", .string(self.project)), ("request_id", self.requestID()),
                ("loser", WhoText.identifier(words[0])),
                ("survivor", WhoText.identifier(words[1])),
                ("allow_identified", self.arguments.has("--allow-identified") ? .bool(true) : nil),
                ("expected_revision", try self.expectedRevision()),
            ])
        self.show(response) {
            let outcome = ProfileView.word(response["outcome"], "OUTCOME_")
            return "\(outcome): \(Self.name(response["profile"]))\(Self.mergeID(response))"
                + "\(Self.replayed(response))\n" + Self.warnings(response)
        }
    }

    /// The id by which the merge that a call made can be undone; empty if it made none.
    static func mergeID(_ response: JSONValue) -> String {
        guard let merge = response["merge_id"]?.text, !merge.isEmpty else { return "" }
        return ", merge \(TerminalText.safe(merge))"
    }

    func unmerge() throws {
        let merge = try self.positional(1, 1)[0]
        let response = try self.call(
            .profiles("UnmergeProfile"),
            [
                ("project", .string(self.project)), ("request_id", self.requestID()),
                ("merge_id", .string(merge)),
            ])
        self.show(response) {
            "restored: \(Self.name(response["restored"]))\n"
                + "left: \(Self.name(response["profile"]))\(Self.replayed(response))\n"
                + Self.warnings(response)
        }
    }

    func detach() throws {
        let device = try self.positional(1, 1)[0]
        let response = try self.call(
            .profiles("DetachInstallation"),
            [
                ("project", .string(self.project)), ("request_id", self.requestID()),
                (
                    "installation_id",
                    .string(device.hasPrefix("device:") ? String(device.dropFirst(7)) : device)
                ),
            ])
        self.show(response) {
            let profile = response["profile_id"]?.text ?? ""
            let former = response["former_profile_id"]?.text ?? ""
            let what =
                profile == former
                ? "alone already: profile \(TerminalText.safe(profile))"
                : "detached: profile \(TerminalText.safe(profile)), before on "
                    + TerminalText.safe(former)
            return "\(what), revision \(response["revision"]?.description ?? "0")"
                + "\(Self.replayed(response))\n"
        }
    }

    /// Who a profile is, in one line.
    private static func name(_ profile: JSONValue?) -> String {
        let profile = profile ?? .null
        return "\(TerminalText.safe(profile["custom_id"]?.text ?? "anonymous")), profile "
            + "\(TerminalText.safe(profile["profile_id"]?.text ?? "")), revision "
            + (profile["revision"]?.description ?? "0")
    }
}
