import Foundation
import ProfileClient
import Testing

/// The key that clients send, from files and variables.
@Suite struct ClientKeyTests {
    /// Calls `body` with the path of a file of this content and mode.
    private static func withFile<Result>(
        _ content: String, mode: Int = 0o600, _ body: (String) throws -> Result
    ) throws -> Result {
        let path = NSTemporaryDirectory() + "client-key-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        _ = FileManager.default.createFile(
            atPath: path, contents: Data(content.utf8), attributes: [.posixPermissions: mode])
        return try body(path)
    }

    private static func find(_ file: String?, _ environment: [String: String] = [:])
        -> Result<String?, ClientKey.Invalid>
    {
        do throws(ClientKey.Invalid) {
            return .success(try ClientKey.find(file: file, environment: environment))
        } catch {
            return .failure(error)
        }
    }

    @Test(arguments: [
        "pk_a_b\n", "pk_a_b", "  pk_a_b\t\r\nmore\n", "pk_a_b\n\n", "\npk_a_b\n",
        "# ours\n \r\n  # second\n\tpk_a_b\r\npk_c_d\n", "\u{FEFF}pk_a_b\n",
        "\u{FEFF}# ours\r\npk_a_b", "#" + String(repeating: "x", count: 60_000) + "\npk_a_b\n",
    ])
    func firstKeyOfAFileIsTheKey(content: String) throws {
        try Self.withFile(content) { path in #expect(Self.find(path) == .success("pk_a_b")) }
    }

    @Test(arguments: [
        ("", "no key in it"), ("\n", "no key in it"), (" \n# pk_a_b\n", "no key in it"),
        ("two words\n", "line 1 is no key"), ("umlaut ü\n", "line 1 is no key"),
        ("\n# ours\na\u{1}b\npk_a_b\n", "line 3 is no key"),
        ("pk_a_b\n" + String(repeating: "\n", count: 65_530), "more than 65536 bytes"),
    ])
    func otherContentIsRejectedWithoutBeingQuoted(content: String, reason: String) throws {
        try Self.withFile(content) { path in
            #expect(Self.find(path) == .failure(.init(reason: "\(path): \(reason)")))
        }
        let long = String(repeating: "x", count: 300)
        try Self.withFile(long) { path in
            guard case .success = Self.find(path) else { return }
            Issue.record("a key of 300 bytes")
        }
    }

    @Test(arguments: [(0o600, true), (0o400, true), (0o640, true), (0o644, false), (0o602, false)])
    func fileThatEverybodyMayReadIsRejected(mode: Int, isTaken: Bool) throws {
        try Self.withFile("pk_a_b\n", mode: mode) { path in
            guard case .failure(let error) = Self.find(path) else { return #expect(isTaken) }
            #expect(!isTaken && error.reason.contains("chmod 600"))
        }
    }

    @Test func flagComesBeforeTheVariablesAndAFileBeforeTheKeyItself() throws {
        #expect(Self.find(nil) == .success(nil))
        #expect(Self.find(nil, ["PROFILES_KEY": "pk_c_d"]) == .success("pk_c_d"))
        #expect(Self.find(nil, ["PROFILES_KEY": "", "PROFILES_KEY_FILE": ""]) == .success(nil))
        try Self.withFile("pk_a_b\n") { path in
            let environment = ["PROFILES_KEY": "pk_c_d", "PROFILES_KEY_FILE": path]
            #expect(Self.find(nil, environment) == .success("pk_a_b"))
            #expect(Self.find("/nowhere", environment) != .success("pk_a_b"))
            #expect(Self.find(path, ["PROFILES_KEY_FILE": "/nowhere"]) == .success("pk_a_b"))
        }
        // As of a script whose variable is not set: no other key shall be sent instead.
        #expect(
            Self.find("", ["PROFILES_KEY": "pk_c_d"])
                == .failure(.init(reason: "--key-file: the path is empty")))
        guard case .failure(let error) = Self.find(nil, ["PROFILES_KEY": "a b"]) else {
            Issue.record("a key with a blank")
            return
        }
        #expect(error.reason == "PROFILES_KEY: not a key")
    }
}
