import Bytes
import GRPCTransport
import Messages
import Profiles

// The RPCs of projects, and the accounting of items per project.
extension ServiceLoop {
    func createProject(_ request: DecodedCreateProject, _ context: RequestContext) {
        self.submit(.createProject, items: 0, context) {
            CreateProjectCommand(
                requestID: request.requestID, name: request.project, options: request.options
            ).write(into: &$0)
        }
    }

    func updateProject(_ request: DecodedUpdateProject, _ context: RequestContext) {
        self.submit(.updateProject, items: 0, context) {
            ProjectCommand(
                project: context.project, requestID: request.requestID, options: request.options,
                fields: request.fields
            ).write(into: &$0)
        }
    }

    /// The record carries the delay: what a later start is told changes no time that was promised.
    func deleteProject(_ request: DecodedDeleteProject, _ context: RequestContext) {
        self.submit(.deleteProject, items: 0, context) {
            DeleteProjectCommand(
                project: context.project, requestID: request.requestID, isUndo: request.isUndo,
                delay: request.isUndo ? 0 : self.projectDeleteDelay
            ).write(into: &$0)
        }
    }

    func getProject(_ request: DecodedGetProject, _ context: RequestContext) {
        let store = context.partition.store
        // It may have gone since the door.
        guard let project = store.project(context.project) else {
            return self.reject(context.token, .rejected(.projectNotFound))
        }
        self.transport.respond(to: context.token) {
            self.encoder.encodeProject(project, limits: store.genesis.limits, into: &$0)
        }
    }

    /// One page by name. A page is a copy under one lock, but not the listing: what is made or goes
    /// between two pages is or is not on the later one.
    func listProjects(_ request: DecodedListProjects, _ context: RequestContext) {
        let store = context.partition.store
        var name: [UInt8] = []
        if !request.pageToken.isEmpty {
            guard let last = store.verifyProjectPage(request.pageToken) else {
                return self.rejectPageToken(context.token)
            }
            name = last
        }
        var page = store.projects(after: name, limit: request.pageSize + 1)
        var token = ByteBuffer(capacity: 128)
        if page.count > request.pageSize {
            page.removeLast()
            store.appendProjectPageToken(after: page[page.count - 1].name, to: &token)
        }
        self.transport.respond(to: context.token) {
            self.encoder.encodeListProjectsResponse(
                page, limits: store.genesis.limits, nextPageToken: token.bytes, into: &$0)
        }
    }

    func getStats(_ request: DecodedGetStats, _ context: RequestContext) {
        let store = context.partition.store
        // Before the counts: they hold what is up to it, and perhaps more.
        let lsn = store.countedLSN
        guard let held = store.statistics(of: context.project) else {
            return self.reject(context.token, .rejected(.projectNotFound))
        }
        let figures = ProjectFigures(
            held: held, items: store.itemCounts(of: context.project), lsn: lsn,
            keys: store.keys.liveCount(
                of: context.project, now: self.transport.nowWallMicroseconds))
        self.transport.respond(to: context.token) {
            self.encoder.encodeGetStatsResponse(figures, into: &$0)
        }
    }

    // MARK: Responses to writes

    /// Appends the response to a CreateProject or UpdateProject that was carried out.
    func encodeProject(_ body: inout ByteReader, into output: inout ByteBuffer) {
        let (project, limits) = self.project(of: &body)
        self.encoder.encodeProject(project, limits: limits, into: &output)
    }

    /// Appends the response to a DeleteProject that was carried out.
    func encodeDeleteProject(_ body: inout ByteReader, into output: inout ByteBuffer) {
        self.encoder.encodeDeleteProjectResponse(self.project(of: &body).info, into: &output)
    }

    /// The project that a result has, as it was then.
    private func project(of body: inout ByteReader) -> (info: ProjectInfo, limits: StoreLimits) {
        guard let store = self.partition?.store, let result = ProjectResultBody(from: &body) else {
            preconditionFailure("a result comes from a partition, and is whole")
        }
        // One that was kept under rules version 1 has the options only; there was one project.
        var former = ProjectInfo(id: store.defaultProject, name: [UInt8]("default".utf8))
        former.options = result.options
        return (result.project ?? former, store.genesis.limits)
    }

    // MARK: The accounting

    /// Counts what became of the items of some calls of a project.
    @inline(__always)
    func count(_ outcomes: ItemOutcomes, of project: ProjectID) {
        let items = ItemCounts(
            stored: outcomes.stored, duplicate: outcomes.duplicate, stale: outcomes.stale,
            rejected: outcomes.rejected)
        self.partitionReference?._withUnsafeGuaranteedRef { $0.store.count(items, of: project) }
    }

    /// Counts items of a project that were rejected before the log.
    func count(rejected items: Int, of project: ProjectID) {
        guard items > 0 else { return }
        self.partition?.store.count(ItemCounts(rejected: items), of: project)
    }
}
