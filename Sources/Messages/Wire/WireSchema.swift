import CMessages
import CProtobufC

/// How a field is encoded, as far as the check must tell.
enum WireFieldKind: UInt8 {
    case varint
    case fixed32
    case fixed64
    case string
    case bytes
    case message
}

/// A request message: where its check begins, and what protobuf-c unpacks it by.
// SAFETY: the descriptor is a constant of the program, which nothing writes to.
struct WireRoot<Message>: @unchecked Sendable {
    /// Index in `WireSchema.messages`.
    let index: Int
    let descriptor: UnsafePointer<ProtobufCMessageDescriptor>

    /// The name in the contract, such as `profiles.v1.TrackRequest`.
    var name: String { String(cString: self.descriptor.pointee.name) }
}

/// One field of a message, flattened from protobuf-c's descriptor.
struct WireField {
    var number: UInt32
    var kind: WireFieldKind
    /// The wire type of `kind`.
    var wireType: UInt8
    var isRepeated: Bool
    /// Entries of a map: at most `WireLimits.mapEntriesMax`, each key once.
    var isMap: Bool
    /// Events of a Track, each of which is checked by itself.
    var isItem: Bool
    /// Places, as bits, of the fields that it may not follow: itself unless it is repeated, and the
    /// others of its oneof.
    var excluded: UInt32 = 0
    /// Which oneof it belongs to, from 1; 0: none.
    var oneof: UInt8
    /// Index of the sub-message in the schema.
    var message: Int
    /// Values of a repeated field that are allowed.
    var countMax: Int
    /// NUL-terminated, static.
    var name: UnsafePointer<CChar>
}

/// The fields of one message, in ascending order of their numbers.
struct WireMessage {
    /// Numbers below this are found without a search; the contract has none above yet.
    static let denseNumbers = 32

    var firstField: Int
    var fieldCount: Int
    /// Fields that are maps.
    var mapCount = 0
    /// Place of the field with a number below `denseNumbers`, plus one; 0: none.
    var fieldIndexes = InlineArray<32, UInt8>(repeating: 0)
}

/// The table that drives `WireCheck`: made once from the descriptors that protoc-c generated, so it
/// cannot differ from the contract.
// SAFETY: filled once, before it is shared; the names point into protobuf-c's static descriptors.
struct WireSchema: @unchecked Sendable {
    /// Roots of the calls that are built.
    let trackRequest: WireRoot<Profiles__V1__TrackRequest>
    let getProfileRequest: WireRoot<Profiles__V1__GetProfileRequest>
    let updateSubscriptionRequest: WireRoot<Profiles__V1__UpdateSubscriptionRequest>
    let confirmSubscriptionRequest: WireRoot<Profiles__V1__ConfirmSubscriptionRequest>
    let addSuppressionRequest: WireRoot<Profiles__V1__AddSuppressionRequest>
    let removeSuppressionRequest: WireRoot<Profiles__V1__RemoveSuppressionRequest>
    let checkSendableRequest: WireRoot<Profiles__V1__CheckSendableRequest>
    let createUnsubscribeTokenRequest: WireRoot<Profiles__V1__CreateUnsubscribeTokenRequest>
    let redeemUnsubscribeTokenRequest: WireRoot<Profiles__V1__RedeemUnsubscribeTokenRequest>
    let listConsentHistoryRequest: WireRoot<Profiles__V1__ListConsentHistoryRequest>
    let verifyConsentLedgerRequest: WireRoot<Profiles__V1__VerifyConsentLedgerRequest>
    let identifyRequest: WireRoot<Profiles__V1__IdentifyRequest>
    let batchWriteRequest: WireRoot<Profiles__V1__BatchWriteRequest>
    let importProfilesRequest: WireRoot<Profiles__V1__ImportProfilesRequest>
    /// One write of a batch or an import, which is decoded by itself.
    let writeOperation: WireRoot<Profiles__V1__WriteOperation>
    let reflectionRequest: WireRoot<Grpc__Reflection__V1__ServerReflectionRequest>
    let listEventsRequest: WireRoot<Profiles__V1__ListEventsRequest>
    let batchGetProfilesRequest: WireRoot<Profiles__V1__BatchGetProfilesRequest>
    let lookupProfilesRequest: WireRoot<Profiles__V1__LookupProfilesRequest>
    let countProfilesRequest: WireRoot<Profiles__V1__CountProfilesRequest>
    let listProfilesRequest: WireRoot<Profiles__V1__ListProfilesRequest>
    let createProjectRequest: WireRoot<Profiles__V1__CreateProjectRequest>
    let getProjectRequest: WireRoot<Profiles__V1__GetProjectRequest>
    let listProjectsRequest: WireRoot<Profiles__V1__ListProjectsRequest>
    let updateProjectRequest: WireRoot<Profiles__V1__UpdateProjectRequest>
    let deleteProjectRequest: WireRoot<Profiles__V1__DeleteProjectRequest>
    let getStatsRequest: WireRoot<Profiles__V1__GetStatsRequest>
    let createKeyRequest: WireRoot<Profiles__V1__CreateKeyRequest>
    let revokeKeyRequest: WireRoot<Profiles__V1__RevokeKeyRequest>
    let listKeysRequest: WireRoot<Profiles__V1__ListKeysRequest>
    let createSnapshotRequest: WireRoot<Profiles__V1__CreateSnapshotRequest>
    let backupRequest: WireRoot<Profiles__V1__BackupRequest>
    let eraseProfileRequest: WireRoot<Profiles__V1__EraseProfileRequest>
    let detachInstallationRequest: WireRoot<Profiles__V1__DetachInstallationRequest>
    let mergeProfilesRequest: WireRoot<Profiles__V1__MergeProfilesRequest>
    let unmergeProfileRequest: WireRoot<Profiles__V1__UnmergeProfileRequest>
    let watchRequest: WireRoot<Profiles__V1__WatchRequest>
    let exportProfileRequest: WireRoot<Profiles__V1__ExportProfileRequest>
    let exportProjectRequest: WireRoot<Profiles__V1__ExportProjectRequest>
    let createTriggerRequest: WireRoot<Profiles__V1__CreateTriggerRequest>
    let listTriggersRequest: WireRoot<Profiles__V1__ListTriggersRequest>
    let deleteTriggerRequest: WireRoot<Profiles__V1__DeleteTriggerRequest>
    let watchTriggersRequest: WireRoot<Profiles__V1__WatchTriggersRequest>
    let messages: UnsafePointer<WireMessage>
    let fields: UnsafePointer<WireField>

