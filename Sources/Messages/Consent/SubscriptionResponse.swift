import Bytes
import Profiles

// The response to an UpdateSubscription, written from its result in one pass. Through protobuf-c
// each entry of the ledger, which is protobuf already, was unpacked into a C message and packed
// again. Results of a BatchWrite still go that way (ConsentEncoder.swift), and
// `SubscriptionResponseTests` holds both to the same bytes.

extension MessageEncoder {
    /// Appends the UpdateSubscriptionResponse of a result that was carried out.
    ///
    /// Budget: no allocation.
    package func encodeUpdateSubscriptionResponse(
        _ header: ResultHeader, body: inout ByteReader, into output: inout ByteBuffer
    ) -> ItemOutcomes {
        let result = Self.readResult(&body)
        let changes = body
        let outcomes = Self.skipChanges(of: result, header, &body)
        // Beside its texts a subscription takes 33 bytes, where the result has 12; a change and its
        // entry take less than twice theirs, and all the rest 94 and an identifier.
        Self.append(128 + 3 * header.totalBytes, to: &output) { writer in
            writer.writeAlways(1, result.profileID)
            writer.write(2) { writer in
                SubscriptionView.forEach(in: &body) { Self.write($0, into: &writer) }
            }
            var reader = changes
            for _ in 0 ..< result.changeCount {
                let change = Self.readChange(&reader)
                writer.write(3) {
                    $0.write(1, UInt64(change.channel.rawValue))
                    $0.write(2, change.topic)
                    $0.write(3, UInt64(change.state.rawValue))
                    $0.write(4, change.applied ? 1 : 0)
                    $0.write(5, change.token)
                }
            }
            writer.write(4, result.revision)
            writer.write(5, header.lsn)
            writer.write(6, header.isReplayed ? 1 : 0)
            if let from = result.redirectedFrom { writer.write(7, textOf: from) }
            reader = changes
            for _ in 0 ..< result.changeCount {
                let change = Self.readChange(&reader)
                Self.writeEntry(
                    8, change.entry, change.previousHash, change.hash, into: &writer)
            }
        }
        return outcomes
    }

    /// The fixed part of a result; its changes and then its subscriptions follow.
    static func readResult(_ body: inout ByteReader) -> SubscriptionResultBody {
        guard let result = SubscriptionResultBody(from: &body) else {
            preconditionFailure("a result of this process is whole")
        }
        return result
    }

    static func readChange(_ body: inout ByteReader) -> SubscriptionResultView {
        guard let change = SubscriptionResultView(from: &body) else {
            preconditionFailure("a result of this process is whole")
        }
        return change
    }

    /// Moves `body` to the subscriptions.
    ///
    /// - Returns: What became of the changes.
    static func skipChanges(
        of result: SubscriptionResultBody, _ header: ResultHeader, _ body: inout ByteReader
    ) -> ItemOutcomes {
        var outcomes = ItemOutcomes()
        for _ in 0 ..< result.changeCount {
            outcomes.count(Self.readChange(&body), isReplay: header.isReplayed)
        }
        return outcomes
    }
}

extension ItemOutcomes {
    /// Counts one change; the changes of a replayed response were kept before.
    mutating func count(_ change: SubscriptionResultView, isReplay: Bool) {
        if isReplay {
            self.duplicate += 1
        } else if change.applied {
            self.stored += 1
        } else {
            self.stale += 1
        }
    }
}
