/// Sizes of the log; none of them changes what it holds.
package struct LogOptions: Sendable {
    /// Size of a segment, in bytes. The largest frame fits besides its header, whatever the setting.
    package var segmentBytes = 64 << 20
    /// Zeros written between two syncs while a segment is prepared: small enough that a commit beside it does not wait long.
    package var prepareStepBytes = 256 << 10
    /// Bytes of a torn tail that are kept aside for a person to look at.
    package var tornBytesKept = 1 << 20
    /// Files with torn tails that are kept; the oldest go.
    package var tornFilesKept = 8

    package init() {}
}
