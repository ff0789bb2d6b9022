import CLinux
import Glibc

/// The connections of a load. One that the server asks to end (GOAWAY) is replaced at once, and
/// ends with its last call: servers limit the age of connections, and a load may be older.
struct LoadConnections {
    typealias OnEnd = (ClientConnection, ClientCall) -> Void

    private let address: ServerAddress
    /// By number: those that take calls.
    private var current: [(connection: ClientConnection, onEnd: OnEnd)] = []
    /// Replaced ones whose calls have not ended.
    private var ending: [ClientConnection] = []
    /// What each of both waits for, in that order.
    private var polled: [pollfd] = []

    init(_ address: ServerAddress) {
        self.address = address
    }

    /// Connects once more; the first connection has number 0.
    mutating func add(onEnd: @escaping OnEnd) throws(ClientError) {
        self.current.append((try self.connect(onEnd), onEnd))
    }

    private func connect(_ onEnd: @escaping OnEnd) throws(ClientError) -> ClientConnection {
        let connection = try ClientConnection(self.address)
        connection.onEnd = onEnd
        return connection
    }

    subscript(number: Int) -> ClientConnection { self.current[number].connection }

    /// Connects anew for those that take no more calls.
    mutating func replaceThoseThatEnd() throws(ClientError) {
        for number in self.current.indices where !self[number].acceptsCalls {
            self.ending.append(self[number])
            self.current[number].connection = try self.connect(self.current[number].onEnd)
        }
    }

    /// Reads and writes what is possible on each of them.
    ///
    /// - Throws: `.closed` if one has ended before its calls.
    mutating func turn() throws(ClientError) {
        self.polled.removeAll(keepingCapacity: true)
        for (connection, _) in self.current { _ = try self.turn(connection) }
        var stillEnding: [ClientConnection] = []
        for connection in self.ending where try self.turn(connection) {
            stillEnding.append(connection)
        }
        self.ending = stillEnding
    }

    /// - Returns: False if the connection has ended in order.
    private mutating func turn(_ connection: ClientConnection) throws(ClientError) -> Bool {
        var failure: ClientError?
        var hasOutput = false
        do throws(ClientError) {
            hasOutput = try connection.turn()
        } catch {
            failure = error
        }
        if connection.isFinished { failure = failure ?? .closed }
        if let failure {
            guard !connection.acceptsCalls, connection.openCalls == 0 else { throw failure }
            return false
        }
        self.polled.append(
            pollfd(
                fd: connection.descriptor,
                events: Int16(POLLIN) | (hasOutput ? Int16(POLLOUT) : 0), revents: 0))
        return true
    }

    /// Sleeps until one of them is ready, or for the time.
    mutating func wait(nanoseconds: UInt64) {
        // One that has ended is replaced before anything can be waited for.
        let hasEnded = self.current.contains { !$0.connection.acceptsCalls }
        // SAFETY: the array has as many entries as are given.
        linux_poll(&self.polled, UInt64(self.polled.count), hasEnded ? 0 : nanoseconds)
    }
}
