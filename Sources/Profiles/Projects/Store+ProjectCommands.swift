import Bytes

// The commands that make, change and delete projects. Source: docs/rules.md, section 8.
//
// SAFETY: details are read without the table's lock, which the applier may, since only it changes
// them.

extension Store {
    /// Carries out one CreateProject.
    func createProject(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard let command = CreateProjectCommand(record.payload), record.operations == 1,
            command.requestID.count <= RequestDeduplication.idBytesMax,
            self.limits.allow(command.options)
        else { throw .malformed(lsn: call.firstLSN) }
        let head = CommandHead(
            kind: .createProject, project: ProjectID(rawValue: 0), requestID: command.requestID,
            isOfInstance: true)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        let project: Project
        if let existing = self.projects.find(command.name).flatMap({ self.projects.find($0) }) {
            guard existing.isLive else {
                return self.appendRejection(.projectDeleted, .createProject, call, into: &results)
            }
            // As a response shows them: who sends back what it was shown means no others.
            guard self.limits.inForce(existing.options) == self.limits.inForce(command.options)
            else {
                return self.appendRejection(.projectExists, .createProject, call, into: &results)
            }
            project = existing
        } else {
            guard self.projects.count < Int(self.limits.projectsMax),
                self.projects.nextID < UInt32(ProjectTable.idsMax)
            else {
                return self.appendRejection(
                    .limitExceeded, .createProject, call, detail: self.limits.projectsMax,
                    into: &results)
            }
            var details = ProjectDetails()
            details.options = command.options
            details.createdAt = call.receivedAt
            project = self.projects.insert(command.name, details)
        }
        self.respond(.createProject, project, admitted, call, results: &results)
    }

    /// Carries out one UpdateProject.
    func updateProject(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard let command = ProjectCommand(record.payload), record.operations == 1,
            command.requestID.count <= RequestDeduplication.idBytesMax,
            command.fields != .all || self.limits.allow(command.options)
        else { throw .malformed(lsn: call.firstLSN) }
        let head = CommandHead(
            kind: .updateProject, project: command.project, requestID: command.requestID)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        let options = self.project.options.setting(command.fields, of: command.options)
        // What is set may be right by itself, and wrong beside what is there.
        guard self.limits.allow(options) else {
            return self.appendRejection(.invalidFields, .updateProject, call, into: &results)
        }
        if options != self.project.options {
            let isVisible =
                self.limits.inForce(options) != self.limits.inForce(self.project.options)
            self.change(self.project, call, isVisible: isVisible) { $0.options = options }
            self.refreshNextExpiry()
        }
        self.respond(.updateProject, self.project, admitted, call, results: &results)
    }

    /// Carries out one DeleteProject, or its undo; what is as asked for already stays as it is.
    ///
    /// A deletion can be retried as long as the project has its name: with the response that is
    /// remembered of it, and later with the same due time. An undo is rejected from that time on.
    func deleteProject(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard let command = DeleteProjectCommand(record.payload), record.operations == 1,
            command.requestID.count <= RequestDeduplication.idBytesMax
        else { throw .malformed(lsn: call.firstLSN) }
        let head = CommandHead(
            kind: .deleteProject, project: command.project, requestID: command.requestID,
            whileDeleting: command.isUndo ? .untilDue : .served)
        let equal = RecordView(
            kind: record.kind, operations: 1,
            payload: DeleteProjectCommand.equalPart(of: record.payload))
        guard case .proceed(var admitted) = self.begin(head, equal, call, results: &results)
        else { return }
        // The removal has been at its responses, or is to come there once.
        if self.project.isBeingRemoved { admitted.lookup = nil }
        if command.isUndo == (self.project.record.pointee.details.deleteDue != 0) {
            // A due time is measured by the machine's clock, as every age is, and is never 0.
            self.change(self.project, call) {
                $0.deleteDue = command.isUndo ? 0 : max(call.clock + command.delay, 1)
            }
            self.refreshNextProjectDue()
        }
        self.respond(.deleteProject, self.project, admitted, call, results: &results)
    }

    /// Notes when the project of an empty store was made.
    func noteCreation(of project: Project, _ call: CallContext) {
        var details = project.record.pointee.details
        details.createdAt = call.receivedAt
        self.projects.change(project, to: details)
    }

    private func change(
        _ project: Project, _ call: CallContext, isVisible: Bool = true,
        _ body: (inout ProjectDetails) -> Void
    ) {
        var details = project.record.pointee.details
        body(&details)
        if call.rules.knowsProjects, isVisible { details.revision += 1 }
        self.projects.change(project, to: details)
    }

    /// Appends the result of a command that was carried out: the project as it is now.
    private func respond(
        _ kind: RecordKind, _ project: Project, _ admitted: AdmittedCall, _ call: CallContext,
        results: inout ByteBuffer
    ) {
        let start = ResultHeader(rejection: .none, flags: [], kind: kind, lsn: call.lsn).begin(
            in: &results)
        if call.rules.knowsProjects {
            self.projects.info(project.id)?.writeResult(into: &results)
        } else {
            project.options.write(into: &results)
        }
        ResultHeader.end(at: start, in: &results)
        self.end(admitted, results, from: start, call)
    }
}
