import Bytes

// What erased people were called by stays blocked for a while, as keyed hashes. A blocked
// identifier names nobody, so it is looked for only where nobody is found; a loop looks first, so
// that its bytes do not enter the log again.

extension Store {
    /// Until when an identifier is blocked, in microseconds; `nil`: it is not. Any thread.
    ///
    /// What a loop sees may be behind the log: `apply` looks again. A profile id is never blocked:
    /// it is never given to another profile.
    ///
    /// - Parameter now: In microseconds since 1970.
    package func blockedUntil(_ project: ProjectID, _ identifier: IdentifierView, now: Int64)
        -> Int64?
    {
        guard self.hasBlocks, identifier.kind != .profileID, identifier.bytes.count > 0 else {
            return nil
        }
        return self.blocks.blockedUntil(self.hash.identifierHash(project, identifier), now: now)
    }

    /// Until when an identifier that a record names is blocked, in microseconds; `nil`: none is.
    /// Any thread.
    ///
    /// Batches are not examined here: each item gets its own outcome from `apply`.
    package func blockedUntil(_ record: RecordView, now: Int64) -> Int64? {
        guard self.hasBlocks else { return nil }
        var reader = ByteReader(record.payload)
        switch RecordKind(rawValue: record.kind) {
        case .track:
            return TrackHeader(from: &reader).flatMap {
                self.blockedUntil($0.project, $0.identifier, now: now)
            }
        case .identify:
            guard let header = IdentifyHeader(from: &reader) else { return nil }
            let device = IdentifierView(kind: .installationID, bytes: header.installationID)
            let person = IdentifierView(kind: .customID, bytes: header.customID)
            return self.blockedUntil(header.project, device, now: now)
                ?? self.blockedUntil(header.project, person, now: now)
        case .updateSubscription:
            return SubscriptionHeader(from: &reader).flatMap {
                self.blockedUntil($0.project, $0.identifier, now: now)
            }
        default: return nil
        }
    }

    /// Blocks an identifier from now on, once; over the limit the oldest ones can be used again.
    func block(_ project: ProjectID, _ identifier: IdentifierView, _ call: CallContext) {
        let block = BlockList.Block(
            identifier: self.hash.identifierHash(project, identifier), erasedAt: call.receivedAt)
        // Several profiles of one person can list the same former device.
        guard
            self.blocks.blockedUntil(block.identifier, now: call.receivedAt)
                != self.blocks.end(of: block)
        else { return }
        self.blocks.append(block)
        while UInt64(self.blocks.count) > self.limits.blocksPerProject { self.forgetOldestBlock() }
        self.publishBlocks()
    }

    /// Forgets some of the blocks that have ended.
    func forgetBlocks(now: Int64) {
        var left = BlockList.perTick
        while left > 0, let due = self.blocks.nextDue, due <= now {
            self.forgetOldestBlock()
            left -= 1
        }
        self.publishBlocks()
    }

    private func forgetOldestBlock() {
        self.willForgetOldestBlock()
        self.blocks.dropOldest()
    }

    /// Notes a call that was rejected because it is about somebody erased: with it something of
    /// theirs is in the log again.
    func noteErasedInLog(_ call: CallContext) {
        self.state.pointee.lastEraseLSN = call.lsn
        self.publishLastErase()
    }
}
