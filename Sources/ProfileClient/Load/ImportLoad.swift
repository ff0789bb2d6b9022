/// A load of one import: people with three attributes, then events spread over them, as fast as the
/// server takes them. Used by one thread.
package struct ImportLoad {
    package var address: ServerAddress
    package var project = "default"
    package var key: String?
    package var people = 100_000
    package var events = 1_000_000
    /// Operations of a chunk.
    package var chunkOperations = 10_000
    /// Makes the chunk ids of a run its own.
    package var name = "load"

    /// What became of one kind of operation.
    package struct Report {
        package var applied = 0
        package var unchanged = 0
        package var rejected = 0
        package var seconds = 0.0
        package var bytes = 0

        package var operations: Int { self.applied + self.unchanged + self.rejected }
    }

    /// Chunks without a response.
    private static let chunksInFlight = 3
    private static let milliseconds: Int64 = 60_000

    package init(_ address: ServerAddress) {
        self.address = address
    }

    /// Imports people and events, one after the other.
    ///
    /// - Throws: `RPCFailure`.
    package func run() throws(RPCFailure) -> (people: Report, events: Report) {
        let identify = ImportTemplate(
            JSONValue.object(of: [
                (
                    "identify",
                    .object(of: [
                        ("custom_id", .string(LoadPeople.customID(0, of: self.people))),
                        (
                            "attributes",
                            .object(of: [
                                (
                                    "set",
                                    .object(of: [
                                        ("plan", .string("gold")), ("visits", .number("3")),
                                        ("city", .string("Berlin")),
                                    ])
                                )
                            ])
                        ),
                    ])
                )
            ]), people: self.people)
        var track = LoadMethod.track.request(
            project: "", customID: LoadPeople.customID(0, of: self.people))
        if case .object(let members) = track {
            track = .object(members.filter { $0.name != "project" })
        }
        let event = ImportTemplate(.object(of: [("track", track)]), people: self.people)
        return (
            try self.run(identify, count: self.people, "p"),
            try self.run(event, count: self.events, "e")
        )
    }

    private func run(
        _ template: ImportTemplate, count: Int, _ kind: String
    ) throws(RPCFailure) -> Report {
        var report = Report()
        let started = ClientClock.milliseconds()
        var call: StreamingCall?
        var sent = 0
        // Operations of the chunks without a response, the oldest first.
        var inFlight: [Int] = []
        while sent < count || !inFlight.isEmpty {
            if sent < count, inFlight.count < Self.chunksInFlight {
                let message = self.message(template, sent, count, "\(self.name)-\(kind)-\(sent)")
                let operations = min(count - sent, self.chunkOperations)
                inFlight.append(operations)
                sent += operations
                report.bytes += message.count
                if let call {
                    call.send(message)
                } else {
                    call = try StreamingCall(
                        ImportRequest.method, to: self.address, key: self.key, request: message,
                        isLast: false, connectMilliseconds: Self.milliseconds)
                }
                // What can be sent goes out, and a response is taken if it is there.
                guard inFlight.count == Self.chunksInFlight || sent == count else { continue }
            }
            guard let call else { break }
            switch try call.next(within: Self.milliseconds) {
            case .message(let message):
                report.add(try ImportResponse(message, of: inFlight.removeFirst()))
            case .end, .silence, .interruption:
                throw RPCFailure(withoutResponse: RPCFailure.unavailable, "no response")
            }
        }
        call?.finishSending()
        _ = try? call?.next(within: Self.milliseconds)
        report.seconds = Double(ClientClock.milliseconds() - started) / 1_000
        return report
    }

    private func message(
        _ template: ImportTemplate, _ first: Int, _ count: Int, _ chunkID: String
    ) -> [UInt8] {
        let end = min(count, first + self.chunkOperations)
        var message = ImportRequest().message(
            project: self.project, chunkID: chunkID, isDryRun: false)
        message.reserveCapacity(message.count + (end - first) * template.bytes)
        for number in first ..< end {
            template.append(person: LoadPeople.person(number, of: self.people), to: &message)
        }
        return message
    }
}

extension ImportLoad.Report {
    fileprivate mutating func add(_ response: ImportResponse) {
        self.applied += response.applied
        self.unchanged += response.unchanged
        self.rejected += response.rejected
    }
}

/// An operation of a chunk with its tag and length, encoded once; only the digits of the person
/// change.
private struct ImportTemplate {
    private let encoded: [UInt8]
    private let person: DigitsInPlace

    var bytes: Int { self.encoded.count }

    init(_ json: JSONValue, people: Int) {
        guard
            let operation = try? MessageEncoder(now: 0).encode(json, as: ImportRequest.operation)
        else {
            preconditionFailure("the load's operation does not match its message")
        }
        var request = ImportRequest()
        request.append(operation)
        let name = LoadPeople.customID(0, of: people)
        guard let person = DigitsInPlace(of: name, in: request.encodedOperations) else {
            preconditionFailure("the load's operation does not name its person")
        }
        self.encoded = request.encodedOperations
        self.person = person
    }

    func append(person: Int, to message: inout [UInt8]) {
        let start = message.count
        message += self.encoded
        self.person.write(person, into: &message, at: start)
    }
}
