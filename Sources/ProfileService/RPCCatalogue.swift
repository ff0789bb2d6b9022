import GRPCTransport

/// One RPC of the contract and whether this release carries it out.
package struct CataloguedRPC: Sendable {
    package var descriptor: RPCMethodDescriptor
    package var operation: RPCOperation

    init(reflection version: String) {
        self.descriptor = RPCMethodDescriptor(
            path: "/grpc.reflection.\(version).ServerReflection/ServerReflectionInfo",
            streamsRequests: true,
            streamsResponses: true)
        self.operation = .reflection
    }

    init(
        _ service: String, _ name: String, _ operation: RPCOperation, requests: Bool = false,
        responses: Bool = false
    ) {
        self.descriptor = RPCMethodDescriptor(
            path: "/profiles.v1.\(service)/\(name)", streamsRequests: requests,
            streamsResponses: responses)
        self.operation = operation
    }
}

/// What a method does; `.unbuilt` answers `UNIMPLEMENTED`.
package enum RPCOperation: Sendable {
    case batchWrite
    case identify
    case track
    case trackStream
    case getProfile
    case batchGetProfiles
    case listEvents
    case lookupProfiles
    case updateSubscription
    case confirmSubscription
    case addSuppression
    case removeSuppression
    case checkSendable
    case createUnsubscribeToken
    case redeemUnsubscribeToken
    case listConsentHistory
    case verifyConsentLedger
    case reflection
    case getProject
    case listProjects
    case updateProject
    case createSnapshot
    case backup
    case eraseProfile
    case unbuilt
}

/// Every RPC of the contract, in its order; a method's number is its index here.
///
/// Source: Protos/profiles/v1/profiles.proto and admin.proto.
package enum RPCCatalogue {
    package static let all: [CataloguedRPC] = [
        CataloguedRPC("Profiles", "Identify", .identify),
        CataloguedRPC("Profiles", "Track", .track),
        CataloguedRPC("Profiles", "TrackStream", .trackStream, requests: true, responses: true),
        CataloguedRPC("Profiles", "GetProfile", .getProfile),
        CataloguedRPC("Profiles", "BatchGetProfiles", .batchGetProfiles),
        CataloguedRPC("Profiles", "ListEvents", .listEvents),
        CataloguedRPC("Profiles", "LookupProfiles", .lookupProfiles),
        CataloguedRPC("Profiles", "CountProfiles", .unbuilt),
        CataloguedRPC("Profiles", "ListProfiles", .unbuilt),
        CataloguedRPC("Profiles", "UpdateSubscription", .updateSubscription),
        CataloguedRPC("Profiles", "ConfirmSubscription", .confirmSubscription),
        CataloguedRPC("Profiles", "AddSuppression", .addSuppression),
        CataloguedRPC("Profiles", "RemoveSuppression", .removeSuppression),
        CataloguedRPC("Profiles", "CheckSendable", .checkSendable),
        CataloguedRPC("Profiles", "CreateUnsubscribeToken", .createUnsubscribeToken),
        CataloguedRPC("Profiles", "RedeemUnsubscribeToken", .redeemUnsubscribeToken),
        CataloguedRPC("Profiles", "ListConsentHistory", .listConsentHistory),
        CataloguedRPC("Profiles", "VerifyConsentLedger", .verifyConsentLedger),
        CataloguedRPC("Profiles", "BatchWrite", .batchWrite),
        CataloguedRPC("Profiles", "ImportProfiles", .unbuilt, requests: true, responses: true),
        CataloguedRPC("Profiles", "EraseProfile", .eraseProfile),
        CataloguedRPC("Profiles", "ExportProfile", .unbuilt, responses: true),
        CataloguedRPC("Profiles", "ExportProject", .unbuilt, responses: true),
        CataloguedRPC("Profiles", "DetachInstallation", .unbuilt),
        CataloguedRPC("Profiles", "Watch", .unbuilt, responses: true),
        CataloguedRPC("Profiles", "CreateTrigger", .unbuilt),
        CataloguedRPC("Profiles", "ListTriggers", .unbuilt),
        CataloguedRPC("Profiles", "DeleteTrigger", .unbuilt),
        CataloguedRPC("Profiles", "WatchTriggers", .unbuilt, requests: true, responses: true),
        CataloguedRPC("Profiles", "MergeProfiles", .unbuilt),
        CataloguedRPC("Profiles", "UnmergeProfile", .unbuilt),
        CataloguedRPC("Admin", "CreateProject", .unbuilt),
        CataloguedRPC("Admin", "GetProject", .getProject),
        CataloguedRPC("Admin", "ListProjects", .listProjects),
        CataloguedRPC("Admin", "UpdateProject", .updateProject),
        CataloguedRPC("Admin", "DeleteProject", .unbuilt),
        CataloguedRPC("Admin", "CreateKey", .unbuilt),
        CataloguedRPC("Admin", "RevokeKey", .unbuilt),
        CataloguedRPC("Admin", "ListKeys", .unbuilt),
        CataloguedRPC("Admin", "GetStats", .unbuilt),
        CataloguedRPC("Admin", "CreateSnapshot", .createSnapshot),
        CataloguedRPC("Admin", "Backup", .backup, responses: true),
        // Last, so that leaving them out moves no number.
        CataloguedRPC(reflection: "v1"),
        CataloguedRPC(reflection: "v1alpha"),
    ]

    /// The methods as the transport takes them.
    ///
    /// - Parameter reflection: Whether server reflection is among them (decision 0306).
    package static func descriptors(reflection: Bool) -> [RPCMethodDescriptor] {
        self.all.filter { reflection || $0.operation != .reflection }.map(\.descriptor)
    }
}
