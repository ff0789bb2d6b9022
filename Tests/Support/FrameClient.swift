import IOSimulation

/// A client that sends and keeps HTTP/2 frames as the test made them, right or wrong.
package final class FrameClient {
    private let socket: SimulatedSocket
    private let connection: ClientConnection
    /// Everything that has come.
    package private(set) var received: [UInt8] = []
    /// Whether `turn` reads: a client that does not holds the server back.
    package var isReading = true

    package init(_ socket: SimulatedSocket) {
        self.socket = socket
        self.connection = ClientConnection(socket)
    }

    /// The frames that have come.
    package var frames: [Frames.Frame] { Frames.parse(self.received) }
    /// The server has closed its end, or this one is closed.
    package var isClosed: Bool { self.connection.isClosed || self.connection.isPeerGone }

    /// Sends bytes, as far as the connection takes them.
    package func send(_ bytes: [UInt8]) {
        self.connection.enqueue(bytes)
        while self.connection.writeOnce() {}
    }

    /// Sends what is left and reads, if it reads.
    package func turn() {
        while self.connection.writeOnce() {}
        if self.isReading { self.read() }
    }

    /// Reads what is there.
    package func read() {
        while self.connection.readOnce({ self.received += $0 }) {}
    }

    /// Lets no more than `bytes` wait to be read, and reads only when the test says so.
    package func stopReading(bufferBytes: Int) {
        self.isReading = false
        self.socket.limitReceiveBuffer(toBytes: bufferBytes)
    }

    /// Most bytes that one write of the server has brought since the last reset.
    package var largestWriteBytes: Int { self.socket.largestArrivalBytes }

    package func resetLargestWrite() { self.socket.resetLargestArrival() }

    /// Closes this end.
    package func close() { self.connection.close() }
}
