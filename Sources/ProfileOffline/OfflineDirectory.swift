import Bytes
import IOCore
import IOLinux
import ProfileService
import Profiles
import Storage

/// A data directory, or a backup of one, that no server has open. Reading it changes nothing.
package final class OfflineDirectory {
    package let path: String
    private let files = LinuxFileSystem()
    private let clock = LinuxClock()
    /// Excludes servers while the directory is read; `nil` if the caller holds it.
    private let lock: (any DirectoryLock)?

    /// - Throws: `.locked` if a server runs on it, `.files`.
    package init(_ path: String) throws(OfflineFailure) {
        self.path = path
        do throws(IOError) {
            self.lock = try self.files.lockShared(path)
        } catch {
            throw error.kind == .locked ? .locked(path: path) : .files(error)
        }
    }

    /// A directory whose lock the caller holds.
    init(unlocked path: String) {
        self.path = path
        self.lock = nil
    }

    deinit {
        self.lock?.release()
    }

    /// The directory for recovery, without the hidden files.
    func environment(hiding hidden: Set<String> = []) -> LogEnvironment {
        LogEnvironment(
            directory: self.path, fileSystem: ReadOnlyFiles(self.files, hiding: hidden),
            clock: self.clock, options: LogOptions())
    }

    /// Reads the state as a start would.
    ///
    /// - Parameter hidden: Names of files to ignore.
    /// - Throws: The errors for which a start is rejected.
    /// - Complexity: O(bytes of the newest snapshot and of the log after it).
    package func read(hiding hidden: Set<String> = []) throws(OfflineFailure) -> InspectedDirectory
    {
        let found: InspectedDirectory?
        do throws(RecoveryError) {
            found = try Partition.inspect(
                SegmentedLogStore(self.environment(hiding: hidden)))
        } catch {
            throw OfflineFailure(error)
        }
        guard let found else {
            throw .rejected("\(self.path) contains neither a log nor a snapshot")
        }
        return found
    }
}
