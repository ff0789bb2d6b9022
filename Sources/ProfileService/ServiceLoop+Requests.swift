import GRPCTransport
import Messages
import Profiles

// What every RPC begins with.
extension ServiceLoop {
    /// Runs `body` with what was decoded, or refuses the call.
    ///
    /// - Parameter items: What the accounting counts when the message is refused.
    func withMessage<Message>(
        _ decoded: Decoded<Message>, of call: RPCCall, items: Int = 0, _ body: (Message) -> Void
    ) {
        switch decoded {
        case .message(let message): return body(message)
        case .invalid(let violations): self.reject(call.token, violations: violations)
        case .malformed(let found): self.rejectMalformed(call.token, found)
        case .tooLarge: self.reject(call.token, .memoryExhausted)
        }
        self.accounting.add(rejected: items)
    }

    /// The project of a read; `nil`: the call was refused, because there is none or because it asks
    /// for what is not applied yet.
    func project(
        _ name: UnsafeRawBufferPointer, minLSN: UInt64, of call: RPCCall, in partition: Partition
    ) -> ProjectID? {
        guard let project = partition.store.findProject(name) else {
            self.reject(call.token, .projectNotFound)
            return nil
        }
        let applied = partition.store.appliedLSN
        guard minLSN <= applied else {
            let context = ErrorContext(metadata: [("actual", String(applied))], retrySeconds: 0)
            self.transport.finish(call.token, with: Self.status(of: .lsnNotReached, context))
            return nil
        }
        return project
    }
}
