import Bytes
import CMessages
import Profiles

// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it until the next `decode`; responses are made in the encoder's arena and
// serialised before its reset. Counts (`n_...`) bound every array.

/// How far a backup is.
package struct BackupProgress: Equatable, Sendable {
    /// The file being written, by its name; empty once all are.
    package var file = ""
    /// Of all files.
    package var bytesDone: UInt64 = 0
    package var bytesTotal: UInt64 = 0
    /// Everything up to this lsn is in the backup.
    package var lsn: UInt64 = 0

    package init() {}
}

// Snapshots and backups.
extension MessageDecoder {
    /// Longest path of a backup, in bytes: file names behind it stay below the 4,096 of PATH_MAX.
    private static let destinationBytesMax = 1_024

    package func decodeCreateSnapshot(_ message: UnsafeRawBufferPointer) -> Decoded<OperatorRequest>
    {
        self.decode(message, as: WireSchema.shared.createSnapshotRequest) { _ in OperatorRequest() }
    }

    /// Decodes a BackupRequest; its destination is an absolute path of some bytes, without control
    /// characters.
    package func decodeBackup(_ message: UnsafeRawBufferPointer) -> Decoded<OperatorRequest> {
        self.decode(message, as: WireSchema.shared.backupRequest) { request in
            let path = ValuePacker.text(request.pointee.destination)
            if path.first != UInt8(ascii: "/") {
                self.packer.add("not an absolute path on the server", at: "destination")
            } else if path.count > Self.destinationBytesMax {
                self.packer.add(
                    "\(path.count) bytes, at most \(Self.destinationBytesMax) are allowed",
                    at: "destination")
            } else if path.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
                self.packer.add("has a control character", at: "destination")
            }
            return OperatorRequest(destination: String(decoding: path, as: UTF8.self))
        }
    }
}

extension MessageEncoder {
    package func encodeCreateSnapshotResponse(
        lsn: UInt64, bytes: UInt64, into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__create_snapshot_response__init)
        response.pointee.lsn = lsn
        response.pointee.bytes = bytes
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    package func encodeBackupResponse(_ progress: BackupProgress, into output: inout ByteBuffer) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__backup_response__init)
        response.pointee.file = self.arena.string(progress.file)
        response.pointee.bytes_done = progress.bytesDone
        response.pointee.bytes_total = progress.bytesTotal
        response.pointee.lsn = progress.lsn
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }
}
