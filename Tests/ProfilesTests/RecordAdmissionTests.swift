import Bytes
import Profiles
import Testing

/// What a store over its memory limit takes all the same.
@Suite struct RecordAdmissionTests {
    private static var none: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }
    private static let project = ProjectID(rawValue: 1)

    private static func writeSubscription(
        _ states: [SubscriptionState], into buffer: inout ByteBuffer
    ) {
        SubscriptionHeader(
            project: Self.project, source: .user, changeCount: states.count,
            identifier: IdentifierView(kind: .customID, bytes: Self.none), requestID: Self.none,
            occurredAt: 1, sentAt: 2,
            expectedRevision: 3, evidence: nil
        ).write(into: &buffer)
        for state in states {
            SubscriptionChangeView(channel: .email, topic: Self.none, state: state).write(
                into: &buffer)
        }
    }

    private static func writeIdentify(_ flags: IdentifyFlags, into buffer: inout ByteBuffer) {
        IdentifyHeader(
            project: Self.project, flags: flags, platform: 0, installationID: Self.none,
            customID: Self.none, requestID: Self.none,
            sourceName: Self.none, occurredAt: 0, sentAt: 0, expectedRevision: 0
        ).write(into: &buffer)
        buffer.appendVarint(0)
    }

    private static func isTaken(_ kind: RecordKind, _ write: (inout ByteBuffer) -> Void) throws
        -> Bool
    {
        var buffer = ByteBuffer()
        let start = beginRecord(kind, in: &buffer)
        write(&buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        return try #require(RecordView(buffer.bytes)).isTakenOverMemoryLimit
    }

    /// A stolen key can be revoked, but none is made.
    @Test func revocationOfAKeyIsTakenAndANewKeyIsNot() throws {
        let revoke = try Self.isTaken(.revokeKey) {
            RevokeKeyCommand(
                project: Self.project, requestID: Self.none, name: KeyName(bits: (1, 2))
            ).write(into: &$0)
        }
        #expect(revoke)
        #expect(try !Self.isTaken(.createKey) { $0.append(UInt32(1)) })
    }

    @Test(arguments: [
        ([SubscriptionState.unsubscribed], true), ([.unsubscribed, .unsubscribed], true),
        ([.subscribed], false),
        ([.unsubscribed, .subscribed], false), ([.unset], false), ([], false),
    ])
    func onlyPureOptOutsAreTaken(states: [SubscriptionState], isTaken: Bool) throws {
        #expect(
            try Self.isTaken(.updateSubscription) { Self.writeSubscription(states, into: &$0) }
                == isTaken)
    }

    @Test func logOutIsTakenAndALoginIsNot() throws {
        #expect(try Self.isTaken(.identify) { Self.writeIdentify(.loggedOut, into: &$0) })
        #expect(try !Self.isTaken(.identify) { Self.writeIdentify([], into: &$0) })
    }

    @Test(arguments: [
        (RecordKind.redeemUnsubscribe, true), (.addSuppression, true), (.updateProject, true),
        (.deleteProject, true), (.createProject, false), (.erase, true), (.track, false),
        (.confirmSubscription, false), (.removeSuppression, false), (.detach, true),
        (.merge, false), (.unmerge, false),
    ])
    func kindDecidesOfTheOthers(kind: RecordKind, isTaken: Bool) throws {
        #expect(try Self.isTaken(kind) { _ in } == isTaken)
    }

    @Test(arguments: [
        ([true], true), ([true, true], true), ([true, false], false), ([false], false),
    ])
    func batchIsTakenWhenEveryItemIs(optOuts: [Bool], isTaken: Bool) throws {
        let result = try Self.isTaken(.batch) { buffer in
            BatchHeader(
                project: Self.project, flags: [], requestID: Self.none, itemCount: optOuts.count
            ).write(into: &buffer)
            for isOptOut in optOuts {
                let start = beginBatchItem(.updateSubscription, in: &buffer)
                Self.writeSubscription([isOptOut ? .unsubscribed : .subscribed], into: &buffer)
                endBatchItem(at: start, operations: 1, in: &buffer)
            }
        }
        #expect(result == isTaken)
    }
}
