import IOCore
import ProfileServer
import Testing

@Suite struct AdminListenerTests {
    private static func get(_ path: String, _ more: String = "") -> String {
        "GET \(path) HTTP/1.1\r\nHost: a\r\n\(more)\r\n"
    }

    private func statusLines(_ socket: FakeSocket) -> [String] {
        socket.text.split(whereSeparator: \.isNewline).map(String.init)
            .filter { $0.hasPrefix("HTTP/1.1 ") }
    }

    @Test func livezResponseHasDateLengthAndBody() throws {
        let bench = try AdminBench()
        let client = bench.connect()
        client.send(Self.get("/livez"))
        bench.settle()
        #expect(
            client.text == "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                + "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n"
                + "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                + "Connection: keep-alive\r\n\r\nalive\n")
        #expect(client.closes == 0)
    }

    @Test(arguments: [
        ("/livez", "200 OK"), ("/readyz", "200 OK"), ("/startupz", "200 OK"),
        ("/metrics", "200 OK"), ("/version", "200 OK"), ("/metrics?a=b", "200 OK"),
        ("/", "404 Not Found"), ("/livez/", "404 Not Found"), ("/%6Civez", "404 Not Found"),
    ])
    func pathDecidesTheStatus(path: String, status: String) throws {
        let bench = try AdminBench()
        let client = bench.connect()
        client.send(Self.get(path))
        bench.settle()
        #expect(self.statusLines(client) == ["HTTP/1.1 \(status)"])
    }

