/// One part of an export, borrowed until the reader is used again.
package struct ExportPart {
    package enum Content {
        /// The first part of each person.
        case profile(ProfileImage)
        /// The image of an event (`StoredEventView`).
        case event(UnsafeRawBufferPointer)
        case consentEntry(ListedEntry)
        /// The address as the profile shows it.
        case suppression(Channel, address: UnsafeRawBufferPointer, SuppressionReasons)
        /// The position of an export of nobody.
        case position
    }

    package var content: Content
    /// At which everything of the person is seen.
    package var lsn: UInt64
    /// Whose part it is; `nil`: nobody's.
    package var profileID: ProfileID?
    /// The identifier asked for is an alias; on the first part.
    package var isRedirected = false
    /// On the last part of each person of a walk: where the walk goes on.
    package var nextPosition: UInt64?
}
