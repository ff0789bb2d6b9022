import Bytes
import Synchronization

@testable import Profiles

/// Runs `body` with a project of its own memory, which is freed at the end.
func withProject(_ id: UInt32 = 1, _ body: (Project) throws -> Void) rethrows {
    let nameBytes = UnsafeMutablePointer<Int>.allocate(capacity: 1)
    nameBytes.initialize(to: 0)
    let project = Project(
        hash: KeyedHash(key: SipHashKey(k0: 1, k1: 2), mask: .max), nameBytes: nameBytes)
    project.record.pointee.id.store(id, ordering: .relaxed)
    defer {
        project.destroy()
        nameBytes.deallocate()
    }
    try body(project)
}