    @Test func headHasTheHeadersOfGetAndNoBody() throws {
        let bench = try AdminBench()
        let client = bench.connect()
        client.send("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        bench.settle()
        #expect(client.text.contains("Content-Length: 5\r\n"))
        #expect(client.text.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
        #expect(client.text.hasSuffix("\r\n\r\n"))
    }

    @Test(arguments: ["POST", "DELETE"])
    func otherMethodIsRejectedWithTheAllowedOnes(method: String) throws {
        let bench = try AdminBench()
        let client = bench.connect()
        client.send("\(method) /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        bench.settle()
        #expect(self.statusLines(client) == ["HTTP/1.1 405 Method Not Allowed"])
        #expect(client.text.contains("\r\nAllow: GET, HEAD\r\n"))
    }

    @Test func replayingServerIsAliveButNeitherReadyNorStarted() throws {
        let phase = ServingPhase.replaying(doneBytes: 25, totalBytes: 100)
        let bench = try AdminBench(pages: FakePages(phase: phase))
        let client = bench.connect()
        client.send(Self.get("/livez") + Self.get("/readyz") + Self.get("/startupz"))
        bench.settle()
        #expect(
            self.statusLines(client) == [
                "HTTP/1.1 200 OK", "HTTP/1.1 503 Service Unavailable",
                "HTTP/1.1 503 Service Unavailable",
            ])
        #expect(client.text.contains("not ready: replaying, 25 of 100 bytes (25 %)\n"))
    }

    @Test func pipelineLargerThanATurnIsServedWithoutStarvingOthers() throws {
        let bench = try AdminBench()
        let busy = bench.connect()
        let other = bench.connect()
        for _ in 0 ..< 100 { busy.send(Self.get("/livez")) }
        other.send(Self.get("/livez"))
        bench.admin.turn()
        #expect(self.statusLines(busy).count == 1)
        #expect(self.statusLines(other).count == 1)
        bench.settle()
        #expect(self.statusLines(busy).count == 100)
        #expect(busy.closes == 0)
    }

    @Test func clientThatNeverReadsHoldsOneResponseAndIsDisconnected() throws {
        let page = String(repeating: "x", count: 100_000)
        let bench = try AdminBench(pages: FakePages(metrics: page))
        let client = bench.connect()
        client.window = 10
        for _ in 0 ..< 1_000 { client.send(Self.get("/metrics")) }
        let sent = client.incoming.count
        bench.settle()
        // The socket was read once: the other requests are still in it.
        #expect(sent - client.incoming.count <= HTTPRequestParser.headBytesMax)
        #expect(client.received.count == 10)
        #expect(bench.secondsToNextDeadline() == 10)
        #expect(client.closes == 1)
    }

    @Test func slowReaderGetsTheWholeResponse() throws {
        let bench = try AdminBench(pages: FakePages(metrics: String(repeating: "x", count: 999)))
        let client = bench.connect()
        client.window = 0
        client.send(Self.get("/metrics", "Connection: close\r\n"))
        while client.closes == 0 {
            bench.settle()
            client.window = 1
        }
        #expect(client.text.hasSuffix("\r\n\r\n" + String(repeating: "x", count: 999)))
    }

    @Test func closeIsHonouredAndLaterRequestsAreNotServed() throws {
        let bench = try AdminBench()
        let client = bench.connect()
        client.send(Self.get("/livez", "Connection: close\r\n") + Self.get("/livez"))
        bench.settle()
        #expect(self.statusLines(client).count == 1)
        #expect(client.text.contains("\r\nConnection: close\r\n"))
        #expect(client.closes == 1)
    }

    @Test func halfClosedClientStillGetsItsResponses() throws {
        let bench = try AdminBench()
        let client = bench.connect()
        client.send(Self.get("/livez") + Self.get("/livez"))
        client.incomingEnded = true
        bench.settle()
        #expect(self.statusLines(client).count == 2)
        #expect(client.closes == 1)
    }

    @Test func rejectedClientMaySeeTheRejectionBeforeTheClose() throws {
        let bench = try AdminBench()
        let client = bench.connect()
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n")
        client.send(String(repeating: "x", count: 9_000))
        bench.settle()
        #expect(self.statusLines(client) == ["HTTP/1.1 413 Content Too Large"])
        #expect(client.closes == 0 && client.incoming.isEmpty)
        #expect(bench.secondsToNextDeadline() == 1)
        #expect(client.closes == 1)
    }

    @Test func lingeringEndsAtItsByteLimit() throws {
        let bench = try AdminBench()
        let client = bench.connect()
        client.send("\n" + String(repeating: "x", count: 1 << 20))
        bench.settle()
        #expect(client.closes == 1)
        #expect(client.incoming.count > 900_000)
    }

    @Test func slowHeadTimesOutTenSecondsAfterItBegan() throws {
        let bench = try AdminBench()
        let client = bench.connect()
        for byte in Self.get("/livez").utf8.prefix(9) {
            client.incoming.append(byte)
            bench.settle()
            bench.clock.advance(seconds: 1)
        }
        client.send("z")
        bench.settle()
        #expect(client.closes == 0, "nine seconds")
        #expect(bench.secondsToNextDeadline() == 1)
        #expect(self.statusLines(client) == ["HTTP/1.1 408 Request Timeout"])
        #expect(client.closes == 1)
    }

    @Test func silentClientIsClosedAfterTenSecondsWithoutAResponse() throws {
        let bench = try AdminBench()
        let client = bench.connect()
        #expect(bench.secondsToNextDeadline() == 10)
        #expect(client.closes == 1 && client.received.isEmpty)
    }

    @Test func idleClientIsClosedSixtySecondsAfterItsResponse() throws {
        let bench = try AdminBench()
        let client = bench.connect()
        bench.clock.advance(seconds: 9)
        client.send(Self.get("/livez"))
        bench.settle()
        bench.clock.advance(seconds: 59)
        client.send(Self.get("/livez"))
        bench.settle()
        #expect(self.statusLines(client).count == 2)
        #expect(bench.secondsToNextDeadline() == 60)
        #expect(client.closes == 1)
    }

    @Test func secondHeadTimesOutTenSecondsAfterItsFirstByte() throws {
        let bench = try AdminBench()
        let client = bench.connect()
        client.send(Self.get("/livez"))
        bench.settle()
        bench.clock.advance(seconds: 59)
        client.send("G")
        bench.settle()
        #expect(bench.secondsToNextDeadline() == 10)
        #expect(self.statusLines(client).last == "HTTP/1.1 408 Request Timeout")
        #expect(client.closes == 1)
    }

    /// As many clients as there are slots, from two addresses that each have their share.
    private func connectAll(_ bench: AdminBench) -> [FakeSocket] {
        (0 ..< AdminListener.connectionsMax).map {
            bench.connect(
                host: $0 < AdminListener.connectionsPerAddressMax ? "10.0.0.1" : "10.0.0.2")
        }
    }

    private func closed(_ clients: [FakeSocket]) -> [Int] {
        clients.indices.filter { clients[$0].closes > 0 }
    }

    @Test func idleConnectionYieldsBeforeUnfinishedOnes() throws {
        let bench = try AdminBench()
        let clients = self.connectAll(bench)
        clients[7].send(Self.get("/livez"))
        bench.settle()
        let probe = bench.enqueue()
        probe.send(Self.get("/livez"))
        bench.settle()
        #expect(self.statusLines(probe).count == 1)
        #expect(self.closed(clients) == [7])
    }

    @Test func oldestUnfinishedHeadYieldsWhenNothingIsIdle() throws {
        let bench = try AdminBench()
        let clients = self.connectAll(bench)
        // Its bytes do not make it younger: a head counts from its accept.
        bench.clock.advance(seconds: 1)
        clients[0].send("GET /livez HTTP/1.1\r\n")
        bench.settle()
        for expected in [[0], [0, 1], [0, 1, 2]] {
            let probe = bench.enqueue(host: "10.0.0.\(expected.count + 2)")
            probe.send(Self.get("/livez", "Connection: close\r\n"))
            bench.settle()
            #expect(self.statusLines(probe).count == 1)
            // The slot of the probe, which is done, is free for the next one.
            _ = bench.connect(host: "10.0.0.9")
            #expect(self.closed(clients) == expected)
        }
    }

    @Test func responseThatIsNotReadYieldsLast() throws {
        let bench = try AdminBench()
        let clients = self.connectAll(bench)
        for client in clients.dropLast() {
            client.window = 1
            client.send(Self.get("/metrics"))
        }
        bench.settle()
        bench.clock.advance(seconds: 1)
        for expected in [
            [AdminListener.connectionsMax - 1], [0, AdminListener.connectionsMax - 1],
        ] {
            let probe = bench.enqueue()
            probe.window = 1
            probe.send(Self.get("/metrics"))
            bench.settle()
            #expect(self.closed(clients) == expected)
            #expect(probe.closes == 0 && probe.received.count == 1)
        }
    }

    /// A host has as many IPv6 addresses as it likes, of the same first 64 bits.
    @Test(arguments: ["10.0.0.1", "[2001:db8:1:2::*]"])
    func addressBeyondItsShareDisplacesItsOwnConnections(host: String) throws {
        let bench = try AdminBench()
        let other = bench.connect(host: "10.0.0.2")
        other.send(Self.get("/livez"))
        bench.settle()
        let clients = (0 ..< 3 * AdminListener.connectionsMax).map {
            bench.connect(host: host.replacing("*", with: String($0, radix: 16)))
        }
        #expect(clients.count { $0.closes == 0 } == AdminListener.connectionsPerAddressMax)
        #expect(
            self.closed(clients)
                == Array(0 ..< clients.count - AdminListener.connectionsPerAddressMax))
        #expect(other.closes == 0)
        other.send(Self.get("/readyz"))
        bench.settle()
        #expect(self.statusLines(other).count == 2)
    }

