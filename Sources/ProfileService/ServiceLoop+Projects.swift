import Bytes
import GRPCTransport
import Messages
import Profiles

// The RPCs about projects.
extension ServiceLoop {
    func getProject(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition) {
        self.withMessage(self.decoder.decodeGetProject(message), of: call) { request in
            guard let project = partition.store.findProject(request.project),
                let options = partition.store.options(of: project)
            else { return self.reject(call.token, .projectNotFound) }
            self.response.removeAll()
            self.decoder.encodeProject(self.view(options, in: partition), into: &self.response)
            self.transport.respond(to: call.token, message: self.response.bytes)
        }
    }

    func listProjects(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition)
    {
        self.withMessage(self.decoder.decodeListProjects(message), of: call) {
            let options =
                partition.store.options(of: partition.store.defaultProject) ?? ProjectOptions()
            self.response.removeAll()
            self.decoder.encodeListProjectsResponse(
                self.view(options, in: partition), into: &self.response)
            self.transport.respond(to: call.token, message: self.response.bytes)
        }
    }

    func updateProject(_ message: UnsafeRawBufferPointer, of call: RPCCall, in partition: Partition)
    {
        let limits = partition.store.genesis.limits
        self.withMessage(self.decoder.decodeUpdateProject(message, limits: limits), of: call) {
            request in
            guard let project = partition.store.findProject(request.project) else {
                return self.reject(call.token, .projectNotFound)
            }
            self.submit(call, project, items: 0, in: partition) { decoder, records in
                decoder.writeUpdateProject(request, project: project, into: &records)
                return Violations()
            }
        }
    }

    /// Appends the answer of an UpdateProject that was carried out.
    func encodeUpdateProject(_ body: inout ByteReader) -> ItemOutcomes {
        guard let partition = self.partition, let options = ProjectOptions(from: &body) else {
            preconditionFailure("a result comes from a partition, and is whole")
        }
        self.decoder.encodeProject(self.view(options, in: partition), into: &self.response)
        return ItemOutcomes()
    }

    private func view(_ options: ProjectOptions, in partition: Partition) -> ProjectView {
        ProjectView(
            name: partition.store.projectName, options: options,
            limits: partition.store.genesis.limits)
    }
}
