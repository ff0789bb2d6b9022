import IOCore

/// An open file of a simulated disk; it goes on to name the same node when that is renamed or
/// removed.
final class SimulatedFile: File {
    let path: String
    private let disk: SimulatedDisk
    private let node: Int

    init(disk: SimulatedDisk, path: String, node: Int) {
        self.disk = disk
        self.path = path
        self.node = node
    }

    func size() throws(IOError) -> Int {
        self.disk.state.withLock { $0.disk.nodes[self.node].content.count }
    }

    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws(IOError) -> Int {
        // SAFETY: copies into the caller's buffer, at most its count, while the lock is held.
        nonisolated(unsafe) let target = target
        return try self.disk.attempt("pread", self.path) { state throws(IOError) in
            try state.count("pread", self.path)
            try state.meet(.reads, "pread", self.path)
            let content = state.disk.nodes[self.node].content
            let count = max(0, min(target.count, content.count - offset))
            guard count > 0 else { return 0 }
            content.withUnsafeBytes {
                target.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: $0[offset ..< offset + count]))
            }
            return count
        }
    }

    func write(_ source: UnsafeRawBufferPointer, at offset: Int) throws(IOError) {
        let bytes = Array(source)
        try self.disk.attempt("pwrite", self.path) { state throws(IOError) in
            try state.count("pwrite", self.path)
            var fault = state.faultDue(for: .writes)
            if fault == .lost { return }
            var kept = fault == nil ? bytes.count : bytes.count / 2
            let growth = max(0, offset + bytes.count - state.disk.nodes[self.node].content.count)
            let free =
                state.capacityBytes == Int.max
                ? Int.max : max(0, state.capacityBytes - state.usedBytes)
            if fault == nil, growth > free {
                fault = .noSpace
                kept = max(0, bytes.count - (growth - free))
            }
            if kept > 0 {
                state.perform(.write(node: self.node, offset: offset, bytes: Array(bytes[..<kept])))
            }
            if let fault { throw SimulatedDisk.State.error(fault, "pwrite", self.path) }
        }
    }

    func sync() throws(IOError) {
        try self.disk.attempt("fdatasync", self.path) { state throws(IOError) in
            try state.count("fdatasync", self.path)
            if state.failedNodes.contains(self.node) { state.syncsAfterFailure += 1 }
            if let fault = state.faultDue(for: .syncs) {
                state.failedNodes.insert(self.node)
                state.perform(.failedSync(node: self.node, seed: state.random.next()))
                throw SimulatedDisk.State.error(fault, "fdatasync", self.path)
            }
            if !state.ignoresSync { state.perform(.sync(node: self.node)) }
        }
    }

    func dropCache() {
        self.disk.state.withLock { $0.cacheDrops += 1 }
    }

    func truncate(to size: Int) throws(IOError) {
        try self.disk.attempt("ftruncate", self.path) { state throws(IOError) in
            try state.count("ftruncate", self.path)
            try state.meet(.changes, "ftruncate", self.path)
            state.perform(.truncate(node: self.node, size: size))
        }
    }

    func close() {
        self.disk.state.withLock { $0.openFiles -= 1 }
    }
}
