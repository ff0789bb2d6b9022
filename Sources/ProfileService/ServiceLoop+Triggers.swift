import Bytes
import GRPCTransport
import Messages
import Profiles

// CreateTrigger, ListTriggers and DeleteTrigger.
extension ServiceLoop {
    func createTrigger(_ request: DecodedCreateTrigger, _ context: RequestContext) {
        self.submit(.createTrigger, items: 0, context) {
            CreateTriggerCommand(
                project: context.project, requestID: request.requestID,
                definition: request.definition
            ).write(into: &$0)
        }
    }

    func listTriggers(_ request: DecodedListTriggers, _ context: RequestContext) {
        let triggers = context.partition.store.triggers.list(of: context.project)
        self.transport.respond(to: context.token) {
            self.encoder.encodeListTriggersResponse(triggers, into: &$0)
        }
    }

    func deleteTrigger(_ request: DecodedDeleteTrigger, _ context: RequestContext) {
        guard let trigger = request.trigger else {
            return self.reject(context.token, .rejected(.triggerNotFound))
        }
        self.submit(.deleteTrigger, items: 0, context) {
            DeleteTriggerCommand(
                project: context.project, requestID: request.requestID, trigger: trigger
            ).write(into: &$0)
        }
    }
}