    static let shared = WireSchema()

    private init() {
        var builder = Builder()
        self.trackRequest = builder.root(profiles__v1__track_request__init)
        self.getProfileRequest = builder.root(profiles__v1__get_profile_request__init)
        self.updateSubscriptionRequest = builder.root(
            profiles__v1__update_subscription_request__init)
        self.confirmSubscriptionRequest = builder.root(
            profiles__v1__confirm_subscription_request__init)
        self.addSuppressionRequest = builder.root(profiles__v1__add_suppression_request__init)
        self.removeSuppressionRequest = builder.root(profiles__v1__remove_suppression_request__init)
        self.checkSendableRequest = builder.root(profiles__v1__check_sendable_request__init)
        self.createUnsubscribeTokenRequest = builder.root(
            profiles__v1__create_unsubscribe_token_request__init)
        self.redeemUnsubscribeTokenRequest = builder.root(
            profiles__v1__redeem_unsubscribe_token_request__init)
        self.listConsentHistoryRequest = builder.root(
            profiles__v1__list_consent_history_request__init)
        self.verifyConsentLedgerRequest = builder.root(
            profiles__v1__verify_consent_ledger_request__init)
        self.batchWriteRequest = builder.root(profiles__v1__batch_write_request__init)
        self.importProfilesRequest = builder.root(profiles__v1__import_profiles_request__init)
        self.writeOperation = builder.root(profiles__v1__write_operation__init)
        self.identifyRequest = builder.root(profiles__v1__identify_request__init)
        self.reflectionRequest = builder.root(grpc__reflection__v1__server_reflection_request__init)
        self.listEventsRequest = builder.root(profiles__v1__list_events_request__init)
        self.batchGetProfilesRequest = builder.root(profiles__v1__batch_get_profiles_request__init)
        self.lookupProfilesRequest = builder.root(profiles__v1__lookup_profiles_request__init)
        self.countProfilesRequest = builder.root(profiles__v1__count_profiles_request__init)
        self.listProfilesRequest = builder.root(profiles__v1__list_profiles_request__init)
        self.createProjectRequest = builder.root(profiles__v1__create_project_request__init)
        self.getProjectRequest = builder.root(profiles__v1__get_project_request__init)
        self.listProjectsRequest = builder.root(profiles__v1__list_projects_request__init)
        self.updateProjectRequest = builder.root(profiles__v1__update_project_request__init)
        self.deleteProjectRequest = builder.root(profiles__v1__delete_project_request__init)
        self.getStatsRequest = builder.root(profiles__v1__get_stats_request__init)
        self.createKeyRequest = builder.root(profiles__v1__create_key_request__init)
        self.revokeKeyRequest = builder.root(profiles__v1__revoke_key_request__init)
        self.listKeysRequest = builder.root(profiles__v1__list_keys_request__init)
        self.createSnapshotRequest = builder.root(profiles__v1__create_snapshot_request__init)
        self.backupRequest = builder.root(profiles__v1__backup_request__init)
        self.eraseProfileRequest = builder.root(profiles__v1__erase_profile_request__init)
        self.detachInstallationRequest = builder.root(
            profiles__v1__detach_installation_request__init)
        self.mergeProfilesRequest = builder.root(profiles__v1__merge_profiles_request__init)
        self.unmergeProfileRequest = builder.root(profiles__v1__unmerge_profile_request__init)
        self.watchRequest = builder.root(profiles__v1__watch_request__init)
        self.exportProfileRequest = builder.root(profiles__v1__export_profile_request__init)
        self.exportProjectRequest = builder.root(profiles__v1__export_project_request__init)
        self.createTriggerRequest = builder.root(profiles__v1__create_trigger_request__init)
        self.listTriggersRequest = builder.root(profiles__v1__list_triggers_request__init)
        self.deleteTriggerRequest = builder.root(profiles__v1__delete_trigger_request__init)
        self.watchTriggersRequest = builder.root(profiles__v1__watch_triggers_request__init)
        // Kept for the life of the process: tables behind plain pointers cost no reference counting
        // on the way of a request.
        self.messages = Self.keep(builder.messages)
        self.fields = Self.keep(builder.fields)
    }

