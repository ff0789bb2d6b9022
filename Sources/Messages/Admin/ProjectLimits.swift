import Profiles

// What GetProject says of limits, so that nobody has to look for them in a manual: every one that a
// caller can run into, by name. Names end with their unit: max of a number of things, bytes_max and
// the like of a length, seconds and days of a time.
extension MessageEncoder {
    /// Limits of stored state and time, as they hold for a project.
    static func stateLimits(
        of options: ProjectOptions, _ limits: StoreLimits
    ) -> [(name: String, value: UInt64)] {
        [
            ("events_per_profile_max", limits.eventsPerProfile(options)),
            ("event_retention_days", limits.retentionSeconds(options) / 86_400),
            ("late_window_seconds", limits.lateSeconds(options)),
            ("ahead_window_seconds", limits.aheadWindowSeconds),
            ("attributes_per_profile_max", limits.attributesPerProfile),
            ("installations_per_profile_max", limits.installationsPerProfile),
            ("event_names_per_profile_max", limits.countersPerProfile),
            ("names_per_project_max", limits.namesPerProject),
            ("request_ids_per_project_max", limits.requestIDsPerProject),
            ("request_id_bytes_per_project_max", limits.requestIDBytesPerProject),
            ("request_id_seconds", limits.requestIDSeconds),
            ("merge_undo_seconds", limits.mergeSeconds),
            ("merges_per_project_max", limits.mergesPerProject),
            ("erased_identifier_seconds", limits.blockSeconds),
            ("erased_identifiers_per_project_max", limits.blocksPerProject),
            ("projects_max", limits.projectsMax),
        ]
    }

    /// Limits that are the same in every project: of the store's rules, of requests, and of the
    /// texts in them.
    static let fixedLimits: [(name: String, value: UInt64)] =
        Store.fixedLimits.map { ($0.name.description, UInt64($0.value)) }
        + [
            ("events_per_track_max", WireLimits.eventsMax),
            ("operations_per_batch_max", WireLimits.batchOperationsMax),
            ("operations_per_import_message_max", WireLimits.importOperationsMax),
            ("subscription_changes_per_call_max", SubscriptionHeader.changesMax),
            ("attributes_per_patch_max", ValuePacker.patchItemsMax),
            ("fields_per_event_max", ValuePacker.fieldsMax),
            ("object_levels_per_event_max", ValuePacker.levelsMax),
            ("tags_per_event_max", MessageDecoder.tagsMax),
            ("elements_per_event_list_max", ValuePacker.elementsMax),
            ("name_bytes_max", TextRules.nameBytesMax),
            ("topic_bytes_max", MessageDecoder.topicBytesMax),
            ("string_scalars_max", TextRules.stringScalarsMax),
            ("url_scalars_max", TextRules.urlScalarsMax),
            ("identifier_scalars_max", TextRules.identifierScalarsMax),
            ("identifier_bytes_max", TextRules.identifierBytesMax),
            ("id_bytes_max", TextRules.idBytesMax),
            ("label_scalars_max", TextRules.labelScalarsMax),
            ("tag_scalars_max", TextRules.tagScalarsMax),
            ("source_name_scalars_max", TextRules.sourceNameScalarsMax),
            ("email_characters_max", NativeRules.emailCharactersMax),
            ("phone_digits_max", NativeRules.phoneDigitsMax),
            ("language_characters_max", NativeRules.languageCharactersMax),
            ("timezone_characters_max", TimeZoneNames.charactersMax),
            ("display_name_scalars_max", MessageDecoder.displayNameScalarsMax),
            ("triggers_per_project_max", TriggerLimits.triggersPerProject),
            ("trigger_cap_max", Int(TriggerLimits.capMax)),
            ("trigger_cap_period_seconds_max", Int(TriggerLimits.capPeriodSecondsMax)),
            ("trigger_delay_seconds_max", Int(TriggerLimits.delaySecondsMax)),
            ("trigger_pending_firings_max", TriggerLimits().pendingFirings),
            ("trigger_pending_bytes_max", TriggerLimits().pendingBytes),
            ("trigger_waiting_firings_max", TriggerLimits().waitingFirings),
            ("trigger_waiting_bytes_max", TriggerLimits().waitingBytes),
            ("batch_get_profiles_max", MessageDecoder.batchGetProfilesMax),
            ("list_events_page_max", MessageDecoder.eventPageSizeMax),
            ("list_events_names_max", MessageDecoder.eventNamesMax),
            ("list_consent_history_page_max", MessageDecoder.pageSizeMax),
            ("list_projects_page_max", MessageDecoder.pageSizeMax),
            ("fields_per_operation_max", WireLimits.fieldsMax),
            ("message_bytes_max", WireLimits.messageBytesMax),
            ("response_bytes_max", MessageDecoder.responseBytesMax),
        ].map { ($0.0, UInt64($0.1)) }
}
