import IOSimulation
import ProfileClient
import ProfileService
import Profiles
import TestSupport
import Testing

/// Keys through the wire: made, used, listed, revoked.
@Suite struct NodeKeyTests {
    private static let operatorName = "operator00000000"
    /// The secret is 32 zero bytes.
    private static let operatorKey =
        "pk_\(operatorName)_" + String(repeating: "A", count: KeySecret.textBytes)

    private static func access() -> AccessControl {
        let name = Array(self.operatorName.utf8).withUnsafeBytes { KeyName(text: $0) }!
        let secret = [UInt8](repeating: 0, count: KeySecret.bytes)
        return AccessControl(operatorKeys: [
            OperatorKey(
                name: name, hash: secret.withUnsafeBytes { OperatorKey.hash(ofSecret: $0) })
        ])
    }

    private static func serving(
        _ disk: SimulatedDisk = SimulatedDisk(), clock: SimulatedClock = SimulatedClock()
    ) throws -> NodeHarness {
        try NodeHarness.serving(disk, clock: clock, access: self.access())
    }

    /// Makes a key of the project `default`.
    private static func create(
        _ harness: NodeHarness, _ scopes: String = #""SCOPE_READ""#, more: String = "",
        by key: String = NodeKeyTests.operatorKey
    ) throws -> WireCall {
        try harness.call(
            .admin("CreateKey"), #"{"project":"default","scopes":[\#(scopes)]\#(more)}"#, key: key)
    }

    private static func list(_ harness: NodeHarness, _ project: String = "default") throws
        -> [JSONValue]
    {
        let call = try harness.call(
            .admin("ListKeys"), #"{"project":"\#(project)"}"#, key: self.operatorKey)
        return try #require(call.response)["keys"]?.items ?? []
    }

    private static func key(_ call: WireCall) throws -> (id: String, text: String) {
        let response = try #require(call.response, "\(call.message)")
        return (response["key_id"]?.text ?? "", response["key"]?.text ?? "")
    }

    @Test func newKeyAllowsItsScopesInItsProjectUntilItIsRevoked() throws {
        let harness = try Self.serving()
        let key = try Self.key(
            try Self.create(
                harness, #""SCOPE_READ","SCOPE_WRITE""#,
                more: #","display_name":"Shop","updates_per_second_max":50"#))
        #expect(key.text.hasPrefix("pk_\(key.id)_") && key.text.utf8.count == KeyText.bytes)
        #expect(
            try harness.call("Track", Requests.track("anna", ["e1"]), key: key.text).status == 0)
        let listed = try Self.list(harness)
        #expect(listed.map { $0["key_id"]?.text } == [key.id])
        #expect(listed[0]["scopes"]?.items.map(\.text) == ["SCOPE_READ", "SCOPE_WRITE"])
        #expect(listed[0]["display_name"]?.text == "Shop" && listed[0]["revoked"] == nil)
        #expect(listed[0]["updates_per_second_max"]?.integer == 50)
        #expect(listed[0]["last_used_at"] != nil && listed[0]["created_at"] != nil)
        let revoke = #"{"project":"default","key_id":"\#(key.id)"}"#
        for _ in 0 ..< 2 {
            #expect(
                try harness.call(.admin("RevokeKey"), revoke, key: Self.operatorKey).status == 0)
        }
        let rejected = try harness.call("GetProfile", Requests.person("anna"), key: key.text)
        #expect(rejected.status == 16 && rejected.reason == "KEY_INVALID")
        #expect(try Self.list(harness)[0]["revoked"]?.isTrue == true)
    }

    /// A connection that has been calling with the key gets no further call through.
    @Test func revocationHoldsOnAnOpenConnection() throws {
        let harness = try Self.serving()
        let key = try Self.key(try Self.create(harness))
        let client = try harness.connect(key: key.text)
        let request = try Requests.json(Requests.person("anna"))
        let first = try client.call(.profiles("GetProfile"), request)
        try harness.wait(for: "the read") { first.hasEnded }
        #expect(first.reason == "PROFILE_NOT_FOUND")
        let revoke = #"{"project":"default","key_id":"\#(key.id)"}"#
        #expect(try harness.call(.admin("RevokeKey"), revoke, key: Self.operatorKey).status == 0)
        let second = try client.call(.profiles("GetProfile"), request)
        try harness.wait(for: "the rejection") { second.hasEnded }
        #expect(second.status == 16)
    }

    /// Calls begun in advance would make new keys behind the revocation.
    @Test func revocationHoldsForACallWhoseBodyHasNotCome() throws {
        let harness = try Self.serving()
        let key = try Self.key(try Self.create(harness, #""SCOPE_ADMIN""#))
        let other = try Self.key(try Self.create(harness, #""SCOPE_ADMIN""#))
        let clients = try [key, other].map { try harness.connect(key: $0.text) }
        let calls = try clients.map { try $0.open(.admin("CreateKey")) }
        try harness.settle()
        let revoke = #"{"project":"default","key_id":"\#(key.id)"}"#
        #expect(try harness.call(.admin("RevokeKey"), revoke, key: Self.operatorKey).status == 0)
        let request = try Requests.json(#"{"project":"default","scopes":["SCOPE_ADMIN"]}"#)
        for (client, call) in zip(clients, calls) {
            try client.send(request, on: call)
            client.finishRequests(of: call)
            try harness.wait(for: "the call") { call.hasEnded }
        }
        #expect(calls.map(\.status) == [16, 0])
        #expect(try Self.list(harness).count == 3)
    }

    @Test func keysSurviveAKillWithTheirRevocation() throws {
        let clock = SimulatedClock()
        let harness = try Self.serving(clock: clock)
        let kept = try Self.key(try Self.create(harness))
        let revoked = try Self.key(try Self.create(harness))
        _ = try harness.call(
            .admin("RevokeKey"), #"{"project":"default","key_id":"\#(revoked.id)"}"#,
            key: Self.operatorKey)
        let again = try Self.serving(harness.kill(), clock: clock)
        let request = Requests.person("anna")
        #expect(try again.call("GetProfile", request, key: kept.text).reason == "PROFILE_NOT_FOUND")
        #expect(try again.call("GetProfile", request, key: revoked.text).status == 16)
        #expect(try Self.list(again).map { $0["last_used_at"] == nil } == [false, true])
    }

    @Test func retryNamesTheKeyWithoutItsSecret() throws {
        let harness = try Self.serving()
        let more = #","request_id":"r1""#
        let first = try Self.key(try Self.create(harness, more: more))
        let second = try Self.key(try Self.create(harness, more: more))
        #expect(second.id == first.id && second.text.isEmpty && !first.text.isEmpty)
        #expect(try Self.list(harness).count == 1)
        let other = try Self.create(harness, #""SCOPE_WRITE""#, more: more)
        #expect(other.status == 6 && other.reason == "REQUEST_ID_REUSED")
    }

    /// Two keys in one batch: each call gets the secret of its own key.
    @Test func keysMadeAtOnceGetTheirOwnSecrets() throws {
        let harness = try Self.serving()
        let clients = try (0 ..< 20).map { _ in try harness.connect(key: Self.operatorKey) }
        let request = try Requests.json(#"{"project":"default","scopes":["SCOPE_READ"]}"#)
        let calls = try clients.map { try $0.call(.admin("CreateKey"), request) }
        try harness.wait(for: "the keys") { calls.allSatisfy(\.hasEnded) }
        let keys = try calls.map(Self.key)
        #expect(Set(keys.map(\.text)).count == 20)
        for key in keys {
            #expect(key.text.hasPrefix("pk_\(key.id)_"))
            let read = try harness.call("GetProfile", Requests.person("anna"), key: key.text)
            #expect(read.reason == "PROFILE_NOT_FOUND")
        }
    }

    /// More than one batch can have, each in a tick of its own.
    @Test func rejectedCallsLeaveNoSecretBehind() throws {
        let harness = try Self.serving()
        let admin = try Self.key(
            try Self.create(
                harness, #""SCOPE_ADMIN","SCOPE_READ""#, more: #","updates_per_second_max":1"#))
        #expect(try Self.create(harness, by: admin.text).status == 0)
        for _ in 0 ..< 70 {
            let rejected = try Self.create(harness, by: admin.text)
            #expect(rejected.failure.metadata["limit"] == "updates_per_second_max")
        }
        #expect(try Self.create(harness).status == 0)
    }

    @Test func keyGivesNoScopeThatItLacks() throws {
        let harness = try Self.serving()
        let admin = try Self.key(
            try Self.create(harness, #""SCOPE_ADMIN","SCOPE_READ""#))
        #expect(try Self.create(harness, #""SCOPE_READ""#, by: admin.text).status == 0)
        for scopes in [#""SCOPE_WRITE""#, #""SCOPE_READ","SCOPE_ERASE""#] {
            let call = try Self.create(harness, scopes, by: admin.text)
            #expect(call.status == 7 && call.reason == "SCOPE_MISSING")
        }
        let asOperator = try Self.create(harness, "", more: #","operator":true"#, by: admin.text)
        #expect(asOperator.status == 7 && asOperator.reason == "SCOPE_MISSING")
        // Without ADMIN, nothing of keys; the key's own project or no project make no difference.
        let reader = try Self.key(try Self.create(harness))
        for request in [#"{"project":"default"}"#, #"{"project":""}"#, #"{"project":"other"}"#] {
            let call = try harness.call(.admin("ListKeys"), request, key: reader.text)
            #expect(call.status == 7 && call.reason == "SCOPE_MISSING")
        }
        let ofOperators = try harness.call(.admin("ListKeys"), #"{"project":""}"#, key: admin.text)
        #expect(ofOperators.status == 7 && ofOperators.reason == "SCOPE_MISSING")
    }

    @Test func operatorsKeyBelongsToNoProjectAndMayDoEverything() throws {
        let harness = try Self.serving()
        let made = try harness.call(
            .admin("CreateKey"), #"{"operator":true,"display_name":"deputy"}"#,
            key: Self.operatorKey)
        let deputy = try Self.key(made)
        #expect(try harness.call(.admin("ListProjects"), "{}", key: deputy.text).status == 0)
        #expect(
            try harness.call("Track", Requests.track("anna", ["e1"]), key: deputy.text).status == 0)
        let listed = try Self.list(harness, "")
        #expect(listed.map { $0["key_id"]?.text } == [deputy.id])
        #expect(listed[0]["operator"]?.isTrue == true && listed[0]["scopes"]?.items.count == 5)
        #expect(try Self.list(harness).isEmpty)
        // It is no key of the project.
        let revoke = { (project: String) in
            try harness.call(
                .admin("RevokeKey"), #"{"project":"\#(project)","key_id":"\#(deputy.id)"}"#,
                key: Self.operatorKey)
        }
        #expect(try revoke("default").reason == "KEY_NOT_FOUND")
        #expect(try revoke("").status == 0)
        #expect(try harness.call(.admin("ListProjects"), "{}", key: deputy.text).status == 16)
        let named = try Self.create(harness, "", more: #","operator":true"#)
        #expect(named.status == 3 && named.failure.violations.map(\.field) == ["project"])
    }

    @Test(arguments: [
        (#"{"project":"default"}"#, "scopes"),
        (#"{"project":"default","scopes":[0]}"#, "scopes[0]"),
        (#"{"project":"default","scopes":[1,9]}"#, "scopes[1]"),
        (#"{"scopes":["SCOPE_READ"]}"#, "project"),
        (
            #"{"project":"default","scopes":["SCOPE_READ"],"expires_at":"2001-01-01T00:00:00Z"}"#,
            "expires_at"
        ),
        (#"{"project":"default","scopes":["SCOPE_READ"],"display_name":" "}"#, "display_name"),
        (#"{"project":"default","scopes":["SCOPE_READ"],"display_name":"a\nb"}"#, "display_name"),
    ])
    func invalidFieldIsNamed(request: String, field: String) throws {
        let harness = try Self.serving()
        let call = try harness.call(.admin("CreateKey"), request, key: Self.operatorKey)
        #expect(call.status == 3 && call.failure.violations.map(\.field) == [field])
        #expect(try Self.list(harness).isEmpty)
    }

    @Test func keyExpiresByTheClock() throws {
        let harness = try Self.serving()
        let expiry = TimeText.text(
            microseconds: harness.clock.wallMicroseconds() + 30_000_000)
        let key = try Self.key(try Self.create(harness, more: #","expires_at":"\#(expiry)""#))
        let request = Requests.person("anna")
        #expect(
            try harness.call("GetProfile", request, key: key.text).reason == "PROFILE_NOT_FOUND")
        try harness.pass(milliseconds: 30_000)
        #expect(try harness.call("GetProfile", request, key: key.text).status == 16)
        #expect(try Self.list(harness).first?["expires_at"]?.text == expiry)
    }

    @Test func hundredAndFirstLiveKeyIsOneTooMany() throws {
        let harness = try Self.serving()
        for _ in 0 ..< KeyStore.liveKeysMax {
            #expect(try Self.create(harness).status == 0)
        }
        let over = try Self.create(harness)
        #expect(over.status == 8 && over.reason == "LIMIT_EXCEEDED")
        #expect(over.failure.metadata == ["limit": "keys_per_project_max", "maximum": "100"])
        let project = try harness.call(
            .admin("GetProject"), #"{"project":"default"}"#, key: Self.operatorKey)
        let limits = "\(project.response?["limits"] ?? .null)"
        #expect(limits.contains(#""keys_per_project_max":100,"#))
    }

    @Test(arguments: ["nobody0000000000", "x", "pk_nobody0000000000_", "UPPER00000000000"])
    func unknownKeyIsNotFound(id: String) throws {
        let harness = try Self.serving()
        let call = try harness.call(
            .admin("RevokeKey"), #"{"project":"default","key_id":"\#(id)"}"#,
            key: Self.operatorKey)
        #expect(call.status == 5 && call.reason == "KEY_NOT_FOUND")
    }

    /// Nothing looks protected that is not.
    @Test func openServerMakesNoKeys() throws {
        let harness = try NodeHarness.serving()
        let call = try harness.call(
            .admin("CreateKey"), #"{"project":"default","scopes":["SCOPE_READ"]}"#)
        #expect(call.status == 9 && call.reason == "KEYS_DISABLED")
        #expect(call.message.contains("--operator-key-file"))
        let list = try harness.call(.admin("ListKeys"), #"{"project":"default"}"#)
        #expect(list.status == 0 && list.response?["keys"] == nil)
    }

    /// What was shown once is nowhere on the disk: not the text, not the secret.
    @Test func secretsAreNotOnTheDisk() throws {
        let harness = try Self.serving()
        let keys = try (0 ..< 5).map { _ in try Self.key(try Self.create(harness)) }
        _ = try harness.call(.admin("CreateSnapshot"), "{}", key: Self.operatorKey)
        let disk = harness.kill()
        for key in keys {
            var secret = [UInt8](repeating: 0, count: KeySecret.bytes)
            let name = Array(key.text.utf8).withUnsafeBytes { text in
                secret.withUnsafeMutableBytes { KeyText.read(text, secret: $0) }
            }
            #expect(name?.description == key.id)
            let text = Array(key.text.utf8.suffix(KeySecret.textBytes))
            for (_, bytes) in disk.snapshot.files {
                #expect(!Self.contains(bytes, secret) && !Self.contains(bytes, text))
            }
        }
    }

    private static func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
        guard bytes.count >= part.count else { return false }
        return (0 ... bytes.count - part.count).contains {
            bytes[$0] == part[0] && bytes[$0 ..< $0 + part.count].elementsEqual(part)
        }
    }
}
