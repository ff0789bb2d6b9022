import Glibc

/// A load of Watch calls that does as little as it can with what comes: it looks through the
/// framing of the messages and at their lsns, so that the figures are the server's.
package struct WatchLoad {
    package var address: ServerAddress
    package var project = "default"
    /// Sent as `authorization: Bearer KEY`; `nil`: none.
    package var key: String?
    /// Of each watcher, inclusive; 0: what comes after the call.
    package var firstLSN: UInt64 = 0
    /// It ends once every watcher has come so far; `nil`: never by that.
    package var lastLSN: UInt64?
    package var seconds: Double?
    package var watchers = 1
    /// The calls are ExportProject, which end by themselves; their parts are counted as changes.
    package var isExport = false
    /// Watcher *n* follows person *n* of so many, as `Load` names them; `nil`: everyone.
    package var ids: Int?

    /// Calls on each connection.
    private static let streams = 100

    package init(_ address: ServerAddress) {
        self.address = address
    }

    /// The measurements of a load.
    package struct Report {
        package var changes = 0
        package var heartbeats = 0
        /// Of messages and their framing.
        package var bytes = 0
        package var seconds = 0.0
        /// CPU time of this process, user and system.
        package var cpuSeconds = 0.0
        /// The least of what the watchers have come to.
        package var throughLSN: UInt64 = 0
        /// Messages whose lsn was less than that of the one before.
        package var descents = 0
        /// Calls that have ended, by gRPC status number; -1: no status.
        package var statuses: [Int32: Int] = [:]
    }

    /// Runs it on this thread.
    ///
    /// - Throws: If the server cannot be reached, or ends a connection.
    package func run() throws(ClientError) -> Report {
        var connections = LoadConnections(self.address)
        var readers: [WatchReader] = []
        for number in 0 ..< self.watchers {
            let connection = number / Self.streams
            if number % Self.streams == 0 { try connections.add { _, _ in } }
            let reader = WatchReader()
            readers.append(reader)
            reader.call.path = Array(self.method.path.utf8)
            reader.call.body = self.request(number)
            if let key { reader.call.metadata = [("authorization", Array("Bearer \(key)".utf8))] }
            try connections[connection].start(reader.call)
        }
        let (begin, cpu) = (Self.now(CLOCK_MONOTONIC), Self.now(CLOCK_PROCESS_CPUTIME_ID))
        var now = begin
        while !self.isDone(readers, after: now - begin) {
            try connections.turn()
            connections.wait(nanoseconds: 100_000_000)
            now = Self.now(CLOCK_MONOTONIC)
        }
        var report = Report(
            seconds: now - begin, cpuSeconds: Self.now(CLOCK_PROCESS_CPUTIME_ID) - cpu)
        report.throughLSN = readers.map(\.lastLSN).min() ?? 0
        for reader in readers {
            report.changes += reader.changes
            report.heartbeats += reader.heartbeats
            report.bytes += reader.bytes
            report.descents += reader.descents
            if reader.call.hasEnded { report.statuses[reader.call.status, default: 0] += 1 }
        }
        return report
    }

    private func isDone(_ readers: [WatchReader], after seconds: Double) -> Bool {
        if let limit = self.seconds, seconds >= limit { return true }
        if readers.allSatisfy(\.call.hasEnded) { return true }
        guard let lastLSN = self.lastLSN else { return false }
        return readers.allSatisfy { $0.lastLSN >= lastLSN || $0.call.hasEnded }
    }

    private var method: RPCMethod { .profiles(self.isExport ? "ExportProject" : "Watch") }

    private func request(_ number: Int) -> [UInt8] {
        var members: [(String, JSONValue)] = [("project", .string(self.project))]
        if !self.isExport { members.append(("from_lsn", .string(String(self.firstLSN)))) }
        if let ids, !self.isExport {
            let person = LoadPeople.customID(number % ids, of: ids)
            let identifier = JSONValue.object(of: [("custom_id", .string(person))])
            members.append(("identifiers", .array([identifier])))
        }
        let method = self.method
        guard
            let message = try? MessageEncoder(now: 0).encode(
                .object(of: members), as: method.request)
        else { preconditionFailure("the load's request does not match \(method.path)") }
        return ClientFraming.framed(message)
    }

    private static func now(_ clock: clockid_t) -> Double {
        Double(ClientClock.nanoseconds(clock)) / 1e9
    }
}

/// Counts the messages of one Watch.
private final class WatchReader {
    let call = ClientCall(keepsResponse: false)
    private(set) var changes = 0
    private(set) var heartbeats = 0
    private(set) var bytes = 0
    private(set) var descents = 0
    private(set) var lastLSN: UInt64 = 0
    private var splitter = MessageSplitter()

    init() {
        // The call belongs to the reader.
        self.call.onData = { [unowned self] in self.receive($0) }
    }

    private func receive(_ chunk: UnsafeRawBufferPointer) {
        self.bytes += chunk.count
        self.splitter.receive(chunk) { self.count($0) }
    }

    /// Field 1 is the lsn, field 2 the change.
    private func count(_ bytes: UnsafeRawBufferPointer) {
        var (offset, lsn, shift) = (0, UInt64(0), UInt64(0))
        if bytes.first == 1 << 3 {
            offset += 1
            while offset < bytes.count {
                let byte = bytes[offset]
                offset += 1
                lsn |= UInt64(byte & 0x7F) << shift
                shift += 7
                if byte < 0x80 { break }
            }
        }
        if lsn < self.lastLSN { self.descents += 1 }
        self.lastLSN = lsn
        if offset < bytes.count { self.changes += 1 } else { self.heartbeats += 1 }
    }
}
