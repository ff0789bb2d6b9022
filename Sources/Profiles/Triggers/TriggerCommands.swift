import Bytes

/// The payload of a CreateTrigger.
///
/// Layout: `project: UInt32 | requestID: prefixed (empty: none) | TriggerDefinition`. Its result's
/// body is a `TriggerResultBody`.
package struct CreateTriggerCommand {
    package var project: ProjectID
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var definition: TriggerDefinition

    package init(
        project: ProjectID, requestID: UnsafeRawBufferPointer, definition: TriggerDefinition
    ) {
        self.project = project
        self.requestID = requestID
        self.definition = definition
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.appendPrefixed(self.requestID)
        self.definition.write(into: &buffer)
    }

    /// Reads a payload; `nil` if it is not one.
    package init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.project = ProjectID(rawValue: reader.read())
        self.requestID = reader.readPrefixed()
        guard let definition = TriggerDefinition(from: &reader), reader.isAtCleanEnd,
            self.requestID.count <= RequestDeduplication.idBytesMax
        else { return nil }
        self.definition = definition
    }
}

/// The body of the result of a CreateTrigger that was carried out: the trigger as it was made.
///
/// Layout: `id: 2 x UInt64 | createdAt: Int64 µs | TriggerDefinition`.
package struct TriggerResultBody {
    package var trigger: TriggerInfo

    init(_ trigger: TriggerInfo) {
        self.trigger = trigger
    }

    func write(into buffer: inout ByteBuffer) {
        buffer.append(self.trigger.id.high)
        buffer.append(self.trigger.id.low)
        buffer.append(self.trigger.createdAt)
        self.trigger.definition.write(into: &buffer)
    }

    /// Reads a body; `nil` if it is not one.
    ///
    /// - Parameter lsn: Of the result.
    package init?(from reader: inout ByteReader, lsn: UInt64) {
        let id = ProfileID(high: reader.read(), low: reader.read())
        let createdAt = reader.read(Int64.self)
        guard let definition = TriggerDefinition(from: &reader) else { return nil }
        self.trigger = TriggerInfo(
            id: id, definition: definition, createdLSN: lsn, createdAt: createdAt)
    }
}

/// The payload of a DeleteTrigger.
///
/// Layout: `project: UInt32 | requestID: prefixed (empty: none) | trigger: 2 x UInt64`. Its result
/// has no body.
package struct DeleteTriggerCommand {
    package var project: ProjectID
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var trigger: ProfileID

    package init(project: ProjectID, requestID: UnsafeRawBufferPointer, trigger: ProfileID) {
        self.project = project
        self.requestID = requestID
        self.trigger = trigger
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.appendPrefixed(self.requestID)
        buffer.append(self.trigger.high)
        buffer.append(self.trigger.low)
    }

    /// Reads a payload; `nil` if it is not one.
    package init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.project = ProjectID(rawValue: reader.read())
        self.requestID = reader.readPrefixed()
        self.trigger = ProfileID(high: reader.read(), low: reader.read())
        guard reader.isAtCleanEnd, self.requestID.count <= RequestDeduplication.idBytesMax else {
            return nil
        }
    }
}

/// Why a pending firing is settled.
package enum SettlementReason: UInt8, Sendable {
    /// A consumer acknowledged it.
    case acknowledged = 1
    /// The guard did not allow its delivery.
    case guarded = 2
}

/// Settles firings of one trigger: the acknowledgements of a consumer, or what the guard did not
/// allow. One that is settled or unknown is ignored.
///
/// Layout: `project: UInt32 | trigger: UInt64 (createdLSN) | reason: UInt8 | count: UInt16
/// (1 ... 10,000) | lsns of the events: UInt64 each`. Result: `settled: UInt32`.
package struct SettleFiringsCommand {
    package var project: ProjectID
    /// `TriggerInfo.createdLSN`, which the ids of its firings have.
    package var triggerLSN: UInt64
    package var reason: SettlementReason
    package let count: Int
    private let lsns: UnsafeRawBufferPointer

    /// Appends a payload.
    package static func write(
        project: ProjectID, triggerLSN: UInt64, _ reason: SettlementReason, _ lsns: [UInt64],
        into buffer: inout ByteBuffer
    ) {
        precondition(
            1 ... TriggerLimits.settlementsPerRecord ~= lsns.count, "the caller cuts them up")
        buffer.append(project.rawValue)
        buffer.append(triggerLSN)
        buffer.append(reason.rawValue)
        buffer.append(UInt16(lsns.count))
        for lsn in lsns { buffer.append(lsn) }
    }

    /// Reads a payload; `nil` if it is not one.
    init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.project = ProjectID(rawValue: reader.read())
        self.triggerLSN = reader.read()
        let reason = SettlementReason(rawValue: reader.read())
        self.count = Int(reader.read(UInt16.self))
        self.lsns = reader.read(count: self.count * MemoryLayout<UInt64>.size)
        guard reader.isAtCleanEnd, let reason,
            1 ... TriggerLimits.settlementsPerRecord ~= self.count
        else { return nil }
        self.reason = reason
    }

    func forEach(_ body: (UInt64) -> Void) {
        for index in 0 ..< self.count {
            body(self.lsns.integer(at: index * MemoryLayout<UInt64>.size))
        }
    }
}
