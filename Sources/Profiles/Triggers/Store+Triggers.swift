import Bytes

// The commands of triggers. Source: docs/rules.md, section 10.
//
// SAFETY: what a command borrows lies in its record, which lives until `apply` returns.

extension Store {
    /// Carries out one CreateTrigger.
    ///
    /// The names that the trigger looks for become names of the project, so that an event finds it
    /// by a number.
    func createTrigger(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard let command = CreateTriggerCommand(record.payload), record.operations == 1 else {
            throw .malformed(lsn: call.firstLSN)
        }
        let head = CommandHead(
            kind: .createTrigger, project: command.project, requestID: command.requestID)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        guard
            self.project.record.pointee.triggers?.liveCount ?? 0
                < TriggerLimits.triggersPerProject
        else {
            return self.appendRejection(
                .limitExceeded, .createTrigger, call,
                detail: UInt64(TriggerLimits.triggersPerProject), into: &results)
        }
        let namesBefore = self.project.names.count
        guard self.addNames(of: command.definition) else {
            self.project.names.truncate(to: namesBefore)
            return self.appendRejection(
                .limitExceeded, .createTrigger, call, index: Self.namesExhausted,
                detail: self.limits.namesPerProject, into: &results)
        }
        let id = self.ids.trigger(receivedAt: call.receivedAt, lsn: call.lsn)
        guard
            let trigger = Trigger(
                command.definition, self.project, id: id, createdLSN: call.lsn,
                createdAt: call.receivedAt)
        else {
            self.project.names.truncate(to: namesBefore)
            throw .malformed(lsn: call.firstLSN)
        }
        self.triggers.add(trigger, to: self.project)
        let start = ResultHeader(rejection: .none, flags: [], kind: .createTrigger, lsn: call.lsn)
            .begin(in: &results)
        TriggerResultBody(trigger.info).write(into: &results)
        ResultHeader.end(at: start, in: &results)
        self.end(admitted, results, from: start, call)
    }

    /// The index of a rejection because of the project's names, and not of its triggers.
    package static let namesExhausted: UInt8 = 1

    private func addNames(of definition: TriggerDefinition) -> Bool {
        for name in [definition.eventName, definition.unlessEventName] where !name.isEmpty {
            let isThere = name.withUnsafeBytes { name -> Bool in
                guard self.project.names.find(name) == nil else { return true }
                guard self.project.names.count < Int(self.limits.namesPerProject) else {
                    return false
                }
                _ = self.project.names.add(name)
                return true
            }
            guard isThere else { return false }
        }
        return true
    }

    /// Carries out one DeleteTrigger.
    func deleteTrigger(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard let command = DeleteTriggerCommand(record.payload), record.operations == 1 else {
            throw .malformed(lsn: call.firstLSN)
        }
        let head = CommandHead(
            kind: .deleteTrigger, project: command.project, requestID: command.requestID)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        guard let triggers = self.project.record.pointee.triggers,
            let trigger = triggers.find(command.trigger)
        else {
            return self.appendRejection(.triggerNotFound, .deleteTrigger, call, into: &results)
        }
        self.triggers.delete(trigger, triggers)
        let start = ResultHeader(rejection: .none, flags: [], kind: .deleteTrigger, lsn: call.lsn)
            .begin(in: &results)
        ResultHeader.end(at: start, in: &results)
        self.end(admitted, results, from: start, call)
    }

    /// Carries out one settlement of firings.
    func settleFirings(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard let command = SettleFiringsCommand(record.payload), record.operations == 1 else {
            throw .malformed(lsn: call.firstLSN)
        }
        let head = CommandHead(
            kind: .settleFirings, project: command.project, requestID: .none)
        guard case .proceed = self.begin(head, record, call, results: &results) else { return }
        guard let triggers = self.project.record.pointee.triggers,
            let trigger = triggers.find(createdLSN: command.triggerLSN), !trigger.isDeleted
        else {
            return self.appendRejection(.triggerNotFound, .settleFirings, call, into: &results)
        }
        var settled: UInt32 = 0
        command.forEach { lsn in
            if self.triggers.settle(trigger, eventLSN: lsn, command.reason, triggers) {
                settled += 1
            }
        }
        let start = ResultHeader(rejection: .none, flags: [], kind: .settleFirings, lsn: call.lsn)
            .begin(in: &results)
        results.append(settled)
        ResultHeader.end(at: start, in: &results)
    }
}