    private static func keep<Element>(_ elements: [Element]) -> UnsafePointer<Element> {
        let target = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
        target.initialize(from: elements, count: elements.count)
        return UnsafePointer(target)
    }

    private struct Builder {
        var messages: [WireMessage] = []
        var fields: [WireField] = []
        private var known: [String: Int] = [:]

        /// Adds a request; its descriptor is found in a message that protobuf-c initialised,
        /// because Swift imports the descriptors themselves without their addresses.
        mutating func root<Message>(
            _ initialize: (UnsafeMutablePointer<Message>) -> Void
        ) -> WireRoot<Message> {
            let message = UnsafeMutablePointer<Message>.allocate(capacity: 1)
            defer { message.deallocate() }
            initialize(message)
            // SAFETY: every message of protobuf-c begins with its base, which points to the static
            // descriptor.
            let descriptor = UnsafeRawPointer(message)
                .assumingMemoryBound(to: ProtobufCMessage.self).pointee.descriptor!
            return WireRoot(index: self.add(descriptor.pointee), descriptor: descriptor)
        }

        /// Adds a message and those below it; returns its index.
        mutating func add(_ descriptor: ProtobufCMessageDescriptor) -> Int {
            let name = String(cString: descriptor.name)
            if let index = self.known[name] { return index }
            let index = self.messages.count
            self.known[name] = index
            self.messages.append(WireMessage(firstField: 0, fieldCount: 0))
            var own: [WireField] = []
            var oneofs: [UInt32] = []
            for position in 0 ..< Int(descriptor.n_fields) {
                own.append(self.field(descriptor.fields[position], of: name, &oneofs))
            }
            precondition(
                own.count <= WireCheck.fieldsPerMessageMax,
                "the check counts so many fields of a message")
            var message = WireMessage(firstField: self.fields.count, fieldCount: own.count)
            message.mapCount = own.count { $0.isMap }
            for (index, field) in own.enumerated() where field.number < WireMessage.denseNumbers {
                message.fieldIndexes[Int(field.number)] = UInt8(index + 1)
            }
            for (index, field) in own.enumerated() where !field.isRepeated {
                for (other, known) in own.enumerated()
                where other == index || (field.oneof > 0 && known.oneof == field.oneof) {
                    own[index].excluded |= 1 << UInt32(other)
                }
            }
            self.messages[index] = message
            self.fields += own
            return index
        }

        private mutating func field(
            _ field: ProtobufCFieldDescriptor, of message: String, _ oneofs: inout [UInt32]
        ) -> WireField {
            let isRepeated = field.label == PROTOBUF_C_LABEL_REPEATED
            var isMap = false
            var sub = -1
            if field.type == PROTOBUF_C_TYPE_MESSAGE {
                // SAFETY: of a message field, `descriptor` points to the static descriptor of its
                // type.
                let descriptor = field.descriptor.assumingMemoryBound(
                    to: ProtobufCMessageDescriptor.self
                ).pointee
                sub = self.add(descriptor)
                isMap = isRepeated && WireSchema.isMapEntry(descriptor, of: message)
            }
            var oneof: UInt8 = 0
            if field.flags & PROTOBUF_C_FIELD_FLAG_ONEOF.rawValue != 0 {
                let known = oneofs.firstIndex(of: field.quantifier_offset)
                if known == nil { oneofs.append(field.quantifier_offset) }
                oneof = UInt8((known ?? oneofs.count - 1) + 1)
            }
            let path = "\(message).\(String(cString: field.name))"
            let kind = WireSchema.kind(field.type)
            return WireField(
                number: field.id, kind: kind, wireType: WireSchema.wireType(kind),
                isRepeated: isRepeated, isMap: isMap, isItem: path == WireLimits.eventsPath,
                oneof: oneof, message: sub,
                countMax: isMap ? WireLimits.mapEntriesMax : WireLimits.countMax(of: path),
                name: field.name)
        }
    }

