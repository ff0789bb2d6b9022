/// A load generator over many people, on one thread.
///
/// Closed loop by default: each of `connections * streams` calls starts the next one when it ends.
/// With a `rate` the loop is open: calls are due at fixed times whatever the server does, and the
/// latency counts from the time at which the call was due, so that a stall of the server is not
/// hidden by the calls that it delays (coordinated omission).
package struct Load {
    package var address: ServerAddress
    package var project = "default"
    /// Number of projects, from `project-00000` on, that the people are spread over; `nil`: all are
    /// in `project`. Person *n* is in project *n* modulo this number.
    package var projects: Int?
    /// Connection *n* sends key *n* modulo their number; empty: each sends `key`.
    package var keys: [String] = []
    /// Sent as `authorization: Bearer KEY`; `nil`: none.
    package var key: String?
    package var connections = 8
    /// Concurrent calls on each connection.
    package var streams = 100
    /// Total number of calls; `nil`: until `seconds` have passed.
    package var requests: Int? = 400_000
    package var seconds: Double?
    /// Calls per second; `nil`: as fast as the responses arrive.
    package var rate: Double?
    /// Number of custom IDs, from `user-000000` on.
    package var ids = 100_000
    package var order = Order.shuffled
    /// First value of the ten attributes that `profile` sets; the others follow it.
    package var firstValue = 1_000
    /// Gives the attributes of each person values of their own lengths instead, others for each
    /// seed.
    package var valueSeed: UInt64?
    package var mix: [(method: LoadMethod, share: Int)] = [(.track, 100)]

    package init(_ address: ServerAddress) {
        self.address = address
    }

    /// In which order calls visit people; the same in each run.
    package enum Order: String {
        /// Each once before any comes again, so that what a load made in turn is visited in turn.
        case shuffled
        /// Each call somebody, whoever was visited before.
        case random
    }

    /// The measurements of a load.
    package struct Report {
        package var requests = 0
        package var seconds = 0.0
        /// By gRPC status number; -1: no status.
        package var statuses: [Int32: Int] = [:]
        package var latencies = LatencyHistogram()
        /// Of each method of the mix, in its order.
        package var methods: [(method: LoadMethod, latencies: LatencyHistogram)] = []

        /// Calls that ended with neither OK nor NOT_FOUND: a read may precede the first write of
        /// its person.
        package var failures: Int {
            self.requests - self.statuses[0, default: 0] - self.statuses[5, default: 0]
        }
    }

    /// Longest wait for responses after the last call was started, in nanoseconds.
    private static let drainNanoseconds: UInt64 = 10_000_000_000
    /// How often one call is started again on another connection: a server that ends connections by
    /// their age sends a call back once, one that takes no call does so for ever.
    private static let timesSentBackMax = 10

    /// Whom the call of a method with this number is for.
    func person(_ number: Int) -> Int {
        switch self.order {
        case .shuffled: return LoadPeople.person(number, of: self.ids)
        case .random: return Self.mix(UInt64(number + 1), below: self.ids)
        }
    }

    /// The sets of values that profiles of this load have.
    fileprivate var values: [ProfileValues] {
        guard let seed = self.valueSeed else { return [.following(self.firstValue)] }
        return (0 ..< Self.valueSets).map { .mixed(seed &* UInt64(Self.valueSets) &+ UInt64($0)) }
    }

    /// Which of several requests is that of a person.
    func variant(_ person: Int, of count: Int) -> Int {
        guard count > 1 else { return 0 }
        return Self.mix(UInt64(person) &+ 1 &+ (self.valueSeed ?? 0) << 32, below: count)
    }

    /// Sets of values of `valueSeed`: enough that every length occurs in every place.
    private static let valueSets = 64

    /// A number that follows from another one, and has nothing of its order.
    static func mix(_ number: UInt64, below limit: Int) -> Int {
        let (high, low) = number.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        let mixed = (low ^ (low >> 29) ^ high) &* 0xBF58_476D_1CE4_E5B9
        return Int((mixed >> 16) % UInt64(limit))
    }

    /// Runs it on this thread.
    ///
    /// - Parameter eachSecond: Receives the measurements of the past second.
    package func run(eachSecond: (Report) -> Void = { _ in }) throws(ClientError) -> Report {
        let run = try LoadRun(self)
        return try run.run(eachSecond: eachSecond)
    }

    /// The state of one run.
    private final class LoadRun {
        private let load: Load
        /// Of each method of the mix, those that its calls choose from.
        private let templates: [[LoadTemplate]]
        private let paths: [[UInt8]]
        /// A sequence of method indices in which each method occurs according to its share.
        private let order: [Int]
        private var connections: LoadConnections
        private var calls: [ClientCall] = []
        /// Calls to be started, with the numbers of their connections.
        private var idle: [(number: Int, call: ClientCall)] = []
        /// Calls that a server has sent back with its GOAWAY: started again as they are.
        private var sentBack: [(number: Int, call: ClientCall)] = []
        private var report = Report()
        private var second = Report()
        private var started = 0
        /// Calls started per method, so that reads visit the people in the order in which the
        /// writes created them.
        private var startedByKind: [Int]
        private var ended = 0
        private var begin: UInt64 = 0
        /// Why a call could not be started from a callback.
        private var failure: ClientError?

        init(_ load: Load) throws(ClientError) {
            self.load = load
            self.templates = load.mix.map { kind in
                let values = kind.method == .profile ? load.values : [.following(load.firstValue)]
                return values.map {
                    LoadTemplate(
                        kind.method, project: load.project, ids: load.ids, projects: load.projects,
                        values: $0)
                }
            }
            self.paths = load.mix.map { Array($0.method.rpc.path.utf8) }
            self.startedByKind = load.mix.map { _ in 0 }
            self.order = Self.interleaved(load.mix.map(\.share))
            self.report.methods = load.mix.map { ($0.method, LatencyHistogram()) }
            self.connections = LoadConnections(load.address)
            for number in 0 ..< load.connections {
                // The run outlives its connections.
                try self.connections.add { [unowned self] in self.end($0, number, $1) }
                for _ in 0 ..< load.streams {
                    let call = ClientCall(keepsResponse: false)
                    let key =
                        load.keys.isEmpty ? load.key : load.keys[number % load.keys.count]
                    if let key {
                        call.metadata = [("authorization", Array("Bearer \(key)".utf8))]
                    }
                    self.calls.append(call)
                    self.idle.append((number, call))
                }
            }
        }

        func run(eachSecond: (Report) -> Void) throws(ClientError) -> Report {
            self.begin = ClientClock.nanoseconds()
            var nextSecond = self.begin + 1_000_000_000
            var lastStart = self.begin
            while true {
                let now = ClientClock.nanoseconds()
                try self.connections.replaceThoseThatEnd()
                if try self.startDue(now) { lastStart = now }
                if self.isDone(now), now > lastStart + Load.drainNanoseconds { break }
                try self.connections.turn()
                if let failure = self.failure { throw failure }
                // Checked before the wait, because after the last response nothing would end it
                // early.
                if self.ended == self.started, self.isDone(now) { break }
                if now >= nextSecond {
                    self.second.seconds = 1 + Double(now - nextSecond) / 1e9
                    eachSecond(self.second)
                    self.second = Report()
                    nextSecond = now + 1_000_000_000
                }
                self.wait(until: nextSecond)
            }
            self.report.seconds = Double(ClientClock.nanoseconds() - self.begin) / 1e9
            return self.report
        }

        private func isDone(_ now: UInt64) -> Bool {
            if let requests = self.load.requests, self.started >= requests { return true }
            if let seconds = self.load.seconds, Double(now - self.begin) / 1e9 >= seconds {
                return true
            }
            return false
        }

        /// When the next call is due, in nanoseconds.
        private var due: UInt64 {
            self.load.rate.map { self.begin + UInt64(Double(self.started) / $0 * 1e9) } ?? 0
        }

        private func startDue(_ now: UInt64) throws(ClientError) -> Bool {
            var hasStarted = !self.sentBack.isEmpty
            for (number, call) in self.sentBack { try self.connections[number].start(call) }
            self.sentBack.removeAll()
            while !self.isDone(now), self.due <= now, let (number, call) = self.idle.popLast() {
                let due = self.load.rate == nil ? now : self.due
                try self.start(self.connections[number], call, due)
                hasStarted = true
            }
            return hasStarted
        }

        private func start(_ connection: ClientConnection, _ call: ClientCall, _ due: UInt64)
            throws(ClientError)
        {
            call.kind = self.order[self.started % self.order.count]
            call.path = self.paths[call.kind]
            let number = self.startedByKind[call.kind]
            let person = self.load.person(number)
            // Each project is created by a call of its own, each person is in one of them.
            let isProject = self.load.mix[call.kind].method == .project
            let templates = self.templates[call.kind]
            call.body = templates[self.load.variant(person, of: templates.count)].request(
                person: person, project: (isProject ? number : person) % (self.load.projects ?? 1))
            self.startedByKind[call.kind] += 1
            call.startedNanoseconds = due
            call.timesSentBack = 0
            self.started += 1
            try connection.start(call)
        }

        private func end(_ connection: ClientConnection, _ number: Int, _ call: ClientCall) {
            if call.isUnprocessed, !connection.acceptsCalls {
                call.timesSentBack += 1
                if call.timesSentBack > Load.timesSentBackMax { self.failure = .closed }
                return self.sentBack.append((number, call))
            }
            let now = ClientClock.nanoseconds()
            let latency = now - call.startedNanoseconds
            self.ended += 1
            for keyPath in [\LoadRun.report, \LoadRun.second] {
                self[keyPath: keyPath].requests += 1
                self[keyPath: keyPath].statuses[call.status, default: 0] += 1
                self[keyPath: keyPath].latencies.record(latency)
            }
            if self.report.methods.count > 1 {
                self.report.methods[call.kind].latencies.record(latency)
            }
            guard self.load.rate == nil, !self.isDone(now), connection.acceptsCalls else {
                return self.idle.append((number, call))
            }
            do throws(ClientError) {
                try self.start(connection, call, now)
            } catch {
                // Called by nghttp2, through which nothing can be thrown.
                self.failure = error
            }
        }

        /// The end of each wait spins: the kernel wakes a thread some 50 µs late, and a late start
        /// would count as latency.
        private static let spinNanoseconds: UInt64 = 60_000

        /// Sleeps until a socket is ready, a call is due, or the second is over.
        private func wait(until second: UInt64) {
            let now = ClientClock.nanoseconds()
            let next =
                self.load.rate != nil && !self.idle.isEmpty && !self.isDone(now)
                ? min(second, self.due) : second
            let rest = next > now ? next - now : 0
            self.connections.wait(
                nanoseconds: rest > Self.spinNanoseconds ? rest - Self.spinNanoseconds : 0)
        }

        /// Interleaves the shares evenly: 80 and 20 become a, a, b, a, a repeatedly, not 80 of one
        /// followed by 20 of the other.
        private static func interleaved(_ shares: [Int]) -> [Int] {
            let sum = shares.reduce(0, +)
            var credit = [Int](repeating: 0, count: shares.count)
            return (0 ..< min(sum, 10_000)).map { _ in
                for index in shares.indices { credit[index] += shares[index] }
                let chosen = credit.indices.max { credit[$0] < credit[$1] }!
                credit[chosen] -= sum
                return chosen
            }
        }
    }
}
