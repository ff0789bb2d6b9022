import Bytes
import IOCore
import IOSimulation

@testable import Storage

/// The file of a snapshot, and what is behind its checksums; `items` reads what its blocks hold.
enum SnapshotFuzz {
    private static let directory = "d"

    /// The bytes of one snapshot, as they are and with the checksums that they should have.
    static func snapshot(_ bytes: UnsafeRawBufferPointer) {
        _ = SnapshotFooter.read(bytes)
        self.verify(Array(bytes))
        self.verify(self.sealed(bytes))
    }

    private static func verify(_ file: [UInt8]) {
        guard
            case .header(let header, _) = file.withUnsafeBytes({ SnapshotHeader.read($0) })
        else { return }
        let name = SnapshotNames.name(of: header.position.lsn)
        let disk = SimulatedDisk(
            DiskState(files: [("\(self.directory)/\(name)", file)]), isRecording: false)
        let files = SegmentFiles(fileSystem: disk, directory: self.directory)
        let found = try? SnapshotReader.verify(files, name, directoryID: header.directoryID)
        precondition(found?.bytes ?? file.count == file.count, "a whole snapshot is its whole file")
    }

    // MARK: By docs/formats/snapshot.md alone

    /// Offsets of fields, in bytes.
    private static let (nextLSNOffset, fileCRCOffset) = (40, 76)
    private static let (numberOffset, payloadBytesOffset) = (8, 16)
    private static let (previousOffset, payloadCRCOffset, blockCRCOffset) = (20, 24, 28)

    private static func crc(of number: UInt64, continuing seed: UInt32) -> UInt32 {
        // SAFETY: an integer's own bytes, borrowed for the call.
        withUnsafeBytes(of: number.littleEndian) { crc32c($0, continuing: seed) }
    }

    /// The same bytes with right magics, numbers and checksums, each block naming the one before
    /// it.
    private static func sealed(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        guard bytes.count >= SnapshotHeader.bytes else { return [] }
        var buffer = bytes.sealed(
            magic: SnapshotHeader.magic, version: SnapshotHeader.version,
            crcAt: self.fileCRCOffset)
        var previous = buffer.bytes.uint32(at: self.fileCRCOffset)
        let lsn = bytes.uint64(at: self.nextLSNOffset) &- 1
        let fileSeed = self.crc(of: lsn, continuing: buffer.bytes.crc(16 ..< 32))
        var start = SnapshotHeader.bytes
        var number: UInt64 = 0
        while start + SnapshotBlockHeader.bytes <= bytes.count {
            let payload = start + SnapshotBlockHeader.bytes
            let end = payload + Int(bytes.uint32(at: start + self.payloadBytesOffset))
            guard end <= bytes.count else { break }
            let seed = self.crc(of: number, continuing: fileSeed)
            buffer.patch(SnapshotBlockHeader.magic, at: start)
            buffer.patch(number, at: start + self.numberOffset)
            buffer.patch(previous, at: start + self.previousOffset)
            buffer.patch(
                buffer.bytes.crc(payload ..< end, continuing: seed),
                at: start + self.payloadCRCOffset)
            previous = buffer.bytes.crc(start ..< start + self.blockCRCOffset, continuing: seed)
            buffer.patch(previous, at: start + self.blockCRCOffset)
            let alignment = SnapshotBlockHeader.alignmentBytes
            start = (end + alignment - 1) / alignment * alignment
            number += 1
        }
        return Array(buffer.bytes)
    }
}
