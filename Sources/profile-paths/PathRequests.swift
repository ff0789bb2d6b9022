import ProfileClient

/// The requests of the paths, in the wire format, by the client's own encoder. Each is encoded
/// once; of it, only the digits of the person change.
struct PathRequests {
    private static let firstPerson = 100_000

    private let encoded: [UInt8]
    /// Where the six digits of a person begin.
    private let offsets: [Int]

    /// One event with three attributes.
    static let track = PathRequests(
        "Track",
        """
        {"project": "default", "identifier": {"custom_id": "user-100000"},
         "events": [{"name": "purchase",
                     "attributes": {"amount": 59.9, "currency": "EUR", "items": 3}}]}
        """)

    /// An event with a list and an object, which goes through protobuf-c.
    static let nestedTrack = PathRequests(
        "Track",
        """
        {"project": "default", "identifier": {"custom_id": "user-100000"},
         "events": [{"name": "purchase", "label": "spring", "tags": ["web", "first"],
                     "attributes": {"amount": 59.9, "skus": ["a-1", "b-2"],
                                    "cart": {"total": 59.9, "items": 3}}}]}
        """)

    /// A device and three attributes.
    static let identify = PathRequests(
        "Identify",
        """
        {"project": "default", "installation_id": "phone-100000", "custom_id": "user-100000",
         "attributes": {"set": {"plan": "gold", "visits": 17, "score": 0.75}}}
        """)

    static let updateSubscription = PathRequests(
        "UpdateSubscription",
        """
        {"project": "default", "identifier": {"custom_id": "user-100000"}, "source": "USER",
         "changes": [{"channel": "EMAIL", "state": "SUBSCRIBED"}]}
        """)

    static let getProfile = PathRequests(
        "GetProfile",
        """
        {"project": "default", "identifier": {"custom_id": "user-100000"}}
        """)

    private init(_ name: String, _ json: String) {
        do {
            self.encoded = try MessageEncoder(now: 0).encode(
                try JSONParser.parse(json.utf8), as: RPCMethod.profiles(name).request)
        } catch {
            preconditionFailure("the request of \(name) does not match its message: \(error)")
        }
        let digits = Array(String(Self.firstPerson).utf8)
        let encoded = self.encoded
        self.offsets = encoded.indices.filter { encoded[$0...].starts(with: digits) }
    }

    static func customID(_ person: Int) -> String { "user-\(self.firstPerson + person)" }

    /// The request of a person, from 0 on.
    func callAsFunction(_ person: Int) -> [UInt8] {
        var request = self.encoded
        for offset in self.offsets {
            for (index, digit) in String(Self.firstPerson + person).utf8.enumerated() {
                request[offset + index] = digit
            }
        }
        return request
    }
}
