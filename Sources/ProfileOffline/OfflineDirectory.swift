import Bytes
import IOCore
import IOLinux
import ProfileService
import Profiles
import Storage

/// A data directory, or a backup of one, that no server has open. Reading it changes no byte.
package final class OfflineDirectory {
    static let lockName = "LOCK"

    package let path: String
    private let files = LinuxFileSystem()
    private let clock = LinuxClock()
    /// Keeps servers away, if the directory has ever been served; `nil`: it has no lock file, and
    /// gets none.
    private let lock: (any DirectoryLock)?

    /// - Throws: `.locked` if a server runs on it, `.files`.
    package init(_ path: String) throws(OfflineFailure) {
        self.path = path
        do throws(IOError) {
            _ = try self.files.list(path)
            self.lock = try self.files.lockShared("\(path)/\(Self.lockName)")
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

    /// The directory as recovery sees it, without some of its files.
    func environment(hiding hidden: Set<String> = []) -> LogEnvironment {
        LogEnvironment(
            directory: self.path, fileSystem: ReadOnlyFiles(self.files, hiding: hidden),
            clock: self.clock, options: LogOptions())
    }

    /// Reads the state as a start would.
    ///
    /// - Parameter hidden: Names of files that are passed over.
    /// - Throws: As a start is refused.
    /// - Complexity: O(bytes of the newest snapshot and the log behind it).
    package func read(hiding hidden: Set<String> = []) throws(OfflineFailure) -> InspectedDirectory
    {
        let found: InspectedDirectory?
        do throws(RecoveryError) {
            found = try Partition.inspect(
                SegmentedLogStore(self.environment(hiding: hidden)))
        } catch {
            throw OfflineFailure(error)
        }
        guard let found else { throw .refused("\(self.path) holds neither a log nor a snapshot") }
        return found
    }
}
