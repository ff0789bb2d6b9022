/// What a key allows. The scopes do not include one another, except `operator`.
///
/// The raw values stand in the log and in snapshots and may never change.
/// Source: Protos/profiles/v1/admin.proto, `Scope`.
package struct AccessScopes: OptionSet, Sendable, BitwiseCopyable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Reads of profiles.
    package static let read = AccessScopes(rawValue: 1 << 0)
    /// Writes to profiles, except erasures.
    package static let write = AccessScopes(rawValue: 1 << 1)
    /// EraseProfile.
    package static let erase = AccessScopes(rawValue: 1 << 2)
    /// The project itself: its options, keys, triggers and statistics.
    package static let admin = AccessScopes(rawValue: 1 << 3)
    /// ExportProject.
    package static let export = AccessScopes(rawValue: 1 << 4)
    /// Every project, every scope, and what is for operators only.
    package static let `operator` = AccessScopes(rawValue: 1 << 7)

    /// The scopes that a project's key can have.
    package static let ofProjects: AccessScopes = [.read, .write, .erase, .admin, .export]

    /// Whether a key with these scopes may do what needs `needed`; an operator's key may do
    /// everything.
    package func allow(_ needed: AccessScopes) -> Bool {
        self.contains(.operator) || self.isSuperset(of: needed)
    }
}
