/// Bounds of what protobuf-c is given to decode: they protect the process. The finer limits of the
/// contract are checked on the decoded message, where each violation is listed with its path.
package enum WireLimits {
    /// Levels of messages in each other: an event's value of three levels needs 10. protobuf-c
    /// itself recurses without a bound.
    package static let depthMax = 16
    /// Fields in all, known and unknown: 15 events of 20 fields of lists of 25 strings are 8,000.
    package static let fieldsMax = 20_000
    /// Unknown fields: protobuf-c keeps each in 24 bytes.
    package static let unknownFieldsMax = 4_096
    /// Entries of one map; the contract allows fewer, but keys are compared with each other here.
    package static let mapEntriesMax = 100
    /// Memory of one decoded message, in bytes.
    package static let arenaBytesMax = 8 << 20

    /// Events of one Track.
    package static let eventsMax = 15

    /// Writes of one batch.
    package static let batchOperationsMax = 200

    /// Values of one repeated field.
    static func countMax(of path: String) -> Int {
        switch path {
        case "profiles.v1.TrackRequest.events": Self.eventsMax
        case "profiles.v1.BatchWriteRequest.operations": Self.batchOperationsMax
        default: Self.fieldsMax
        }
    }
}
