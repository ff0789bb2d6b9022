import IOCore
import Messages
import Storage

/// Backups of one data directory.
package final class DirectoryBackup: BackupCopier {
    private let directory: String
    private let fileSystem: any FileSystem
    private let clock: any Clock
    private let options: LogOptions

    /// - Parameter environment: Of the running log.
    package init(_ environment: LogEnvironment) {
        self.directory = environment.directory
        self.fileSystem = environment.fileSystem
        self.clock = environment.clock
        self.options = environment.options
    }

    package func copy(
        _ snapshot: SnapshotFile, to destination: String, shouldContinue: (BackupProgress) -> Bool
    ) throws(OperatorFailure) -> BackupProgress {
        let source = LogEnvironment(
            directory: self.directory, fileSystem: self.fileSystem, clock: self.clock,
            options: self.options)
        var progress = BackupProgress()
        progress.lsn = snapshot.position.lsn
        progress.bytesTotal = UInt64(snapshot.bytes + BackupWriter.segmentBytes)
        do throws(BackupError) {
            _ = try BackupWriter(of: source, to: destination).write(snapshot) { file, bytesDone in
                progress.file = file
                progress.bytesDone = UInt64(bytesDone + BackupWriter.segmentBytes)
                return shouldContinue(progress)
            }
            progress.file = ""
            progress.bytesDone = progress.bytesTotal
            return progress
        } catch {
            switch error {
            case .storage(let error): throw OperatorFailure(error)
            case .destination(let found): throw .destination(found)
            case .cancelled: throw .cancelled
            }
        }
    }
}
