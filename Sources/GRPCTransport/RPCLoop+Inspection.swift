// What operators see of the connections and streams of a loop. SAFETY: the loop's table owns every
// stream until the loop's deinit; what is listed are copies.

extension RPCLoop {
    /// Lists what is open.
    ///
    /// - Complexity: O(slots), and an entry for at most `limit` of them.
    func inspect(_ question: LoopInspector.Question) -> LoopInspector.Listing {
        switch question.subject {
        case .connections:
            var found: [ConnectionFigures] = []
            for case let open? in self.connections.dropFirst(question.slot) {
                found.append(self.figures(of: open.connection))
                if found.count == question.limit { break }
            }
            return .connections(found)
        case .streams:
            var found: [StreamFigures] = []
            for stream in self.streams.dropFirst(question.slot) {
                stream._withUnsafeGuaranteedRef {
                    if $0.isOpen { found.append(self.figures(of: $0)) }
                }
                if found.count == question.limit { break }
            }
            return .streams(found)
        }
    }

    private func figures(of connection: Connection) -> ConnectionFigures {
        ConnectionFigures(
            slot: Int(connection.slot), generation: connection.generation,
            peer: connection.peerText,
            ageNanoseconds: self.nowNanoseconds - connection.openedNanoseconds,
            streams: connection.streams.count,
            responseBytesWaiting: connection.pendingResponseBytes,
            requestBytesHeld: connection.requests.bytes, outputBytes: connection.output.count,
            isEnding: connection.machine.isEnding)
    }

    private func figures(of stream: RPCStream) -> StreamFigures {
        StreamFigures(
            slot: Int(stream.slot), connectionSlot: Int(stream.token.connectionSlot),
            id: stream.id,
            method: stream.method.map { String(self.methods.methods[$0].path.dropFirst()) } ?? "",
            ageNanoseconds: self.nowNanoseconds - stream.startedNanoseconds,
            deadlineNanoseconds: stream.deadlineNanoseconds == .max
                ? nil
                : max(stream.deadlineNanoseconds, self.nowNanoseconds) - self.nowNanoseconds,
            requestBytes: stream.requestBytes, responseBytes: stream.responseBytes,
            responseBytesWaiting: stream.output.count, requestBytesHeld: stream.held.count,
            hasEnded: stream.machine.hasEnded, trace: stream.trace?.trace)
    }
}
