import Bytes
import IOCore
import Profiles

@testable import Storage

/// What is read from a data directory. Checksums stop most damage before anything looks at it, so
/// what is behind them has an entry of its own.
enum FileFuzz {
    /// The bytes of one segment.
    static func log(_ bytes: UnsafeRawBufferPointer) {
        let header = SegmentHeader.read(bytes)
        var segment: UInt64 = 1
        if case .header(let found) = header { segment = found.number }
        guard var reader = try? SegmentReader(MemoryFile(bytes)) else { return }
        for offset in stride(from: 0, to: bytes.count, by: 64) {
            _ = try? reader.frame(at: offset, segment: segment, seed: UInt32(offset & 1))
        }
        _ = try? reader.endOfData(after: bytes.count / 2)
    }

    /// The bytes of one snapshot.
    static func snapshot(_ bytes: UnsafeRawBufferPointer) {
        if case .header(let header, _) = SnapshotHeader.read(bytes) {
            let seed = SnapshotSeed(header)
            for offset in stride(from: 0, to: bytes.count, by: 64) {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
                _ = SnapshotBlockHeader.read(rest, number: UInt64(offset / 64), seed: seed)
            }
        }
        _ = SnapshotFooter.read(bytes)
    }

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

/// A file in memory that is only read.
private final class MemoryFile: File {
    let path = "memory"
    private let bytes: [UInt8]

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = Array(bytes)
    }

    func size() throws(IOError) -> Int { self.bytes.count }

    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws(IOError) -> Int {
        let piece = self.bytes[min(offset, self.bytes.count)...].prefix(target.count)
        target.copyBytes(from: piece)
        return piece.count
    }

    func write(_ source: UnsafeRawBufferPointer, at offset: Int) throws(IOError) {
        preconditionFailure("the file is read-only")
    }
    func sync() throws(IOError) {}
    func dropCache() {}
    func truncate(to size: Int) throws(IOError) { preconditionFailure("the file is read-only") }
    func close() {}
}
