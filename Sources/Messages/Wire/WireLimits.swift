import Profiles

/// Bounds of what protobuf-c is given to decode: they protect the process. The finer limits of the
/// contract are checked on the decoded message, where each violation is listed with its path.
package enum WireLimits {
    /// Messages nested in each other. An event's value of three levels of arrays takes 14 inside of
    /// a batch; protobuf-c itself recurses without a bound.
    static let depthMax = 16
    /// Named fields (attributes, and fields of the objects in them) and unknown fields of one
    /// operation, and of one event of a Track: each has its own budget, so a batch within the other
    /// limits is never over it (docs/decisions/0120-items-checked-by-themselves.md).
    package static let fieldsMax = 2_000
    /// Entries of one map; the contract allows fewer, but keys are compared with each other here.
    static let mapEntriesMax = 100
    /// Elements of one list or array in a value; the contract allows 25.
    static let elementsMax = 100
    /// Bytes of one message, which the transport rejects from its prefix.
    package static let messageBytesMax = 4 << 20
    /// Memory that one decoded operation or other request may take, in bytes: four times the
    /// largest message.
    static let arenaBytesMax = 16 << 20

    /// Events of one Track.
    static let eventsMax = 15

    /// Writes of one batch.
    static let batchOperationsMax = 200

    /// Operations of one message of an import.
    static let importOperationsMax = ImportLimits.operationsMax

    /// Values of one repeated field without a limit of its own.
    static let repeatedMax = 20_000

    /// Values of one repeated field.
    static func countMax(of path: String) -> Int {
        switch path {
        case Self.eventsPath: Self.eventsMax
        case "profiles.v1.BatchWriteRequest.operations": Self.batchOperationsMax
        case "profiles.v1.ImportProfilesRequest.operations": Self.importOperationsMax
        case "profiles.v1.StringList.items", "profiles.v1.ObjectList.items": Self.elementsMax
        default: Self.repeatedMax
        }
    }

    /// The field whose values are checked by themselves: what is wrong inside of one of them says
    /// nothing about the others.
    static let eventsPath = "profiles.v1.TrackRequest.events"
}
