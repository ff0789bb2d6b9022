import Messages
import Storage

/// Backups of one data directory.
package final class DirectoryBackup: BackupCopier {
    private let environment: LogEnvironment

    /// - Parameter environment: Of the running log.
    package init(_ environment: LogEnvironment) {
        self.environment = environment
    }

    package func copy(_ snapshot: SnapshotFile, to destination: String) -> any BackupCopy {
        DirectoryCopy(snapshot, of: self.environment, to: destination)
    }
}

/// One backup of a data directory.
private final class DirectoryCopy: BackupCopy {
    private let writer: BackupWriter
    private var progress = BackupProgress()

    init(_ snapshot: SnapshotFile, of environment: LogEnvironment, to destination: String) {
        self.writer = BackupWriter(snapshot, of: environment, to: destination)
        self.progress.lsn = snapshot.position.lsn
        self.progress.bytesTotal = UInt64(snapshot.bytes + BackupWriter.segmentBytes)
        self.progress.file = snapshot.name
    }

    func step() throws(OperatorFailure) -> BackupStep {
        do throws(BackupError) {
            switch try self.writer.step() {
            case .progress:
                self.progress.bytesDone = UInt64(
                    self.writer.bytesCopied + BackupWriter.segmentBytes)
                return .progress(self.progress)
            case .finished:
                self.progress.file = ""
                self.progress.bytesDone = self.progress.bytesTotal
                return .finished(self.progress)
            }
        } catch {
            switch error {
            case .storage(let error): throw OperatorFailure(error)
            case .destination(let found): throw .destination(found)
            }
        }
    }

    func abandon() {
        self.writer.abandon()
    }
}
