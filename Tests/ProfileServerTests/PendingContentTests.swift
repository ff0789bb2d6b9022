import Bytes
import Foundation
import IOCore
import Testing

@testable import ProfileServer

/// Responses that the listener gets from other threads.
@Suite struct PendingContentTests {
    private final class Later: HTTPResponder {
        let pending = PendingContent()
        var readsDetails: Bool { true }

        func forTurn() -> any HTTPResponder { self }

        func respond(to request: HTTPRequest, now: UInt64) -> HTTPReply { .later(self.pending) }
    }

    private let responder = Later()
    private let bench: AdminBench
    private let client: FakeSocket

    init() throws {
        self.bench = try AdminBench(responder: self.responder)
        self.client = self.bench.connect()
        self.client.send("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.bench.settle()
    }

    private static let content = HTTPContent(
        status: .ok, type: "text/plain", fields: "\r\nX-A: b", body: Array("done".utf8))

    @Test func responseIsSentWhenItIsThereAndTheConnectionGoesOn() {
        #expect(self.client.text.isEmpty)
        self.responder.pending.complete(Self.content)
        self.bench.admin.turn()
        #expect(self.client.text.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(self.client.text.contains("\r\nX-A: b\r\n"))
        #expect(self.client.text.hasSuffix("\r\n\r\ndone"))
        #expect(self.client.closes == 0 && !self.responder.pending.isAbandoned)
    }

    @Test func responseThatIsThereBeforeAnyoneWaitsIsSentToo() {
        self.responder.pending.complete(Self.content)
        self.bench.admin.turn()
        #expect(self.client.text.hasSuffix("\r\n\r\ndone"))
        self.responder.pending.complete(Self.content)
        self.client.send("HEAD /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.bench.settle()
        self.bench.admin.turn()
        #expect(self.client.text.components(separatedBy: "HTTP/1.1 200 OK\r\n").count == 3)
        #expect(self.client.text.hasSuffix("\r\nConnection: keep-alive\r\n\r\n"))
    }

    @Test func whoeverWaitsIsToldAtOnceOfAResponseThatIsThere() {
        let pending = PendingContent()
        pending.complete(Self.content)
        let told = Guarded(0)
        pending.notify { told.withLock { $0 += 1 } }
        #expect(told.withLock { $0 } == 1)
    }

    @Test func clientThatLeavesIsSeenByWhoeverMakesTheResponse() {
        self.client.incomingEnded = true
        self.bench.settle()
        #expect(self.client.closes == 1 && self.responder.pending.isAbandoned)
    }

    @Test func moreBytesBehindTheRequestThanAHeadMayHaveEndTheConnection() {
        self.client.send(String(repeating: "x", count: HTTPRequestParser.headBytesMax - 1))
        self.bench.settle()
        #expect(self.client.closes == 0)
        self.client.send("x")
        self.bench.settle()
        #expect(self.client.closes == 1 && self.responder.pending.isAbandoned)
    }

    @Test func waitEndsAfterAMinute() {
        #expect(self.bench.secondsToNextDeadline() == 60)
        self.bench.admin.turn()
        #expect(self.client.closes == 1 && self.responder.pending.isAbandoned)
    }
}
