import IOCore
import IOLinux
import ProfileClient

/// The profile page: a listener on a thread of its own, and the threads that call the service for
/// it. Used by the thread that starts and stops the server.
final class ConsoleServer {
    /// Threads for queries: a page makes a few at a time, and each is one call of the service or
    /// some.
    static let queryThreads = 4
    /// Queries that wait for one of them.
    static let queriesWaitingMax = 32
    /// Pages that follow a person at a time; each holds a thread and a stream of Watch. Further
    /// ones ask again after a while.
    static let watchThreads = 8

    /// The bound address with its real port.
    var address: String { self.listener.address }
    private let listener: AdminListener
    private let queries: HTTPWorkers<ConsoleClient>
    private let watches: HTTPWorkers<ConsoleClient>
    private let network: InProcessNetwork
    private var threads: [any RunningThread] = []

    /// Binds the endpoint.
    ///
    /// - Parameters:
    ///   - network: Where the service listens for connections of this process.
    ///   - isOpen: Whether no call needs a key.
    /// - Throws: The error of the bind.
    init(
        endpoint: Endpoint, network: InProcessNetwork, clock: any Clock,
        random: any RandomSource, isOpen: Bool, version: String, figures: any ConsoleFigures
    ) throws(IOError) {
        self.network = network
        self.queries = HTTPWorkers(
            count: Self.queryThreads, waitingMax: Self.queriesWaitingMax,
            makeParker: { LinuxParker() })
        self.watches = HTTPWorkers(
            count: Self.watchThreads, waitingMax: 0, makeParker: { LinuxParker() })
        self.listener = try AdminListener(
            network: LinuxNetwork(), endpoint: endpoint, clock: clock,
            responder: ConsoleResponder(
                isOpen: isOpen, version: version, random: random, clock: clock,
                queries: self.queries, watches: self.watches, figures: figures))
    }

    /// Serves, from when the service does.
    func start(_ threads: any ThreadStarter) {
        let network = self.network
        let makeClient: @Sendable () -> ConsoleClient = {
            // Host and port stand for nothing but the authority of the calls.
            var address = ServerAddress(host: "localhost", port: 443)
            address.dial = { network.connect() }
            return ConsoleClient(address)
        }
        let listener = self.listener
        self.threads =
            self.queries.start(threads, name: "console", makeTool: makeClient)
            + self.watches.start(threads, name: "console-watch", makeTool: makeClient)
            + [threads.start(name: "console-http") { listener.run() }]
    }

    /// Closes the listener and its connections; never blocks. Queries end within their time limits,
    /// and the others when they look next.
    func stop() {
        self.queries.stop()
        self.watches.stop()
        self.listener.stop()
    }

    /// Waits for all of that to end.
    func join() {
        for thread in self.threads { thread.join() }
    }
}