    /// protoc-c keeps no mark of a map: its entries are a nested message, named after the field and
    /// `Entry`, of `key = 1` and `value = 2`.
    private static func isMapEntry(_ descriptor: ProtobufCMessageDescriptor, of parent: String)
        -> Bool
    {
        let name = String(cString: descriptor.name)
        guard name.hasPrefix(parent + "."), name.hasSuffix("Entry"), descriptor.n_fields == 2 else {
            return false
        }
        return String(cString: descriptor.fields[0].name) == "key"
            && String(cString: descriptor.fields[1].name) == "value"
    }

    private static func wireType(_ kind: WireFieldKind) -> UInt8 {
        switch kind {
        case .varint: 0
        case .fixed64: 1
        case .string, .bytes, .message: 2
        case .fixed32: 5
        }
    }

    private static func kind(_ type: ProtobufCType) -> WireFieldKind {
        switch type {
        case PROTOBUF_C_TYPE_STRING: .string
        case PROTOBUF_C_TYPE_BYTES: .bytes
        case PROTOBUF_C_TYPE_MESSAGE: .message
        case PROTOBUF_C_TYPE_DOUBLE, PROTOBUF_C_TYPE_FIXED64, PROTOBUF_C_TYPE_SFIXED64: .fixed64
        case PROTOBUF_C_TYPE_FLOAT, PROTOBUF_C_TYPE_FIXED32, PROTOBUF_C_TYPE_SFIXED32: .fixed32
        default: .varint
        }
    }
}

/// The request of an RPC, by its name in the contract.
package struct RequestMessage: Sendable, Equatable {
    /// Such as `profiles.v1.TrackRequest`.
    package let name: String

    fileprivate init<Message>(_ root: WireRoot<Message>) { self.name = root.name }

    fileprivate init(name: String) { self.name = name }
}

// One for each RPC of the contract.
extension RequestMessage {
    private static var schema: WireSchema { .shared }

    package static let identify = Self(schema.identifyRequest)
    package static let track = Self(schema.trackRequest)
    package static let getProfile = Self(schema.getProfileRequest)
    package static let batchGetProfiles = Self(schema.batchGetProfilesRequest)
    package static let listEvents = Self(schema.listEventsRequest)
    package static let lookupProfiles = Self(schema.lookupProfilesRequest)
    package static let countProfiles = Self(schema.countProfilesRequest)
    package static let listProfiles = Self(schema.listProfilesRequest)
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
    package static let importProfiles = Self(schema.importProfilesRequest)
    package static let eraseProfile = Self(schema.eraseProfileRequest)
    package static let exportProfile = Self(schema.exportProfileRequest)
    package static let exportProject = Self(schema.exportProjectRequest)
    package static let detachInstallation = Self(schema.detachInstallationRequest)
    package static let watch = Self(schema.watchRequest)
    package static let createTrigger = Self(schema.createTriggerRequest)
    package static let listTriggers = Self(schema.listTriggersRequest)
    package static let deleteTrigger = Self(schema.deleteTriggerRequest)
    package static let watchTriggers = Self(schema.watchTriggersRequest)
    package static let mergeProfiles = Self(schema.mergeProfilesRequest)
    package static let unmergeProfile = Self(schema.unmergeProfileRequest)
    package static let createProject = Self(schema.createProjectRequest)
    package static let getProject = Self(schema.getProjectRequest)
    package static let listProjects = Self(schema.listProjectsRequest)
    package static let updateProject = Self(schema.updateProjectRequest)
    package static let deleteProject = Self(schema.deleteProjectRequest)
    package static let createKey = Self(schema.createKeyRequest)
    package static let revokeKey = Self(schema.revokeKeyRequest)
    package static let listKeys = Self(schema.listKeysRequest)
    package static let getStats = Self(schema.getStatsRequest)
    package static let createSnapshot = Self(schema.createSnapshotRequest)
    package static let backup = Self(schema.backupRequest)
    package static let healthCheck = Self(name: "grpc.health.v1.HealthCheckRequest")

    /// v1 and v1alpha have the same messages.
    package static func reflection(_ version: String) -> Self {
        Self(name: "grpc.reflection.\(version).ServerReflectionRequest")
    }
}
