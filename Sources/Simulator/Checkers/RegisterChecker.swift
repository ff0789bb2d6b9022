import ProfileClient

/// Reads of a person are linearizable: a value that was acknowledged, or that one read has seen, is
/// what later reads see until it is overwritten, through every crash. So no read is ahead of what
/// is durable. Two values that are written together are seen together, and of several writes that
/// expect the same revision one succeeds at most.
package final class RegisterChecker: Checker {
    package let name = "register"

    private struct Write {
        var begin: Int
        var end: Int?
        var isRejected = false
    }

    private struct Read {
        var value: Int
        var begin: Int
        var end: Int
        var operation: Int
    }

    /// By person, then by value.
    private var writes: [PersonKey: [Int: Write]] = [:]
    private var reads: [PersonKey: [Read]] = [:]
    /// Revisions that a successful write has expected.
    private var expected: [PersonKey: Set<UInt64>] = [:]

    package init() {}

    package func observe(_ event: HistoryEvent) throws(Violation) {
        switch event.operation.purpose {
        case .write(let units), .writeEach(let units):
            for unit in units where unit.value != 0 { self.note(event, unit) }
            try self.noteExpectedRevision(event, units)
        case .read(let people):
            switch event.kind {
            case .responded(let response, _):
                for (person, profile) in ReadResponse.profiles(response, of: people) {
                    try self.see(profile, of: person, event)
                }
            case .ended(.rejected(5, _)):
                for person in people { try self.see(nil, of: person, event) }
            default: break
            }
        default: break
        }
    }

    private func note(_ event: HistoryEvent, _ unit: WriteUnit) {
        switch event.kind {
        case .invoked:
            self.writes[unit.person, default: [:]][unit.value] = Write(begin: event.time)
        case .ended(.ok): self.writes[unit.person]?[unit.value]?.end = event.time
        case .ended(.rejected): self.writes[unit.person]?[unit.value]?.isRejected = true
        default: break
        }
    }

    private func noteExpectedRevision(
        _ event: HistoryEvent, _ units: [WriteUnit]
    ) throws(Violation) {
        guard case .ended(.ok) = event.kind, let person = units.first?.person,
            let revision = event.operation.request["expected_revision"]
        else { return }
        guard self.expected[person, default: []].insert(revision.count).inserted else {
            throw Violation(
                self.name, "two writes of \(person) were the first to follow revision \(revision)")
        }
    }

    private func see(
        _ profile: JSONValue?, of person: PersonKey, _ event: HistoryEvent
    ) throws(Violation) {
        func number(_ name: String) -> Int {
            Int(profile?["attributes"]?[name]?["integer"].count ?? 0)
        }
        let value = number("n")
        guard value == number("twin") else {
            throw Violation(
                self.name, "\(person) has n = \(value) and twin = \(number("twin")) at once")
        }
        self.reads[person, default: []].append(
            Read(
                value: value, begin: event.operation.invokedAt, end: event.time,
                operation: event.operation.number))
    }

    // MARK: The end

    package func finish(_ world: World) throws(Violation) { try self.finish() }

    package func finish() throws(Violation) {
        for (person, reads) in self.reads.sorted(by: { $0.key < $1.key }) {
            var history = RegisterHistory(initial: 0)
            for (value, write) in self.writes[person] ?? [:] where !write.isRejected {
                history.write(value, begin: write.begin, end: write.end)
            }
            for read in reads {
                guard history.read(read.value, begin: read.begin, end: read.end) else {
                    throw Violation(
                        self.name,
                        "read \(read.operation) of \(person) saw \(read.value), which "
                            + "nobody had written")
                }
            }
            if let (first, second) = history.conflict() {
                throw Violation(
                    self.name,
                    "no order of reads and writes of \(person) explains the values "
                        + "\(first) and \(second): \(self.text(person, [first, second]))")
            }
        }
    }

    /// The operations of some values, in order of their begins.
    private func text(_ person: PersonKey, _ values: [Int]) -> String {
        var parts: [(Int, String)] = []
        for value in values {
            if let write = self.writes[person]?[value] {
                let end = write.end.map(String.init) ?? "?"
                parts.append((write.begin, "write \(value) [\(write.begin), \(end)]"))
            }
            for read in self.reads[person] ?? [] where read.value == value {
                parts.append((read.begin, "read \(value) [\(read.begin), \(read.end)]"))
            }
        }
        return parts.sorted { $0.0 < $1.0 }.map(\.1).joined(separator: ", ")
    }
}
