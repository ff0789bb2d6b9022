import ProfileClient

/// Pieces of requests.
enum Requests {
    static func project(_ index: Int) -> JSONValue { .string(Projects.name(index)) }

    static func custom(_ name: String) -> JSONValue { ["custom_id": .string(name)] }

    static func profile(_ id: String) -> JSONValue { ["profile_id": .string(id)] }

    static func device(_ name: String) -> JSONValue { ["installation_id": .string(name)] }

    /// A request about one person.
    static func about(_ person: PersonKey) -> JSONValue {
        ["project": self.project(person.project), "identifier": self.custom(person.name)]
    }

    /// An event with the marker in each of its texts.
    static func event(_ id: String, _ name: String, marker: String) -> JSONValue {
        [
            "event_id": .string(id), "name": .string(name), "label": .string(marker),
            "tags": [.string(marker)], "attributes": ["text": .string(marker)],
        ]
    }

    /// What a unit does, as operations of a batch.
    ///
    /// - Parameter marker: In all texts.
    static func operations(_ unit: WriteUnit, marker: String) -> [JSONValue] {
        var operations: [JSONValue] = []
        if unit.value != 0 {
            operations.append(["identify": self.identify(unit, marker: marker)])
        }
        if !unit.events.isEmpty {
            operations.append(["track": self.track(unit, marker: marker)])
        }
        return operations
    }

    /// Sets the value of a unit, without `project`.
    static func identify(_ unit: WriteUnit, marker: String) -> JSONValue {
        [
            "custom_id": .string(unit.person.name),
            "attributes": [
                "set": [
                    "n": .of(unit.value), "twin": .of(unit.value), "text": .string(marker),
                ]
            ],
        ]
    }

    /// Stores the events of a unit, without `project`.
    static func track(_ unit: WriteUnit, marker: String) -> JSONValue {
        [
            "identifier": self.custom(unit.person.name),
            "events": .array(
                unit.events.map { self.event($0, unit.fires ? "visit" : "note", marker: marker) }),
        ]
    }

    /// With project and, if there is one, request id.
    static func whole(_ request: JSONValue, _ project: Int, _ requestID: String?) -> JSONValue {
        request.adding([
            ("project", self.project(project)), ("request_id", requestID.map { .string($0) }),
        ])
    }
}
