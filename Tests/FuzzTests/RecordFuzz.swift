import Profiles

/// Records, as the frames of a log hold them.
enum RecordFuzz {
    /// Records of a frame, one after the other.
    static func records(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while let record = RecordView(rest) {
            precondition(record.totalBytes <= rest.count, "a record ends after its frame")
            precondition(
                record.payload.count <= record.totalBytes, "a payload is part of its record")
            rest = UnsafeRawBufferPointer(rebasing: rest[record.totalBytes...])
        }
    }
}
