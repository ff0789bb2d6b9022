/// Names of snapshots in a data directory.
enum SnapshotNames {
    static let suffix = ".snapshot"

    /// 16 hexadecimal digits of the lsn that it covers, and the suffix, so that names sort as lsns.
    static func name(of lsn: UInt64) -> String { SegmentFiles.digits(of: lsn) + Self.suffix }

    /// The lsn in a snapshot's name; `nil` if it is no such name.
    static func lsn(of name: String) -> UInt64? {
        guard name.hasSuffix(Self.suffix), name.utf8.count == 16 + Self.suffix.utf8.count else {
            return nil
        }
        guard let lsn = UInt64(name.dropLast(Self.suffix.count), radix: 16),
            Self.name(of: lsn) == name
        else { return nil }
        return lsn
    }

    /// The lsn in the name of a snapshot that was not finished; `nil` if it is no such name.
    static func lsn(ofUnfinished name: String) -> UInt64? {
        guard name.hasSuffix(SegmentFiles.temporarySuffix) else { return nil }
        return Self.lsn(of: String(name.dropLast(SegmentFiles.temporarySuffix.count)))
    }
}
