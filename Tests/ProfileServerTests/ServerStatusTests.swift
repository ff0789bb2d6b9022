import IOCore
import ProfileService
import Storage
import Testing

@testable import ProfileServer

/// How a start that failed ends the process (docs/operations.md, "Signals and exit codes").
@Suite struct ServerStatusTests {
    @Test(arguments: [StorageError.noSpace, .poisoned])
    func startWithoutSpaceOrWithAFailedLogMayBeTriedAgain(error: StorageError) {
        // Found by F9: the first seal of a start met a full disk, and the data counted as damaged.
        let (code, text) = ServerStatus.explain(.storage(error))
        #expect(code == .unexpected)
        #expect(text == error.description)
    }

    @Test func startOnDamagedOrLockedDataIsNotTriedAgain() {
        let missing = ServerStatus.explain(.storage(.missingSegment(number: 3)))
        #expect(missing.code == .dataRejected)
        let locked = ServerStatus.explain(.storage(.locked(path: "/data")))
        #expect(locked.code == .directoryLocked)
    }
}
