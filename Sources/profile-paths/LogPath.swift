import Bytes
import Glibc
import IOCore
import IOLinux
import IOSimulation
import Storage

/// Frames of sixteen Tracks, each committed before the next, into a log in the folder for temporary
/// files (TMPDIR): what the kernel does for it is not counted.
final class LogPath {
    private static let recordsPerFrame = 16
    /// More than `HotPath.countMax` frames take, so that none of them begins a segment.
    private static let segmentBytes = 64 << 20

    private let log: any CommandLog
    private let payload: PathBytes
    private let directory: String
    private var nextLSN: UInt64 = 2

    init() {
        let paths = PathStore(people: 1)
        let message = PathBytes(PathRequests.track(0))
        paths.writeRecord(of: paths.decodeTrack(message.bytes))
        let record = Array(paths.record.bytes)
        self.payload = PathBytes((0 ..< Self.recordsPerFrame).flatMap { _ in record })
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        self.directory = "\(parent)/profile-paths-\(getpid())"
        let files = LinuxFileSystem()
        var options = LogOptions()
        options.segmentBytes = Self.segmentBytes
        let genesis = PathBytes(record)
        do {
            try files.createDirectory(self.directory)
            // Without a lock, which the log would look after as often as time passes.
            let store = SegmentedLogStore(
                LogEnvironment(
                    directory: self.directory, fileSystem: files, clock: SimulatedClock(),
                    options: options))
            self.log = try store.open(
                genesis: {
                    LogGenesis(
                        directoryID: DirectoryID(high: 1, low: 2),
                        frame: Self.frame(1, operations: 1, genesis.bytes))
                }, target: EmptyTarget(), waker: SilentWaker()
            ).log
            // What is open stays readable, and nothing is left behind.
            for name in try files.list(self.directory) {
                try files.remove("\(self.directory)/\(name)")
            }
            rmdir(self.directory)
        } catch {
            preconditionFailure("cannot open a log in \(self.directory): \(error)")
        }
    }

    private static func frame(
        _ lsn: UInt64, operations: UInt32, _ payload: UnsafeRawBufferPointer
    ) -> LogFrame {
        LogFrame(
            firstLSN: lsn, operationCount: operations, receivedAt: Int64(lsn), rulesVersion: 1,
            results: ResultsMark(lsn: lsn - 1, digest: lsn - 1), payload: payload)
    }

    /// Appends and commits one frame.
    func append(_ index: Int) {
        do throws(AppendError) {
            let operations = UInt32(Self.recordsPerFrame)
            let number = try self.log.append(
                Self.frame(self.nextLSN, operations: operations, self.payload.bytes))
            self.nextLSN += UInt64(operations)
            guard case .committed(number) = self.log.advance() else {
                preconditionFailure("frame \(index) is not committed")
            }
        } catch {
            preconditionFailure("frame \(index) is rejected: \(error)")
        }
    }
}
