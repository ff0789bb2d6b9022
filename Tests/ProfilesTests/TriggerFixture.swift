import Bytes

@testable import Profiles

/// A pending firing, taken apart.
struct FiringSeen: Equatable {
    var lsn: UInt64
    var profile: ProfileID
    var dueAt: Int64 = 0
}

extension TriggerDefinition {
    /// A trigger on one name, with changes.
    static func on(_ name: String, _ change: (inout TriggerDefinition) -> Void = { _ in })
        -> TriggerDefinition
    {
        var definition = TriggerDefinition(eventName: Array(name.utf8))
        change(&definition)
        return definition
    }
}

extension TrackFixture {
    private func header(_ bytes: [UInt8]) throws -> ResultHeader {
        let header = bytes.withUnsafeBytes { bytes -> ResultHeader? in
            var reader = ByteReader(bytes)
            return ResultHeader(from: &reader)
        }
        guard let header else { throw ApplyError.malformed(lsn: 0) }
        return header
    }

    static func createTriggerRecord(_ definition: TriggerDefinition, requestID: String = "")
        -> [UInt8]
    {
        var buffer = ByteBuffer()
        let start = beginRecord(.createTrigger, in: &buffer)
        withBytes(requestID) {
            CreateTriggerCommand(
                project: ProjectID(rawValue: 1), requestID: $0, definition: definition
            ).write(into: &buffer)
        }
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }

    /// Applies a CreateTrigger; the trigger is `nil` if it was rejected.
    func createTrigger(_ definition: TriggerDefinition, requestID: String = "") throws -> (
        header: ResultHeader, trigger: TriggerInfo?
    ) {
        let bytes = try self.apply(Self.createTriggerRecord(definition, requestID: requestID))
        let header = try self.header(bytes)
        let trigger = bytes.withUnsafeBytes { bytes -> TriggerInfo? in
            var reader = ByteReader(bytes)
            _ = ResultHeader(from: &reader)
            return TriggerResultBody(from: &reader, lsn: header.lsn)?.trigger
        }
        return (header, header.rejection == .none ? trigger : nil)
    }

    /// A trigger that is made without a rejection.
    func trigger(
        on name: String = "visit", _ change: (inout TriggerDefinition) -> Void = { _ in }
    ) throws -> TriggerInfo {
        let made = try self.createTrigger(.on(name, change))
        guard let trigger = made.trigger else { throw ApplyError.malformed(lsn: made.header.lsn) }
        return trigger
    }

    @discardableResult
    func deleteTrigger(_ id: ProfileID, requestID: String = "") throws -> ResultHeader {
        var buffer = ByteBuffer()
        let start = beginRecord(.deleteTrigger, in: &buffer)
        withBytes(requestID) {
            DeleteTriggerCommand(project: ProjectID(rawValue: 1), requestID: $0, trigger: id)
                .write(into: &buffer)
        }
        endRecord(at: start, operations: 1, in: &buffer)
        return try self.header(try self.apply(Array(buffer.bytes)))
    }

    /// Settles firings by the lsns of their events, and returns how many; `nil`: rejected.
    @discardableResult
    func settle(
        _ trigger: TriggerInfo, _ lsns: [UInt64], _ reason: SettlementReason = .acknowledged
    ) throws -> Int? {
        var buffer = ByteBuffer()
        let start = beginRecord(.settleFirings, in: &buffer)
        SettleFiringsCommand.write(
            project: ProjectID(rawValue: 1), triggerLSN: trigger.createdLSN, reason, lsns,
            into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        let bytes = try self.apply(Array(buffer.bytes))
        guard try self.header(bytes).rejection == .none else { return nil }
        return bytes.withUnsafeBytes { Int($0.integer(at: ResultHeader.bytes, UInt32.self)) }
    }

    /// The pending firings of a trigger; `nil`: there is no such trigger.
    func pending(
        _ trigger: TriggerInfo, after lsn: UInt64 = 0, limit: Int = .max, project: UInt32? = nil
    ) -> [FiringSeen]? {
        var seen: [FiringSeen] = []
        let exists = self.store.triggers.forEachPending(
            of: trigger.id, in: ProjectID(rawValue: project ?? self.project), after: lsn,
            limit: limit
        ) {
            seen.append(
                FiringSeen(lsn: $0.eventLSN, profile: $0.profileID, dueAt: $0.dueAt))
        }
        return exists ? seen : nil
    }

    func pendingLSNs(_ trigger: TriggerInfo) -> [UInt64] {
        self.pending(trigger)?.map(\.lsn) ?? []
    }

    func info(_ trigger: TriggerInfo) -> TriggerInfo? {
        self.store.triggers.info(of: trigger.id, in: ProjectID(rawValue: self.project))
    }

    /// What `list` shows of a store.
    static func triggers(of store: Store) -> [TriggerInfo] {
        store.triggers.list(of: ProjectID(rawValue: 1)).map {
            // How often a reader was told is of the process.
            var info = $0
            info.pendingVersion = 0
            return info
        }
    }

    /// Ticks until nothing is due at `now`.
    func tickAll() throws {
        while self.store.triggers.nextDue <= self.now { try self.tick() }
    }

    /// A device becomes known as a person.
    func identify(_ device: String, as person: String) throws {
        try self.apply(IdentifySpec(device: device, person: person).record)
    }
}
