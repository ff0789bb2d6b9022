import Messages
import Storage

/// Backups of one data directory, as its log makes them.
package final class DirectoryBackup: BackupCopier {
    private let logStore: any LogStore

    /// - Parameter logStore: Of the running log.
    package init(_ logStore: any LogStore) {
        self.logStore = logStore
    }

    package func copy(_ snapshot: SnapshotFile, to destination: String) -> any BackupCopy {
        DirectoryCopy(self.logStore.backUp(snapshot, to: destination), of: snapshot)
    }
}

/// One backup of a data directory.
private final class DirectoryCopy: BackupCopy {
    private let backup: any LogBackup
    private var progress = BackupProgress()

    init(_ backup: any LogBackup, of snapshot: SnapshotFile) {
        self.backup = backup
        self.progress.lsn = snapshot.position.lsn
        self.progress.bytesTotal = UInt64(backup.bytesTotal)
        self.progress.file = snapshot.name
    }

    func step() throws(OperatorFailure) -> BackupStep {
        do throws(BackupError) {
            switch try self.backup.step() {
            case .progress:
                self.progress.bytesDone = UInt64(self.backup.bytesCopied)
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
        self.backup.abandon()
    }
}
