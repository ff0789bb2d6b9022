extension Store {
    /// Called when a profile's e-mail address or phone number may change, before the change is committed.
    ///
    /// - Parameter old: The header with the attributes so far; `nil`: a new profile.
    func addressesChanged(_ profile: ProfileRef, from old: ProfileHeader?, to new: AttributeDraft) {}
}
