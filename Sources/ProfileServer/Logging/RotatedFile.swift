import IOCore
import IOLinux
import Synchronization

/// A file of lines that is opened again on request, because it was rotated. One thread appends.
final class RotatedFile: Sendable {
    /// How often a writer that is blocked looks whether the file is to be opened again, in
    /// milliseconds.
    private static let waitMilliseconds: Int32 = 100

    /// What the server's own log says of it.
    struct Messages: Sendable {
        let opened: StaticString
        let notOpened: StaticString
    }

    private let path: String
    private let log: Log
    private let messages: Messages
    private let file: Guarded<LinuxAppendFile>
    private let isReopenDue = Atomic<Bool>(false)

    /// Opens or creates the file.
    ///
    /// - Throws: `IOError`.
    init(path: String, log: Log, _ messages: Messages) throws(IOError) {
        self.path = path
        self.log = log
        self.messages = messages
        self.file = Guarded(try LinuxAppendFile(path))
    }

    /// Has the file opened again, by the thread that appends, which the caller wakes.
    func requestReopening() {
        self.isReopenDue.store(true, ordering: .releasing)
    }

    /// Opens the file again if that was requested. One that cannot be opened leaves the one before.
    func reopenIfDue() {
        guard self.isReopenDue.exchange(false, ordering: .acquiringAndReleasing) else { return }
        do throws(IOError) {
            let opened = try LinuxAppendFile(self.path)
            self.file.withLock { $0 = opened }
            self.log.info(self.messages.opened)
        } catch {
            self.log.error(self.messages.notOpened, LogField("reason", error.explanation))
        }
    }

    /// Appends a line, for as long as nobody reads or the disk is full; a file that is opened again
    /// meanwhile gets it.
    ///
    /// - Parameter isFinishing: What cannot be written now need not be waited for.
    /// - Returns: `false`: the line is lost.
    func append(_ line: UnsafeRawBufferPointer, isFinishing: () -> Bool) -> Bool {
        while true {
            self.reopenIfDue()
            let isFinishing = isFinishing()
            let file = self.file.withLock { $0 }
            switch file.append(line, waitingAtMost: isFinishing ? 0 : Self.waitMilliseconds) {
            case .written: return true
            case .lost: return false
            case .blocked: if isFinishing { return false }
            }
        }
    }
}
