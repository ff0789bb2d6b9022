import ProfileClient

/// Requests of the tests, as JSON.
enum Requests {
    /// One person's profile, or any other request that names a person only.
    static func person(_ name: String) -> String {
        #"{"project":"default","identifier":{"custom_id":"\#(name)"}}"#
    }

    /// Events of one name of a person.
    ///
    /// - Parameter more: Further members, each behind a comma.
    static func track(_ name: String, _ eventIDs: [String], more: String = "") -> String {
        let events = eventIDs.map { #"{"event_id":"\#($0)","name":"visit"}"# }
        return #"{"project":"default","identifier":{"custom_id":"\#(name)"},"#
            + #""events":[\#(events.joined(separator: ","))]\#(more)}"#
    }

    /// A person with attributes, as the members of a JSON object.
    static func identify(_ name: String, _ attributes: String) -> String {
        #"{"project":"default","custom_id":"\#(name)","attributes":{"set":{\#(attributes)}}}"#
    }

    /// A change of the subscription to the topic `offers` by e-mail.
    static func subscription(_ name: String, _ state: String, source: String) -> String {
        #"{"project":"default","identifier":{"custom_id":"\#(name)"},"source":"\#(source)","#
            + #""changes":[{"channel":"email","topic":"offers","state":"\#(state)"}]}"#
    }

    /// The JSON of a request.
    static func json(_ text: String) throws -> JSONValue {
        try JSONParser.parse(text.utf8)
    }
}
