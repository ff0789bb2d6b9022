import ProfileClient
import ProfileService
import TestSupport

/// An export of a test, and what has come of it.
final class OpenExport {
    let client: WireClient
    let call: WireCall

    /// An ExportProject.
    ///
    /// - Parameters:
    ///   - token: `page_token`.
    ///   - host: Where the client is.
    init(
        _ harness: NodeHarness, token: String = "", project: String = "default",
        key: String? = nil, isReading: Bool = true, host: String = "127.0.0.1"
    ) throws {
        self.client = try harness.connect(key: key, from: host)
        self.client.isReading = isReading
        let request = #"{"project":"\#(project)","page_token":"\#(token)"}"#
        self.call = try self.client.call(.profiles("ExportProject"), try Requests.json(request))
        try harness.settle()
    }

    /// An ExportProfile.
    ///
    /// - Parameter host: Where the client is.
    init(
        _ harness: NodeHarness, of name: String, project: String = "default", key: String? = nil,
        isReading: Bool = true, host: String = "127.0.0.1"
    ) throws {
        self.client = try harness.connect(key: key, from: host)
        self.client.isReading = isReading
        let request = #"{"project":"\#(project)","identifier":{"custom_id":"\#(name)"}}"#
        self.call = try self.client.call(.profiles("ExportProfile"), try Requests.json(request))
        try harness.settle()
    }

    var parts: [JSONValue] { self.call.responses }
    /// The custom IDs of the people that came, in order.
    var people: [String] {
        self.parts.compactMap { $0["profile"]?["custom_id"]?.text }
    }
    /// Of the events that came.
    var eventIDs: [String] { self.parts.compactMap { $0["event"]?["event_id"]?.text } }
    /// One for each person.
    var tokens: [String] { self.parts.compactMap { $0["page_token"]?.text } }
    var lsns: [UInt64] { self.parts.map(OpenWatch.lsn) }
    var end: (status: Int32?, reason: String) { (self.call.status, self.call.reason) }
}
