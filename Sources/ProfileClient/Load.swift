import Glibc

/// A load of Track calls over many people, closed loop: each of `connections * streams` calls is followed by the next when it has ended.
public struct Load {
    public var port: UInt16
    public var connections = 8
    /// Calls under way on each connection.
    public var streams = 100
    public var requests = 400_000
    /// Custom IDs `user-000000` and on, chosen in a fixed shuffled order.
    public var ids = 100_000
    public var method = "Track"

    public init(port: UInt16) {
        self.port = port
    }

    /// What a load has measured.
    public struct Report {
        public var requests = 0
        public var seconds = 0.0
        /// By gRPC status number; -1: no status came.
        public var statuses: [Int32: Int] = [:]
        /// Latencies in nanoseconds, ascending.
        public var latencies: [UInt64] = []

        /// The latency that a share of the calls did not exceed.
        public func percentile(_ share: Double) -> Double {
            guard !self.latencies.isEmpty else { return 0 }
            let index = Int(Double(self.latencies.count - 1) * share)
            return Double(self.latencies[index]) / 1e6
        }
    }

    /// Runs it on this thread.
    public func run() throws(ClientError) -> Report {
        var report = Report()
        report.latencies.reserveCapacity(self.requests)
        var started = 0
        let begin = Self.now()
        // Prime to any power of ten: visits every id once before any twice.
        let step = 7_919
        func startNext(_ connection: ClientConnection, _ call: ClientCall) {
            guard started < self.requests else { return }
            call.body = self.request((started * step) % self.ids)
            started += 1
            call.startedNanoseconds = Self.now()
            connection.start(call)
        }
        let onEnd: (ClientConnection, ClientCall) -> Void = { connection, call in
            report.requests += 1
            report.statuses[call.status, default: 0] += 1
            report.latencies.append(Self.now() - call.startedNanoseconds)
            startNext(connection, call)
        }
        var open: [ClientConnection] = []
        var calls: [ClientCall] = []
        for _ in 0 ..< self.connections {
            let connection = try ClientConnection(port: self.port, path: "/profiles.v1.Profiles/\(self.method)")
            connection.onEnd = onEnd
            open.append(connection)
            for index in 0 ..< self.streams {
                let call = ClientCall(index: index)
                calls.append(call)
                startNext(connection, call)
            }
        }
        var polled = open.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        while report.requests < self.requests {
            for (index, connection) in open.enumerated() {
                polled[index].events = Int16(POLLIN) | (try connection.turn() ? Int16(POLLOUT) : 0)
            }
            if report.requests < self.requests { poll(&polled, nfds_t(polled.count), 1_000) }
        }
        report.seconds = Double(Self.now() - begin) / 1e9
        report.latencies.sort()
        withExtendedLifetime(calls) {}
        return report
    }

    /// A framed request for one person: a Track of one event with three attributes, or a GetProfile.
    private func request(_ person: Int) -> [UInt8] {
        let digits = String(person)
        let id = Array(("user-" + String(repeating: "0", count: max(0, 6 - digits.count)) + digits).utf8)
        func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2, UInt8(bytes.count)] + bytes }
        let identifier = field(2, id)
        var message = field(1, Array("default".utf8))
        if self.method == "GetProfile" {
            message += field(2, identifier)
        } else {
            let amount: [UInt8] = [0x19] + withUnsafeBytes(of: (59.9).bitPattern) { Array($0) }
            func attribute(_ name: String, _ value: [UInt8]) -> [UInt8] {
                field(3, field(1, Array(name.utf8)) + field(2, value))
            }
            let event = field(2, Array("purchase".utf8)) + attribute("amount", amount)
                + attribute("currency", field(1, Array("EUR".utf8))) + attribute("items", [0x10, 3])
            message += field(3, identifier) + field(4, event)
        }
        return [0, 0, 0, 0, UInt8(message.count)] + message
    }

    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
