import CMessages
import CProtobufC

/// The request of an RPC, by its name in the contract.
package struct RequestMessage: Sendable, Equatable {
    /// Such as `profiles.v1.TrackRequest`.
    package let name: String

    fileprivate init<Message>(_ root: WireRoot<Message>) { self.name = root.name }

    /// A request that is not decoded yet, and so has no schema for the wire check.
    fileprivate init(unbuilt name: String) { self.name = "profiles.v1.\(name)Request" }

    fileprivate init(name: String) { self.name = name }
}

// One for each RPC of the contract; those of RPCs that are built name the schema of their check.
extension RequestMessage {
    private static var schema: WireSchema { .shared }

    package static let identify = Self(schema.identifyRequest)
    package static let track = Self(schema.trackRequest)
    package static let getProfile = Self(schema.getProfileRequest)
    package static let batchGetProfiles = Self(schema.batchGetProfilesRequest)
    package static let listEvents = Self(schema.listEventsRequest)
    package static let lookupProfiles = Self(schema.lookupProfilesRequest)
    package static let countProfiles = Self(unbuilt: "CountProfiles")
    package static let listProfiles = Self(unbuilt: "ListProfiles")
    package static let updateSubscription = Self(schema.updateSubscriptionRequest)
    package static let confirmSubscription = Self(schema.confirmSubscriptionRequest)
    package static let addSuppression = Self(schema.addSuppressionRequest)
    package static let removeSuppression = Self(schema.removeSuppressionRequest)
    package static let checkSendable = Self(schema.checkSendableRequest)
    package static let createUnsubscribeToken = Self(schema.createUnsubscribeTokenRequest)
    package static let redeemUnsubscribeToken = Self(schema.redeemUnsubscribeTokenRequest)
    package static let listConsentHistory = Self(schema.listConsentHistoryRequest)
    package static let verifyConsentLedger = Self(schema.verifyConsentLedgerRequest)
    package static let batchWrite = Self(schema.batchWriteRequest)
    package static let importProfiles = Self(unbuilt: "ImportProfiles")
    package static let eraseProfile = Self(schema.eraseProfileRequest)
    package static let exportProfile = Self(unbuilt: "ExportProfile")
    package static let exportProject = Self(unbuilt: "ExportProject")
    package static let detachInstallation = Self(unbuilt: "DetachInstallation")
    package static let watch = Self(unbuilt: "Watch")
    package static let createTrigger = Self(unbuilt: "CreateTrigger")
    package static let listTriggers = Self(unbuilt: "ListTriggers")
    package static let deleteTrigger = Self(unbuilt: "DeleteTrigger")
    package static let watchTriggers = Self(unbuilt: "WatchTriggers")
    package static let mergeProfiles = Self(unbuilt: "MergeProfiles")
    package static let unmergeProfile = Self(unbuilt: "UnmergeProfile")
    package static let createProject = Self(unbuilt: "CreateProject")
    package static let getProject = Self(schema.getProjectRequest)
    package static let listProjects = Self(schema.listProjectsRequest)
    package static let updateProject = Self(schema.updateProjectRequest)
    package static let deleteProject = Self(unbuilt: "DeleteProject")
    package static let createKey = Self(unbuilt: "CreateKey")
    package static let revokeKey = Self(unbuilt: "RevokeKey")
    package static let listKeys = Self(unbuilt: "ListKeys")
    package static let getStats = Self(unbuilt: "GetStats")
    package static let createSnapshot = Self(schema.createSnapshotRequest)
    package static let backup = Self(schema.backupRequest)
    package static let healthCheck = Self(name: "grpc.health.v1.HealthCheckRequest")

    /// v1 and v1alpha have the same messages.
    package static func reflection(_ version: String) -> Self {
        Self(name: "grpc.reflection.\(version).ServerReflectionRequest")
    }
}
