import ProfileClient

extension Tool {
    /// Erases a person. This cannot be undone, so it requires an explicit confirmation.
    func erase() throws {
        let who = try self.positional(1, 1)[0]
        guard self.arguments.has("--yes") else {
            throw UsageError(
                "an erasure cannot be undone: `profilectl get \(who)` shows the person, --yes "
                    + "erases"
            )
        }
        let response = try self.call(
            .profiles("EraseProfile"),
            [
                ("project", .string(self.project)), ("request_id", self.requestID()),
                ("identifier", WhoText.identifier(who)),
                ("expected_revision", try self.expectedRevision()),
            ])
        self.show(response) {
            let isReplayed =
                response["replayed"]?.isTrue == true
                ? " (response of the first call)" : ""
            guard response["existed"]?.isTrue == true else {
                return "no such person, nothing was erased\(isReplayed)\n"
            }
            return
                "erased: \(TerminalText.safe(who)); gone from log and snapshots by "
                + "\(TerminalText.safe(response["log_purge_due"]?.text ?? "then"))\(isReplayed)\n"
        }
    }
}
