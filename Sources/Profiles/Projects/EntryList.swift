/// The entries that one project has in a list of blocks, oldest first; each block begins with the
/// handle of the next one.
///
/// Requests, merges and blocked identifiers are kept in such lists: their tables are shared by all
/// projects, their order and limits are each project's own.
struct EntryList: BitwiseCopyable, Equatable {
    /// 0: the list is empty.
    var head: Handle = 0
    var tail: Handle = 0
    var count: UInt64 = 0
    /// The time of the head, in microseconds since 1970; meaningful with a head.
    var oldest: Int64 = 0

    /// The time of the head; `.max` of an empty list.
    var oldestTime: Int64 { self.head == 0 ? .max : self.oldest }
}

/// The kept responses of one project.
struct RequestList: BitwiseCopyable {
    var entries = EntryList()
    /// Bytes of the entries, which the limit counts.
    var entryBytes: UInt64 = 0
    /// The newest time, in microseconds, whose calls may be forgotten before their age, because the
    /// limits dropped an entry of that time; `.min`: none was. After a start from a snapshot of
    /// full entries it is the oldest that is left.
    var forgotten = Int64.min

    /// The number of entries.
    var count: Int { Int(self.entries.count) }
    /// Bytes of the entries.
    var bytes: Int { Int(self.entryBytes) }
}
