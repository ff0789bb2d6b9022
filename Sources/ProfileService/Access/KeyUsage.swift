import Profiles

/// When keys were last used, as far as this process knows: not part of the state, and not logged.
package protocol KeyUsage: AnyObject, Sendable {
    /// The minute in which a key was last used, in minutes since 1970; 0: not since the start of
    /// the server. A key is known by its name, which no other key ever gets.
    func lastUsedMinute(of key: AccessKey) -> UInt32
}
