// What a project's options come to: limits of the directory where a project has none of its own.

extension Store {
    /// Limits of stored state that neither a genesis nor a project changes, by the names that
    /// GetProject shows.
    package static let fixedLimits: [(name: StaticString, value: Int)] = [
        ("elements_per_list_max", AttributeLimits.elementsMax),
        ("deleted_attributes_per_profile_max", AttributeLimits.deletedMax),
        ("removed_elements_per_attribute_max", AttributeLimits.removedMax),
        ("moves_per_installation_max", IdentityDraft.Installation.movesMax),
        ("topics_per_channel_max", ConsentPart.topicsPerChannelMax),
        ("consent_entries_per_profile_max", LedgerPart.entriesMax),
        ("suppressed_addresses_per_project_max", SuppressionStore.addressesMax),
        ("lookup_profiles_max", Store.lookupProfilesMax),
        ("keys_per_project_max", KeyStore.liveKeysMax),
    ]

    /// Events that one profile retains.
    var eventsPerProfileMax: UInt32 {
        let own = self.project.options.eventsPerProfileMax
        return own == 0 ? UInt32(self.limits.eventsPerProfile) : own
    }
}

extension StoreLimits {
    /// Retention of events under a project's options, in seconds.
    package func retentionSeconds(_ options: ProjectOptions) -> UInt64 {
        options.eventRetentionDays == 0
            ? self.eventRetentionSeconds : UInt64(options.eventRetentionDays) * 86_400
    }

    /// How late an event may be under a project's options, in seconds.
    package func lateSeconds(_ options: ProjectOptions) -> UInt64 {
        min(
            options.lateWindowSeconds == 0
                ? self.lateWindowSeconds : UInt64(options.lateWindowSeconds),
            self.retentionSeconds(options))
    }

    /// Events that one profile retains under a project's options.
    package func eventsPerProfile(_ options: ProjectOptions) -> UInt64 {
        options.eventsPerProfileMax == 0
            ? self.eventsPerProfile : UInt64(options.eventsPerProfileMax)
    }

    /// Options as they hold: each number that stands for a default of the directory is that one.
    /// Two projects with equal ones differ in nothing that anybody can see.
    package func inForce(_ options: ProjectOptions) -> ProjectOptions {
        var shown = options
        shown.lateWindowSeconds = UInt32(clamping: self.lateSeconds(options))
        shown.eventRetentionDays = UInt32(clamping: self.retentionSeconds(options) / 86_400)
        shown.eventsPerProfileMax = UInt32(clamping: self.eventsPerProfile(options))
        return shown
    }

    /// Whether options stay within what the directory can hold.
    package func allow(_ options: ProjectOptions) -> Bool {
        self.retentionSeconds(options) <= self.eventRetentionSeconds
            && UInt64(options.lateWindowSeconds) <= self.retentionSeconds(options)
            && UInt64(options.eventsPerProfileMax) <= self.eventsPerProfile
    }
}
