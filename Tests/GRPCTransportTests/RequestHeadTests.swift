import TestSupport
import Testing

@testable import GRPCTransport

/// What the headers of a request say: of one head, and of the heads of a connection, which follow
/// each other in one place.
@Suite struct RequestHeadTests {
    private static let unary = "/t.T/Unary"

    // MARK: Calls of one connection

    @Test func credentialsOfACallAreNotThoseOfTheNext() throws {
        let harness = try LoopHarness()
        try harness.run([
            { $0.send(Frames.open(1, Self.unary, fields: [("authorization", "Bearer a")])) },
            { $0.send(Frames.open(3, Self.unary)) },
            { $0.send(Frames.open(5, Self.unary, fields: [("x-api-key", "b")])) },
        ])
        let found = harness.handler.credentials.map { String(decoding: $0, as: UTF8.self) }
        #expect(found == ["Bearer a", "", "Bearer b"])
    }

    /// A body may come when the heads of later calls have come.
    @Test func laterHeadsChangeNothingOfAnOpenCall() throws {
        let harness = try LoopHarness()
        var methods: [Int] = []
        harness.handler.onAdmit = { _ in .counted }
        harness.handler.onMessage = { methods.append($0.method) }
        let message = Frames.message([1])
        let compressed = [1] + message.dropFirst()
        try harness.run([
            { $0.send(Frames.open(1, Self.unary)) },
            { $0.send(Frames.open(3, Self.unary, fields: [("grpc-encoding", "gzip")])) },
            { $0.send(Frames.open(5, Self.unary)) },
            { $0.send(Frames.open(7, "/t.T/Client")) },
            { $0.send(Frames.data(3, compressed, end: true)) },
            { $0.send(Frames.data(5, compressed, end: true)) },
            { $0.send(Frames.data(1, message, end: true)) },
            { $0.send(Frames.data(7, message)) },
        ])
        #expect(harness.handler.endedCodes.prefix(2) == [.unimplemented, .internalError])
        #expect(methods == [LoopHarness.unary, LoopHarness.clientStream])
    }

    @Test func credentialsAreOverwrittenWhenTheirConnectionEnds() throws {
        let harness = try LoopHarness()
        try harness.loop.start()
        harness.connect()
        harness.send(Frames.open(1, Self.unary, fields: [("authorization", "Bearer secret")]))
        harness.step()
        let connection = try #require(harness.loop.connections.compactMap { $0 }.first).connection
        let storage = UnsafeRawBufferPointer(
            start: connection.head.authorization.base,
            count: connection.head.authorization.capacity)
        #expect(storage.contains { $0 != 0 })
        harness.clientsClose()
        harness.step()
        #expect(connection.isClosed && storage.allSatisfy { $0 == 0 })
    }

    // MARK: One head

    private func head(_ fields: [(StaticString, StaticString)]) -> RequestHead {
        var head = RequestHead()
        let methods = MethodTable([])
        for (name, value) in fields {
            head.add(
                name: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount),
                value: UnsafeRawBufferPointer(
                    start: value.utf8Start, count: value.utf8CodeUnitCount), methods: methods)
        }
        return head
    }

    private func authorization(_ fields: [(StaticString, StaticString)]) -> String {
        let head = self.head(fields)
        return String(decoding: head.authorization.bytes, as: UTF8.self)
    }

    /// A connection keeps its head for the next call.
    @Test func headKeepsLittleOfLongFields() {
        let methods = MethodTable([])
        let long = [UInt8](repeating: 65, count: 10_000)
        for name in [":authority", "authorization", "x-api-key", "host"] {
            var head = RequestHead()
            for field in [":authority", name] {
                Array(field.utf8).withUnsafeBytes { name in
                    long.withUnsafeBytes { head.add(name: name, value: $0, methods: methods) }
                }
            }
            #expect(head.authorization.capacity <= 2 * TransportLimits.credentialsBytesMax)
            #expect(head.authority.capacity <= 2 * RequestHead.authorityBytesMax)
            let hasCredentials = ["authorization", "x-api-key"].contains(name)
            #expect(
                head.authorization.count
                    == (hasCredentials ? TransportLimits.credentialsBytesMax : 0))
            // What was not kept cannot be compared.
            #expect(head.hasConflictingHost == (name == "host"))
        }
    }

    @Test func bothHeadersBringAKeyAndSeveralBringNone() {
        #expect(self.authorization([("authorization", "Bearer a")]) == "Bearer a")
        #expect(self.authorization([("x-api-key", "a")]) == "Bearer a")
        #expect(self.authorization([("x-api-key", "a"), ("authorization", "Bearer a")]).isEmpty)
        #expect(self.authorization([("authorization", "b"), ("x-api-key", "a")]).isEmpty)
        #expect(self.authorization([("x-api-key", "a"), ("x-api-key", "a")]).isEmpty)
        #expect(
            self.authorization([
                ("x-api-key", "a"), ("x-api-key", "b"), ("authorization", "Bearer a"),
            ]).isEmpty)
    }
}
