import Glibc
import ProfileClient

/// The commands that make a running server take a snapshot or a backup.
extension Tool {
    func snapshot() throws {
        _ = try self.positional(0, 0)
        let response = try self.call(.admin("CreateSnapshot"), [])
        self.show(response) {
            "snapshot of lsn \(response["lsn"]?.description ?? "0"): "
                + "\(response["bytes"]?.description ?? "0") bytes, verified\n"
        }
    }

    func backup() throws {
        let destination = Self.absolute(try self.positional(1, 1)[0])
        let method = RPCMethod.admin("Backup")
        let request = try MessageEncoder(now: self.now).encode(
            .object(of: [("destination", .string(destination))]), as: method.request)
        var last = JSONValue.null
        try self.client.stream(method, request) { progress in
            last = progress
            if self.wantsJSON { return self.terminal.say("\(progress)\n") }
            self.terminal.progress(Self.progressText(progress))
        }
        self.terminal.progress("")
        guard !self.wantsJSON else { return }
        let (lsn, bytes) = (
            last["lsn"]?.description ?? "0", last["bytes_total"]?.description ?? "0"
        )
        self.terminal.say(
            "backup of lsn \(lsn) in \(TerminalText.safe(destination)): \(bytes) bytes, verified\n")
    }

    private static func progressText(_ progress: JSONValue) -> String {
        let (done, total) = (
            progress["bytes_done"]?.integer ?? 0, progress["bytes_total"]?.integer ?? 0
        )
        return
            "\(progress["file"]?.text ?? ""): \(done) of \(total) bytes, "
            + "\(self.percent(done, of: total)) %"
    }

    /// From 0 to 100, whatever a server sends.
    static func percent(_ done: Int64, of total: Int64) -> Int {
        guard total > 0 else { return 100 }
        return Int((100 * min(1, max(0, Double(done) / Double(total)))).rounded(.down))
    }

    /// The server has another working directory and accepts absolute paths only.
    private static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let here = getcwd(nil, 0) else { return path }
        defer { free(here) }
        return "\(String(cString: here))/\(path)"
    }
}
