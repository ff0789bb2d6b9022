/// One call that changed a simulated disk; the recorded calls, applied again, give the same disk.
///
/// Files are named by the index of their node, because a node keeps its content when it is renamed
/// or removed while open.
package enum DiskOperation: Equatable, Sendable {
    case create(path: String, node: Int)
    case write(node: Int, offset: Int, bytes: [UInt8])
    case truncate(node: Int, size: Int)
    case sync(node: Int)
    /// A sync that failed: the pages count as clean from now on, and which of them reached the disk
    /// follows from the seed.
    case failedSync(node: Int, seed: UInt64)
    case rename(source: String, target: String)
    case remove(path: String)
    case syncDirectory(String)
}
