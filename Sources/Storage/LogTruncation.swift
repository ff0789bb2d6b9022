import IOCore

/// What was removed before a position.
package struct LogTruncation: Equatable, Sendable {
    package var segmentsRemoved = 0
    package var tornFilesRemoved = 0
    /// Of all files removed.
    package var bytesRemoved: UInt64 = 0

    package init() {}
}

extension SegmentFiles {
    /// Removes the segments before the one that holds a position, and the torn tails kept of
    /// them.
    ///
    /// The oldest go first, so that what remains after a crash is before a gap and is passed
    /// over.
    ///
    /// - Parameter directoryID: `nil`: whatever the segments say.
    func truncate(
        before position: LogPosition, directoryID: DirectoryID?
    ) throws(StorageError) -> LogTruncation {
        let names = try Recovery.storage { () throws(IOError) in
            try self.fileSystem.list(self.directory)
        }
        let numbers = names.compactMap(Self.number(of:))
        // The segment in which the log continues: the last that begins at the position or before
        // it.
        var needed: UInt64?
        for number in numbers.reversed() where needed == nil {
            let header = try Recovery.header(of: number, in: self, expecting: directoryID)
            if header.firstFrame <= position.index { needed = number }
        }
        var result = LogTruncation()
        guard let needed else { return result }
        let segments = numbers.filter { $0 < needed }
        let torn = names.filter { Self.tornSegment(of: $0).map { $0 < needed } == true }
        result.segmentsRemoved = segments.count
        result.tornFilesRemoved = torn.count
        result.bytesRemoved = try self.remove(torn + segments.map(Self.name(of:)))
        return result
    }

    /// Removes files in the order given, durably.
    ///
    /// - Returns: Their bytes.
    func remove(_ names: [String]) throws(StorageError) -> UInt64 {
        guard !names.isEmpty else { return 0 }
        return try Recovery.storage { () throws(IOError) in
            var bytes: UInt64 = 0
            for name in names {
                let file = try self.fileSystem.open(self.path(name), .read)
                defer { file.close() }
                bytes += UInt64(try file.size())
                try self.fileSystem.remove(self.path(name))
            }
            try self.fileSystem.syncDirectory(self.directory)
            return bytes
        }
    }
}
