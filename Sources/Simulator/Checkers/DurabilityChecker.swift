import ProfileClient

/// Every acknowledged write is there, whole and once, from its response on; of what was not
/// acknowledged nothing is there in part, and what one reader has seen every later one sees.
///
/// It looks at the events of people with one writer, whose ids are unique in their project.
package final class DurabilityChecker: Checker {
    package let name = "durability"

    /// Events that are stored together or not at all.
    private final class Unit {
        let events: [String]
        let invokedAt: Int
        var acknowledgedAt = Int.max
        var seenAt = Int.max
        var isRejected = false

        init(_ events: [String], invokedAt: Int) {
            self.events = events
            self.invokedAt = invokedAt
        }

        /// Whether a read that begins at a time must show it.
        func isDue(at time: Int) -> Bool { self.acknowledgedAt < time || self.seenAt < time }
    }

    /// Of each person, in the order of their first attempts.
    private var units: [PersonKey: [Unit]] = [:]
    /// By project and event id.
    private var unitOf: [PersonKey: Unit] = [:]
    private var ofOperation: [Int: [Unit]] = [:]
    /// Events of streams that are coming, by operation.
    private var coming: [Int: [String]] = [:]
    private var peopleComing: [Int: [String]] = [:]

    package init() {}

    package func observe(_ event: HistoryEvent) throws(Violation) {
        let operation = event.operation
        switch operation.purpose {
        case .write(let units), .writeEach(let units): self.note(event, units)
        case .readEvents(let person): try self.look(event, at: person)
        case .read(let people):
            if case .responded(let response, _) = event.kind {
                try self.lookAtCounters(response, of: people, event)
            }
        case .exportAll: try self.lookAtExport(event)
        default: break
        }
    }

    // MARK: Writes

    private func note(_ event: HistoryEvent, _ units: [WriteUnit]) {
        let operation = event.operation
        switch event.kind {
        case .invoked:
            for unit in units where !unit.events.isEmpty {
                let known = Unit(unit.events, invokedAt: event.time)
                self.units[unit.person, default: []].append(known)
                self.ofOperation[operation.number, default: []].append(known)
                for id in unit.events {
                    self.unitOf[PersonKey(unit.person.project, id)] = known
                }
            }
        case .ended(let outcome):
            for unit in self.ofOperation.removeValue(forKey: operation.number) ?? [] {
                switch outcome {
                case .ok: unit.acknowledgedAt = event.time
                case .rejected: unit.isRejected = true
                case .unknown: break
                }
            }
        case .responded, .lost: break
        }
    }

    // MARK: Reads of events

    private func look(_ event: HistoryEvent, at person: PersonKey) throws(Violation) {
        let operation = event.operation
        switch event.kind {
        case .responded(let response, _):
            if operation.method == "ExportProfile" {
                guard let id = response["event"]?["event_id"]?.text else { return }
                self.coming[operation.number, default: []].append(id)
            } else if response["next_page_token"] == nil {
                let events = response["events"]?.items ?? []
                try self.compare(
                    events.compactMap { $0["event_id"]?.text }, of: person, operation, event.time)
            }
        case .ended(let outcome):
            let events = self.coming.removeValue(forKey: operation.number) ?? []
            switch outcome {
            case .ok where operation.method == "ExportProfile":
                try self.compare(events, of: person, operation, event.time)
            case .rejected(5, _): try self.compare([], of: person, operation, event.time)
            default: break
            }
        case .invoked, .lost: break
        }
    }

    private func compare(
        _ events: [String], of person: PersonKey, _ operation: Operation, _ time: Int
    ) throws(Violation) {
        let seen = Set(events)
        guard seen.count == events.count else {
            throw self.violation("an event of \(person) is shown twice", operation)
        }
        for id in events {
            guard let unit = self.unitOf[PersonKey(person.project, id)], !unit.isRejected else {
                throw self.violation("\(person) has \(id), which was not stored", operation)
            }
        }
        for unit in self.units[person] ?? [] {
            let count = unit.events.reduce(0) { $0 + (seen.contains($1) ? 1 : 0) }
            guard count == 0 || count == unit.events.count else {
                throw self.violation(
                    "\(count) of \(unit.events.count) events of one write of \(person): "
                        + "\(unit.events)", operation)
            }
            if count > 0 {
                unit.seenAt = min(unit.seenAt, time)
            } else if unit.isDue(at: operation.invokedAt) {
                throw self.violation("\(person) has lost \(unit.events)", operation)
            }
        }
    }

    private func violation(_ text: String, _ operation: Operation) -> Violation {
        Violation(self.name, "\(text) (\(operation.method) \(operation.number))")
    }

    // MARK: Counters

    private func lookAtCounters(
        _ response: JSONValue, of people: [PersonKey], _ event: HistoryEvent
    ) throws(Violation) {
        for (person, profile) in ReadResponse.profiles(response, of: people) {
            let counters = profile?["event_counters"]?.items ?? []
            let count = counters.reduce(0) { $0 + Int($1["count"].count) }
            let units = self.units[person] ?? []
            var least = 0
            var most = 0
            for unit in units where !unit.isRejected {
                if unit.isDue(at: event.operation.invokedAt) { least += unit.events.count }
                most += unit.events.count
            }
            guard count >= least, count <= most || units.isEmpty else {
                throw self.violation(
                    "\(person) counts \(count) events, \(least) to \(most) were stored",
                    event.operation)
            }
        }
    }

    // MARK: The whole project

    private func lookAtExport(_ event: HistoryEvent) throws(Violation) {
        let operation = event.operation
        switch event.kind {
        case .responded(let response, _):
            if let id = response["event"]?["event_id"]?.text {
                self.coming[operation.number, default: []].append(id)
            }
            if let custom = response["profile"]?["custom_id"]?.text {
                self.peopleComing[operation.number, default: []].append(custom)
            }
        case .ended(let outcome):
            let events = self.coming.removeValue(forKey: operation.number) ?? []
            let people = self.peopleComing.removeValue(forKey: operation.number) ?? []
            guard outcome == .ok else { return }
            guard Set(people).count == people.count else {
                throw self.violation("a custom ID is exported twice", operation)
            }
            try self.compareAll(events, operation)
        case .invoked, .lost: break
        }
    }

    private func compareAll(_ events: [String], _ operation: Operation) throws(Violation) {
        var counts: [String: Int] = [:]
        for id in events { counts[id, default: 0] += 1 }
        for (person, units) in self.units.sorted(by: { $0.key < $1.key })
        where person.project == operation.project {
            for unit in units {
                let seen = unit.events.map { counts[$0] ?? 0 }
                let isWhole = seen.allSatisfy { $0 == 1 }
                guard isWhole || seen.allSatisfy({ $0 == 0 }) else {
                    throw self.violation(
                        "\(unit.events) are exported \(seen) times", operation)
                }
                if !isWhole, unit.isDue(at: operation.invokedAt) {
                    throw self.violation("the project has lost \(unit.events)", operation)
                }
                if isWhole, unit.isRejected {
                    throw self.violation("the project has \(unit.events), rejected", operation)
                }
            }
        }
    }
}

/// Profiles in the response of a read that names people.
enum ReadResponse {
    /// Of each person asked for, what the response shows; `nil`: nobody has that name.
    static func profiles(
        _ response: JSONValue, of people: [PersonKey]
    ) -> [(PersonKey, JSONValue?)] {
        if let list = response["profiles"]?.items ?? (response["missing"] == nil ? nil : []) {
            return people.map { person in
                let found = list.first { $0["profile"]?["custom_id"]?.text == person.name }
                return (person, found?["profile"])
            }
        }
        return people.map { ($0, response["profile"]) }
    }
}
