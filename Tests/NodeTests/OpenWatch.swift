import ProfileClient
import ProfileService
import TestSupport

/// A Watch of a test, and what has come of it.
final class OpenWatch {
    /// The order in which the contract lists the changes of one lsn.
    static let kinds = [
        "PROFILE_CREATED", "PROFILE_IDENTIFIED", "PROFILES_MERGED", "PROFILES_UNMERGED",
        "INSTALLATION_MOVED", "ATTRIBUTES_CHANGED", "EVENT_STORED", "SUBSCRIPTION_CHANGED",
        "SUPPRESSION_CHANGED", "PROFILE_ERASED",
    ]

    let client: WireClient
    let call: WireCall

    /// - Parameters:
    ///   - lsn: `from_lsn`.
    ///   - more: Further members of the request, each behind a comma.
    ///   - host: Where the client is.
    init(
        _ harness: NodeHarness, from lsn: UInt64 = 0, _ more: String = "",
        project: String = "default", key: String? = nil, host: String = "127.0.0.1"
    ) throws {
        self.client = try harness.connect(key: key, from: host)
        let request = #"{"project":"\#(project)","from_lsn":"\#(lsn)"\#(more)}"#
        self.call = try self.client.call(.profiles("Watch"), try Requests.json(request))
        try harness.settle()
    }

    /// Every lsn that came, in order.
    var lsns: [UInt64] { self.call.responses.map(Self.lsn) }
    var changes: [JSONValue] { self.call.responses.filter { $0["change"] != nil } }
    /// What heartbeats said, in order.
    var heartbeats: [UInt64] {
        self.call.responses.filter { $0["change"] == nil }.map(Self.lsn)
    }
    /// Of the changes, without `CHANGE_KIND_`.
    var kinds: [String] { self.changes.map(Self.kind) }
    /// Names of the events that came.
    var names: [String] { self.changes.compactMap { $0["change"]?["event"]?["name"]?.text } }
    /// Ids of the events that came.
    var eventIDs: [String] {
        self.changes.compactMap { $0["change"]?["event"]?["event_id"]?.text }
    }
    var end: (status: Int32?, reason: String) { (self.call.status, self.call.reason) }

    static func lsn(_ response: JSONValue) -> UInt64 { UInt64(response["lsn"]?.integer ?? 0) }

    static func kind(_ response: JSONValue) -> String {
        let text = response["change"]?["kind"]?.text ?? ""
        return String(text.dropFirst("CHANGE_KIND_".count))
    }
}
