import ProfileClient

extension Tool {
    /// Erases a person. Nothing takes that back, so it wants to be told twice.
    func erase() throws {
        let who = try self.positional(1, 1)[0]
        guard self.arguments.has("--yes") else {
            throw UsageError(
                "nothing brings an erased person back: `profilectl get \(who)` shows who it is, "
                    + "--yes erases"
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
                ? " (this is the answer of the first call)" : ""
            guard response["existed"]?.isTrue == true else {
                return "nobody is called so, nothing was erased\(isReplayed)\n"
            }
            return
                "erased: \(TerminalText.safe(who)); gone from log and snapshots by "
                + "\(response["log_purge_due"]?.text ?? "then")\(isReplayed)\n"
        }
    }
}
