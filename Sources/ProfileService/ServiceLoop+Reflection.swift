import Bytes
import GRPCTransport
import Messages

extension ServiceLoop {
    /// Answers one request of a reflection stream; v1 and v1alpha have the same messages.
    func reflect(_ message: UnsafeRawBufferPointer, of call: RPCCall) {
        let stream = self.openStream(call)
        self.response.removeAll()
        if let found = self.decoder.encodeReflectionResponse(message, into: &self.response) {
            self.transport.pauseRequests(of: call.token)
            return self.end(stream, with: Self.status(ofMalformed: found))
        }
        self.reply(to: stream.machine.responses.begin(), of: stream, with: self.response.bytes)
        self.advance(stream)
    }
}
