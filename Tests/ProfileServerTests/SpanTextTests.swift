import Bytes
import Foundation
import GRPCTransport
import ProfileService
import Testing

@testable import ProfileServer

@Suite struct SpanTextTests {
    private struct Request: Decodable {
        struct Value: Decodable {
            var stringValue: String?
            var intValue: String?
        }
        struct Attribute: Decodable {
            var key: String
            var value: Value
        }
        struct Status: Decodable {
            var code: Int?
            var message: String?
        }
        struct Span: Decodable {
            var traceId: String
            var spanId: String
            var parentSpanId: String?
            var traceState: String?
            var name: String
            var kind: Int
            var startTimeUnixNano: String
            var endTimeUnixNano: String
            var attributes: [Attribute]?
            var status: Status?
        }
        struct Scope: Decodable { var spans: [Span] }
        struct Resource: Decodable { var attributes: [Attribute] }
        struct Resources: Decodable {
            var resource: Resource
            var scopeSpans: [Scope]
        }
        var resourceSpans: [Resources]
    }

    private func encode(_ records: [CallRecord]) throws -> Request {
        var text = ByteBuffer()
        var ids = TraceSampler(seed: 1)
        SpanText(version: "1", instance: "127.0.0.1:1").append(
            records, name: { _ in "shop" }, ids: &ids, to: &text)
        return try JSONDecoder().decode(Request.self, from: Data(text.bytes))
    }

    @Test func callIsAServersSpanBelowItsCallers() throws {
        let request = try self.encode([AccessLogTests.record(trace: AccessLogTests.trace)])
        let resources = try #require(request.resourceSpans.first)
        #expect(
            resources.resource.attributes.map(\.key)
                == ["service.name", "service.version", "service.instance.id"])
        let spans = resources.scopeSpans.flatMap(\.spans)
        let span = try #require(spans.first)
        #expect(spans.count == 1 && span.kind == 2 && span.name == "profiles.v1.Profiles/Track")
        #expect(span.traceId == "00000000000000010000000000000002")
        #expect(span.spanId == "0000000000000003" && span.parentSpanId == "0000000000000004")
        #expect(span.traceState == "a=1" && span.status?.code == nil)
        #expect(span.endTimeUnixNano == "1772323199000001000")
        #expect(span.startTimeUnixNano == "1772323198998766433")
        let values = (span.attributes ?? []).reduce(into: [String: String]()) {
            $0[$1.key] = $1.value.stringValue ?? $1.value.intValue
        }
        #expect(
            values == [
                "rpc.system": "grpc", "rpc.service": "profiles.v1.Profiles", "rpc.method": "Track",
                "rpc.grpc.status_code": "0", "network.peer.address": "127.0.0.1:5",
                "profiles.request_bytes": "70", "profiles.response_bytes": "40",
                "profiles.project": "shop",
            ])
    }

    @Test func writeHasThePhasesOfTheLogBelowItOneAfterTheOther() throws {
        let phases = LogPhases(
            queueNanoseconds: 10, syncNanoseconds: 200, applyNanoseconds: 3_000)
        let spans = try self.encode([
            AccessLogTests.record(phases: phases, trace: AccessLogTests.trace)
        ]).resourceSpans[0].scopeSpans[0].spans
        #expect(spans.dropFirst().map(\.name) == ["log.queue", "log.sync", "log.apply"])
        #expect(spans.dropFirst().allSatisfy { $0.parentSpanId == "0000000000000003" })
        #expect(Set(spans.map(\.spanId)).count == 4)
        for (one, next) in zip(spans.dropFirst(), spans.dropFirst(2)) {
            #expect(one.endTimeUnixNano == next.startTimeUnixNano)
        }
        #expect(spans.last?.endTimeUnixNano == spans.first?.endTimeUnixNano)
    }

    @Test(arguments: RPCStatusCode.allCases)
    func onlyFaultsOfTheServerAreErrors(code: RPCStatusCode) throws {
        var record = AccessLogTests.record(trace: AccessLogTests.trace)
        record.code = code
        let span = try self.encode([record]).resourceSpans[0].scopeSpans[0].spans[0]
        let faults: [RPCStatusCode] = [
            .unknown, .deadlineExceeded, .unimplemented, .internalError, .unavailable, .dataLoss,
        ]
        #expect((span.status?.code == 2) == faults.contains(code))
    }

    @Test func callWithoutATraceHasNoSpan() throws {
        let records = [
            AccessLogTests.record(), AccessLogTests.record(trace: AccessLogTests.trace),
        ]
        #expect(try self.encode(records).resourceSpans[0].scopeSpans[0].spans.count == 1)
    }

    // MARK: Responses

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, 0, true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}", 200, 0, false),
        ("HTTP/1.1 503 no\r\n\r\n", 503, 0, false), ("HTTP/1.1 200 OK\r\n", 200, 0, false),
        ("", 0, 0, false), ("SSH-2.0-x\r\n\r\n", 0, 0, false),
        (
            "HTTP/1.0 202 \r\nContent-Length: 42\r\n\r\n"
                + #"{"partialSuccess":{"rejectedSpans": "17"}}"#, 202, 17, true
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"
                + #"{"partialSuccess":{"rejectedSpans":5}}"#, 200, 5, true
        ),
    ])
    func responseOfACollectorIsRead(text: String, status: Int, rejected: UInt64, isWhole: Bool) {
        let response = CollectorResponse(Array(text.utf8))
        #expect(response.status == status && response.rejectedSpans == rejected)
        #expect(CollectorResponse.isWhole(Array(text.utf8)) == isWhole)
        #expect(
            response.isTemporary == (status == 503) && response.isAccepted == (status / 100 == 2))
    }
}
