#if TLS
    import IOCore

    /// The context that new connections get; replaced when files were read again.
    package final class TLSContexts: Sendable {
        package let metrics: TLSMetrics
        private let latest: Guarded<TLSContext>
        private let failed: @Sendable (_ peer: String, _ reason: String) -> Void

        /// - Parameter failed: A handshake has failed; called on the thread of its connection.
        package init(
            _ context: TLSContext, metrics: TLSMetrics,
            failed: @escaping @Sendable (_ peer: String, _ reason: String) -> Void
        ) {
            self.latest = Guarded(context)
            self.metrics = metrics
            self.failed = failed
        }

        /// New connections get this one; those that are open keep theirs.
        package func replace(_ context: TLSContext) {
            self.latest.withLock { $0 = context }
        }

        var current: TLSContext { self.latest.withLock { $0 } }

        func report(peer: String, _ reason: String) {
            self.failed(peer, reason)
        }
    }

    /// A network whose connections are encrypted.
    package final class TLSNetwork: Network {
        private let base: any Network
        private let contexts: TLSContexts

        package init(_ base: any Network, _ contexts: TLSContexts) {
            self.base = base
            self.contexts = contexts
        }

        package func makePoller() throws(IOError) -> any Poller { try self.base.makePoller() }

        package func listen(
            host: String, port: UInt16, count: Int
        ) throws(IOError) -> [any ListeningSocket] {
            try self.base.listen(host: host, port: port, count: count).map {
                TLSListener($0, self.contexts)
            }
        }
    }

    /// A listening socket whose connections are encrypted.
    final class TLSListener: ListeningSocket {
        private let base: any ListeningSocket
        private let contexts: TLSContexts

        init(_ base: any ListeningSocket, _ contexts: TLSContexts) {
            self.base = base
            self.contexts = contexts
        }

        var descriptor: Int32 { self.base.descriptor }
        var address: String { self.base.address }
        func close() { self.base.close() }

        func accept() -> AcceptOutcome {
            switch self.base.accept() {
            case .socket(let socket): .socket(TLSSocket(socket, self.contexts))
            case .wouldBlock: .wouldBlock
            case .exhausted: .exhausted
            }
        }
    }
#endif
