import GRPCTransport
import Messages

/// Every RPC that is served or part of the contract, one row each; a method's number is its index.
///
/// Dispatch, `UNIMPLEMENTED`, the names of metrics, reflection and the table of the README follow
/// from it. Tests compare it with the descriptor set of the contract and with the README.
///
/// Source: Protos/profiles/v1/profiles.proto and admin.proto, in their order.
package enum RPCTable {
    /// Reflection is last, so that leaving it out moves no number.
    package static let all: [RPCDefinition] =
        Self.profiles + Self.admin + Self.health + Self.reflection

    /// The rows that a server serves.
    ///
    /// - Parameter reflection: Whether server reflection is among them (decision 0306).
    package static func served(reflection: Bool) -> [RPCDefinition] {
        self.all.filter { reflection || $0.kind != .reflection }
    }

    /// Full names of the services in the table, in its order.
    static let services: [String] = {
        var names: [String] = []
        for row in Self.all where names.last != row.service { names.append(row.service) }
        return names
    }()

    private static let profilesService = "profiles.v1.Profiles"
    private static let adminService = "profiles.v1.Admin"

    // MARK: profiles.v1.Profiles

    private static let profiles: [RPCDefinition] = [
        RPCDefinition(
            profilesService, "Identify", .write, needs: .write, takes: .identify,
            .unary { $0.write($1, of: $2) { $0.decoder.decodeIdentify($1) } }),
        RPCDefinition(
            profilesService, "Track", .write, needs: .write, takes: .track,
            .unary { $0.write($1, of: $2) { $0.decodeTrack($1) } }),
        RPCDefinition(
            profilesService, "TrackStream", .write, needs: .write, takes: .track,
            .stream(.bidirectional) { TrackStreamCall($0, $1.token) }),
        RPCDefinition(
            profilesService, "GetProfile", .read, needs: .read, takes: .getProfile,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeGetProfile($1) }) {
                    $0.getProfile($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "BatchGetProfiles", .read, needs: .read, takes: .batchGetProfiles,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeBatchGetProfiles($1) }) {
                    $0.batchGetProfiles($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "ListEvents", .read, needs: .read, takes: .listEvents,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeListEvents($1) }) {
                    $0.listEvents($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "LookupProfiles", .read, needs: .read, takes: .lookupProfiles,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeLookupProfiles($1) }) {
                    $0.lookupProfiles($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "CountProfiles", .read, needs: .read, takes: .countProfiles,
            .unary { loop, message, call in
                loop.withRequest(
                    message, of: call, decode: { $0.decoder.decodeCountProfiles($1) }
                ) {
                    $0.countProfiles($1, $2, deadlineNanoseconds: call.deadlineNanoseconds)
                }
            }),
        RPCDefinition(
            profilesService, "ListProfiles", .read, needs: .read, takes: .listProfiles,
            .unary { loop, message, call in
                loop.withRequest(
                    message, of: call, decode: { $0.decoder.decodeListProfiles($1) }
                ) {
                    $0.listProfiles($1, $2, deadlineNanoseconds: call.deadlineNanoseconds)
                }
            }),
        RPCDefinition(
            profilesService, "UpdateSubscription", .write, needs: .write,
            takes: .updateSubscription,
            .unary { $0.write($1, of: $2) { $0.decoder.decodeUpdateSubscription($1) } }),
        RPCDefinition(
            profilesService, "ConfirmSubscription", .write, needs: .write,
            takes: .confirmSubscription,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeConfirmSubscription($1) }) {
                    $0.redeem($1, .confirmation, as: .confirmSubscription, $2)
                }
            }),
        RPCDefinition(
            profilesService, "AddSuppression", .write, needs: .write, takes: .addSuppression,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeAddSuppression($1) }) {
                    $0.suppress($1, as: .addSuppression, $2)
                }
            }),
        RPCDefinition(
            profilesService, "RemoveSuppression", .write, needs: .write, takes: .removeSuppression,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeRemoveSuppression($1) }) {
                    $0.suppress($1, as: .removeSuppression, $2)
                }
            }),
        RPCDefinition(
            profilesService, "CheckSendable", .read, needs: .read, takes: .checkSendable,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeCheckSendable($1) }) {
                    $0.checkSendable($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "CreateUnsubscribeToken", .read, needs: .read,
            takes: .createUnsubscribeToken,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeCreateUnsubscribeToken($1) })
                {
                    $0.createUnsubscribeToken($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "RedeemUnsubscribeToken", .write, needs: .write,
            takes: .redeemUnsubscribeToken,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeRedeemUnsubscribeToken($1) })
                {
                    $0.redeem($1, .unsubscribe, as: .redeemUnsubscribe, $2)
                }
            }),
        RPCDefinition(
            profilesService, "ListConsentHistory", .read, needs: .read, takes: .listConsentHistory,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeListConsentHistory($1) }) {
                    $0.listConsentHistory($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "VerifyConsentLedger", .read, needs: .read,
            takes: .verifyConsentLedger,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeVerifyConsentLedger($1) }) {
                    $0.verifyConsentLedger($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "BatchWrite", .write, needs: .write, takes: .batchWrite,
            .unary { $0.write($1, of: $2) { $0.decodeBatch($1) } }),
        RPCDefinition(
            profilesService, "ImportProfiles", .write, needs: .write, takes: .importProfiles,
            .stream(.bidirectional) { ImportCall($0, $1.token) }),
        RPCDefinition(
            profilesService, "EraseProfile", .write, needs: .erase, takes: .eraseProfile,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeErase($1) }) {
                    $0.eraseProfile($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "ExportProfile", .read, needs: .read, takes: .exportProfile,
            .stream(.responseStream) { $0.export($1.token, .profile) }),
        RPCDefinition(
            profilesService, "ExportProject", .read, needs: .export, takes: .exportProject,
            .stream(.responseStream) { $0.export($1.token, .project) }),
        RPCDefinition(
            profilesService, "DetachInstallation", .write, needs: .write,
            takes: .detachInstallation,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeDetach($1) }) {
                    $0.detachInstallation($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "Watch", .read, needs: .read, takes: .watch,
            .stream(.responseStream) { $0.watch($1.token) }),
        RPCDefinition(
            profilesService, "CreateTrigger", .write, needs: .admin, takes: .createTrigger,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeCreateTrigger($1) }) {
                    $0.createTrigger($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "ListTriggers", .read, needs: .read, takes: .listTriggers,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeListTriggers($1) }) {
                    $0.listTriggers($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "DeleteTrigger", .write, needs: .admin, takes: .deleteTrigger,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeDeleteTrigger($1) }) {
                    $0.deleteTrigger($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "WatchTriggers", .read, needs: .admin, takes: .watchTriggers,
            .stream(.bidirectional) { $0.watchTriggers($1.token) }),
        RPCDefinition(
            profilesService, "MergeProfiles", .write, needs: .write, takes: .mergeProfiles,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeMerge($1) }) {
                    $0.mergeProfiles($1, $2)
                }
            }),
        RPCDefinition(
            profilesService, "UnmergeProfile", .write, needs: .write, takes: .unmergeProfile,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeUnmerge($1) }) {
                    $0.unmergeProfile($1, $2)
                }
            }),
    ]

    // MARK: profiles.v1.Admin

    private static let admin: [RPCDefinition] = [
        RPCDefinition(
            adminService, "CreateProject", .admin, needs: .operatorOnly, takes: .createProject,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decodeCreateProject($1) }) {
                    $0.createProject($1, $2)
                }
            }),
        RPCDefinition(
            adminService, "GetProject", .admin, needs: .admin, takes: .getProject,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeGetProject($1) }) {
                    $0.getProject($1, $2)
                }
            }),
        RPCDefinition(
            adminService, "ListProjects", .admin, needs: .operatorOnly, takes: .listProjects,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeListProjects($1) }) {
                    $0.listProjects($1, $2)
                }
            }),
        RPCDefinition(
            adminService, "UpdateProject", .admin, needs: .admin, takes: .updateProject,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decodeUpdateProject($1) }) {
                    $0.updateProject($1, $2)
                }
            }),
        RPCDefinition(
            adminService, "DeleteProject", .admin, needs: .operatorOnly, takes: .deleteProject,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeDeleteProject($1) }) {
                    $0.deleteProject($1, $2)
                }
            }),
        RPCDefinition(
            adminService, "CreateKey", .admin, needs: .admin, takes: .createKey,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decodeCreateKey($1) }) {
                    $0.createKey($1, $2)
                }
            }),
        RPCDefinition(
            adminService, "RevokeKey", .admin, needs: .admin, takes: .revokeKey,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeRevokeKey($1) }) {
                    $0.revokeKey($1, $2)
                }
            }),
        RPCDefinition(
            adminService, "ListKeys", .admin, needs: .admin, takes: .listKeys,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeListKeys($1) }) {
                    $0.listKeys($1, $2)
                }
            }),
        RPCDefinition(
            adminService, "GetStats", .admin, needs: .admin, takes: .getStats,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeGetStats($1) }) {
                    $0.getStats($1, $2)
                }
            }),
        RPCDefinition(
            adminService, "CreateSnapshot", .admin, needs: .operatorOnly, takes: .createSnapshot,
            .unary {
                $0.withRequest($1, of: $2, decode: { $0.decoder.decodeCreateSnapshot($1) }) {
                    $0.createSnapshot($2)
                }
            }),
        RPCDefinition(
            adminService, "Backup", .admin, needs: .operatorOnly, takes: .backup,
            .stream(.responseStream) { PullCall($0, $1.token, BackupSource($0, $1.token)) }),
    ]

    // MARK: grpc.health

    private static let healthService = "grpc.health.v1.Health"

    private static let health: [RPCDefinition] = [
        RPCDefinition(
            healthService, "Check", .health, needs: .none, takes: .healthCheck,
            .unary { $0.checkHealth($1, of: $2) }),
        RPCDefinition(
            healthService, "Watch", .health, needs: .none, takes: .healthCheck,
            .stream(.responseStream) { $0.watchHealth($1.token) }),
    ]

    // MARK: grpc.reflection

    private static let reflection: [RPCDefinition] = ["v1", "v1alpha"].map { version in
        RPCDefinition(
            "grpc.reflection.\(version).ServerReflection", "ServerReflectionInfo", .reflection,
            needs: .none, takes: .reflection(version),
            .stream(.bidirectional) { ReflectionCall($0, $1.token) })
    }
}
