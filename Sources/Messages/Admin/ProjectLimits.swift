import Profiles

// What GetProject says of limits, so that nobody has to look for them in a manual: every one that a
// caller can run into, by name.
extension MessageEncoder {
    /// Limits of stored state and time, as they hold for a project.
    static func stateLimits(of view: ProjectView) -> [(name: String, value: UInt64)] {
        let limits = view.limits
        let events = view.options.eventsPerProfileMax
        return [
            ("events_per_profile", events == 0 ? limits.eventsPerProfile : UInt64(events)),
            ("event_retention_seconds", limits.retentionSeconds(view.options)),
            ("late_window_seconds", limits.lateSeconds(view.options)),
            ("ahead_window_seconds", limits.aheadWindowSeconds),
            ("attributes_per_profile", limits.attributesPerProfile),
            ("installations_per_profile", limits.installationsPerProfile),
            ("event_names_per_profile", limits.countersPerProfile),
            ("names_per_project", limits.namesPerProject),
            ("request_ids_per_project", limits.requestIDsPerProject),
            ("request_id_bytes_per_project", limits.requestIDBytesPerProject),
            ("request_id_seconds", limits.requestIDSeconds),
            ("merge_undo_seconds", limits.mergeSeconds),
            ("merges_per_project", limits.mergesPerProject),
            ("erased_identifier_seconds", limits.blockSeconds),
            ("erased_identifiers_per_project", limits.blocksPerProject),
        ]
    }

    /// Limits that are the same in every project: of the store's rules, of requests, and of the
    /// texts in them.
    static let fixedLimits: [(name: String, value: UInt64)] =
        Store.fixedLimits.map { ($0.name.description, UInt64($0.value)) }
        + [
            ("events_per_track", WireLimits.eventsMax),
            ("operations_per_batch", WireLimits.batchOperationsMax),
            ("subscription_changes_per_call", SubscriptionHeader.changesMax),
            ("attributes_per_patch", ValuePacker.patchItemsMax),
            ("fields_per_event", ValuePacker.fieldsMax),
            ("object_levels_per_event", ValuePacker.levelsMax),
            ("tags_per_event", MessageDecoder.tagsMax),
            ("elements_per_event_list", ValuePacker.elementsMax),
            ("name_bytes", TextRules.nameBytesMax),
            ("topic_bytes", MessageDecoder.topicBytesMax),
            ("string_characters", TextRules.stringScalarsMax),
            ("url_characters", TextRules.urlScalarsMax),
            ("identifier_characters", TextRules.identifierScalarsMax),
            ("identifier_bytes", TextRules.identifierBytesMax),
            ("id_bytes", TextRules.idBytesMax),
            ("label_characters", TextRules.labelScalarsMax),
            ("tag_characters", TextRules.tagScalarsMax),
            ("source_name_characters", TextRules.sourceNameScalarsMax),
            ("email_characters", NativeRules.emailCharactersMax),
            ("phone_digits", NativeRules.phoneDigitsMax),
            ("batch_get_profiles", MessageDecoder.batchGetProfilesMax),
            ("list_events_page", MessageDecoder.eventPageSizeMax),
            ("list_events_names", MessageDecoder.eventNamesMax),
            ("list_consent_history_page", MessageDecoder.pageSizeMax),
            ("fields_per_operation", WireLimits.fieldsMax),
            ("message_bytes", WireLimits.messageBytesMax),
            ("response_bytes", MessageDecoder.responseBytesMax),
        ].map { ($0.0, UInt64($0.1)) }
}
