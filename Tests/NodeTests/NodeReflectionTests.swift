import ProfileClient
import TestSupport
import Testing

/// Server reflection through the wire. Its messages are no part of the client's schemas, so they
/// are written and searched as bytes.
@Suite struct NodeReflectionTests {
    private static func field(_ number: UInt8, _ text: String) -> [UInt8] {
        [number << 3 | 2, UInt8(text.utf8.count)] + Array(text.utf8)
    }

    private static func contains(_ message: [UInt8], _ text: String) -> Bool {
        let wanted = Array(text.utf8)
        return message.indices.contains { message[$0...].starts(with: wanted) }
    }

    @Test(arguments: ["v1", "v1alpha"])
    func requestsOfAStreamAreRespondedToInOrder(version: String) throws {
        let harness = try NodeHarness.serving()
        let client = try harness.connect()
        let call = try client.open(
            .healthCheck, path: "/grpc.reflection.\(version).ServerReflection/ServerReflectionInfo")
        // list_services, file_containing_symbol, and a symbol that nothing contains.
        client.send(bytes: Self.field(7, "*"), on: call)
        client.send(bytes: Self.field(4, "profiles.v1.Profiles"), on: call)
        client.send(bytes: Self.field(4, "no.such.Symbol"), on: call)
        client.finishRequests(of: call)
        try harness.wait(for: "the stream's end") { call.hasEnded }
        #expect(call.status == 0, "\(call.message)")
        try #require(call.messages.count == 3)
        for service in ["profiles.v1.Profiles", "profiles.v1.Admin", "grpc.health.v1.Health"] {
            #expect(Self.contains(call.messages[0], service))
        }
        #expect(Self.contains(call.messages[1], "TrackRequest"))
        #expect(!Self.contains(call.messages[2], "TrackRequest"))
        #expect(call.messages[2].contains(7 << 3 | 2), "an error inside of the response")
    }

    @Test func reflectionThatIsSwitchedOffIsUnimplemented() throws {
        let harness = try NodeHarness.serving(configure: { $0.hasReflection = false })
        let call = try harness.call(
            .healthCheck, "{}",
            path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        #expect(call.status == RPCFailure.unimplemented)
    }
}