    @Test func requestThatCameWithItsConnectionHasItsResponseInThatTurn() throws {
        let bench = try AdminBench()
        _ = self.connectAll(bench)
        let probe = bench.enqueue()
        probe.send(Self.get("/livez"))
        let flood = (0 ..< 31).map { _ in bench.enqueue() }
        bench.admin.turn()
        #expect(self.statusLines(probe).count == 1)
        #expect(flood.allSatisfy { $0.closes == 0 })
    }

    @Test func metricsAreRenderedOnceATurn() throws {
        let pages = FakePages()
        let bench = try AdminBench(pages: pages)
        let clients = (0 ..< 20).map { _ in bench.connect() }
        for client in clients { client.send(Self.get("/metrics")) }
        bench.admin.turn()
        #expect(clients.allSatisfy { self.statusLines($0).count == 1 })
        #expect(pages.renderings.load(ordering: .relaxed) == 1)
        clients[0].send(Self.get("/metrics"))
        bench.settle()
        #expect(pages.renderings.load(ordering: .relaxed) == 2)
    }

    @Test func requestWithoutAVersionIsTheLastAndItsResponseSurvivesMoreInput() throws {
        let bench = try AdminBench()
        let client = bench.connect()
        client.send("GET /livez\r\n" + Self.get("/livez"))
        bench.settle()
        #expect(self.statusLines(client) == ["HTTP/1.1 200 OK"])
        client.send("more")
        bench.settle()
        #expect(client.closes == 0 && client.incoming.isEmpty)
        client.incomingEnded = true
        bench.settle()
        #expect(client.closes == 1)
    }

