/// The version that `profilectl` and `profile-bench` print.
package enum ClientVersion {
    /// The release, by semantic versioning; the same as the server's, which a test compares.
    package static let program = "0.1.0"
}