    @Test func withoutDescriptorsAnIdleConnectionYields() throws {
        let bench = try AdminBench()
        let idle = bench.connect()
        bench.listener.isExhausted = true
        _ = bench.enqueue()
        bench.admin.turn()
        #expect(idle.closes == 1)
    }

    @Test func exhaustedAcceptPausesForATenthOfASecond() throws {
        let bench = try AdminBench()
        let client = bench.enqueue()
        bench.listener.isExhausted = true
        bench.settle()
        bench.listener.isExhausted = false
        client.send(Self.get("/livez"))
        bench.admin.turn()
        #expect(bench.poller.waits.last == 100_000_000)
        bench.settle()
        #expect(self.statusLines(client).count == 1)
    }

    @Test func pageOverTheLimitIsAnErrorOfAFewBytes() throws {
        let page = String(repeating: "x", count: AdminResponse.pageBytesMax + 1)
        let bench = try AdminBench(pages: FakePages(metrics: page))
        let client = bench.connect()
        client.send(Self.get("/metrics"))
        bench.settle()
        #expect(self.statusLines(client) == ["HTTP/1.1 500 Internal Server Error"])
        #expect(client.received.count < 1_000)
    }

    @Test func pageThatWaitsForTheLoopsHoldsNoProbeUp() throws {
        let page = PendingContent()
        let bench = try AdminBench(pages: FakePages(debugPage: page))
        let (operatorClient, probe) = (bench.connect(), bench.connect())
        operatorClient.send(Self.get("/debug/streams"))
        bench.settle()
        probe.send(Self.get("/livez"))
        bench.settle()
        #expect(operatorClient.text.isEmpty)
        #expect(self.statusLines(probe) == ["HTTP/1.1 200 OK"])
        page.complete(HTTPContent(status: .ok, type: "application/json", body: Array("{}".utf8)))
        bench.admin.turn()
        #expect(operatorClient.text.hasSuffix("\r\n\r\n{}"))
    }

    @Test func pageThatTooManyWaitForIsUnavailable() throws {
        let bench = try AdminBench(pages: FakePages(debugPage: nil))
        let client = bench.connect()
        client.send(Self.get("/debug/connections"))
        bench.settle()
        #expect(self.statusLines(client) == ["HTTP/1.1 503 Service Unavailable"])
        #expect(client.text.contains("\r\nRetry-After: 1\r\n"))
    }

    @Test func stopClosesConnectionsAndListener() throws {
        let bench = try AdminBench()
        let client = bench.connect()
        bench.admin.stop()
        bench.admin.run()
        #expect(client.closes == 1 && bench.listener.closes == 1)
        #expect(bench.poller.watched.isEmpty)
    }
}
