// A disk in memory that remembers every call, knows what a power cut would leave, and fails when
// told to. Tests only.

import Bytes
import IOCore
import Synchronization

/// A file system for tests: deterministic, with faults, power cuts and a record of everything that
/// changed it.
package final class SimulatedDisk: FileSystem {
    /// Everything behind the lock.
    struct State: Sendable {
        var disk: DiskState
        var operations: [DiskOperation] = []
        /// Whether `operations` grows.
        let isRecording: Bool
        var locks: Set<String> = []
        /// What a lock finds when it examines its directory.
        var hold = DirectoryHold.held
        var faults: [DiskFaultPlan] = []
        var faultsHit = 0
        /// Calls that were made, those that failed too.
        var calls = 0
        /// Calls until the process is stopped; `nil`: it is not planned.
        var callsUntilStop: Int?
        /// Nothing that the process does reaches the disk any more.
        var isStopped = false
        var random: SeededRandom
        /// Sabotage: syncs return at once and do nothing.
        var ignoresSync = false
        var capacityBytes = Int.max
        /// Nodes whose sync has failed and which were synced again afterwards: forbidden by L8.
        var syncsAfterFailure = 0
        var failedNodes: Set<Int> = []
        var openFiles = 0
        var cacheDrops = 0
    }

    let state: Mutex<State>

    /// - Parameters:
    ///   - state: What is on it at first.
    ///   - seed: Decides what a failed sync leaves.
    ///   - isRecording: Whether every change is kept in `operations`, with its bytes.
    package init(_ state: DiskState = DiskState(), seed: UInt64 = 1, isRecording: Bool = true) {
        self.state = Mutex(
            State(disk: state, isRecording: isRecording, random: SeededRandom(seed: seed)))
    }

    package func createDirectory(_ path: String) throws(IOError) {}

    package func list(_ directory: String) throws(IOError) -> [String] {
        let prefix = directory + "/"
        let paths = self.state.withLock { $0.disk.entries.keys.filter { $0.hasPrefix(prefix) } }
        return paths.map { String($0.dropFirst(prefix.count)) }.filter { !$0.contains("/") }
            .sorted()
    }

    package func open(_ path: String, _ access: FileAccess) throws(IOError) -> any File {
        let node = try self.attempt("open", path) { state throws(IOError) in
            let found = state.disk.entries[path]
            try state.count("open", path)
            guard access == .create else {
                guard let found else {
                    throw IOError(.notFound, operation: "open", subject: path, code: 2)
                }
                state.openFiles += 1
                return found
            }
            guard found == nil else {
                throw IOError(.exists, operation: "open", subject: path, code: 17)
            }
            try state.meet(.changes, "open", path)
            let node = state.disk.nodes.count
            state.perform(.create(path: path, node: node))
            state.openFiles += 1
            return node
        }
        return SimulatedFile(disk: self, path: path, node: node)
    }

    package func rename(_ source: String, to target: String) throws(IOError) {
        try self.attempt("rename", source) { state throws(IOError) in
            try state.count("rename", source)
            guard state.disk.entries[source] != nil else {
                throw IOError(.notFound, operation: "rename", subject: source, code: 2)
            }
            try state.meet(.changes, "rename", source)
            state.perform(.rename(source: source, target: target))
        }
    }

    package func remove(_ path: String) throws(IOError) {
        try self.attempt("unlink", path) { state throws(IOError) in
            try state.count("unlink", path)
            guard state.disk.entries[path] != nil else {
                throw IOError(.notFound, operation: "unlink", subject: path, code: 2)
            }
            try state.meet(.changes, "unlink", path)
            state.perform(.remove(path: path))
        }
    }

    package func syncDirectory(_ path: String) throws(IOError) {
        try self.attempt("fsync", path) { state throws(IOError) in
            try state.count("fsync", path)
            try state.meet(.directorySyncs, "fsync", path)
            if !state.ignoresSync { state.perform(.syncDirectory(path)) }
        }
    }

    package func lockDirectory(_ directory: String) throws(IOError) -> any DirectoryLock {
        let isNew = self.state.withLock { $0.locks.insert(directory).inserted }
        guard isNew else {
            throw IOError(.locked, operation: "flock", subject: directory, code: 11)
        }
        return SimulatedLock(disk: self, path: directory)
    }

    package func freeBytes(_ directory: String) throws(IOError) -> UInt64 {
        self.state.withLock { UInt64(max(0, $0.capacityBytes - $0.usedBytes)) }
    }

    package func canonicalPath(_ path: String) throws(IOError) -> String { path }

    package func kind(_ directory: String) -> String { "simulated" }

    func attempt<Result: Sendable>(
        _ operation: StaticString, _ subject: String,
        _ body: (inout State) throws(IOError) -> Result
    ) throws(IOError) -> Result {
        let outcome = self.state.withLock { state -> Swift.Result<Result, IOError> in
            do throws(IOError) { return .success(try body(&state)) } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }
}

extension SimulatedDisk.State {
    var usedBytes: Int { self.disk.usedBytes }

    mutating func perform(_ operation: DiskOperation) {
        self.disk.apply(operation)
        if self.isRecording { self.operations.append(operation) }
    }

    /// Counts one call of the process, which may be the one that it does not survive.
    ///
    /// - Throws: EIO once the process is stopped: what it does then is never seen.
    mutating func count(_ operation: StaticString, _ subject: String) throws(IOError) {
        self.calls += 1
        if let left = self.callsUntilStop {
            self.callsUntilStop = left > 1 ? left - 1 : nil
            self.isStopped = left <= 1
        }
        if self.isStopped { throw Self.error(.inputOutput, operation, subject) }
    }

    /// Counts one call against the plan.
    ///
    /// - Throws: The planned fault when this is the call.
    mutating func meet(
        _ call: DiskFaultPlan.Calls, _ operation: StaticString, _ subject: String
    ) throws(IOError) {
        guard let fault = self.faultDue(for: call) else { return }
        throw Self.error(fault, operation, subject)
    }

    mutating func faultDue(for call: DiskFaultPlan.Calls) -> DiskFault? {
        guard !self.faults.isEmpty else { return nil }
        var due: DiskFault?
        for index in self.faults.indices.reversed() where self.faults[index].counts(call) {
            self.faults[index].countdown -= 1
            guard self.faults[index].countdown == 0 else { continue }
            // Of two that are due at once, the first planned one happens.
            due = self.faults.remove(at: index).fault
        }
        if due != nil { self.faultsHit += 1 }
        return due
    }

    static func error(_ fault: DiskFault, _ operation: StaticString, _ subject: String) -> IOError {
        switch fault {
        case .inputOutput: IOError(.other, operation: operation, subject: subject, code: 5)
        case .noSpace: IOError(.noSpace, operation: operation, subject: subject, code: 28)
        case .lost: preconditionFailure("only a write can be lost")
        }
    }
}

// MARK: What tests ask and command

extension SimulatedDisk {
    /// Everything that changed the disk so far, in order.
    package var operations: [DiskOperation] { self.state.withLock { $0.operations } }

    package var operationCount: Int { self.state.withLock { $0.operations.count } }

    /// What reads see now.
    package var snapshot: DiskState { self.state.withLock { $0.disk } }

    /// The node that a path leads to, and how often its content was changed; `nil` if there is
    /// none, or if not all of it is synced.
    package func syncedNode(at path: String) -> (number: Int, changes: Int)? {
        self.state.withLock { state in
            guard let node = state.disk.node(at: path), state.disk.isSynced(node) else {
                return nil
            }
            return (node, state.disk.changes(of: node))
        }
    }

    /// How often a node's content was changed.
    package func changes(of node: Int) -> Int { self.state.withLock { $0.disk.changes(of: node) } }

    /// Turns bits of a byte over, on stable storage and for reads: damage, not a write.
    package func flip(_ mask: UInt8, at offset: Int, of node: Int) {
        self.state.withLock { $0.disk.flip(mask, at: offset, of: node) }
    }

    /// How often a planned fault happened.
    package var faultsHit: Int { self.state.withLock { $0.faultsHit } }

    /// Syncs of a file after one of its syncs had failed, within one run of the process.
    package var syncsAfterFailure: Int { self.state.withLock { $0.syncsAfterFailure } }

    /// Files opened and not closed.
    package var openFiles: Int { self.state.withLock { $0.openFiles } }

    /// How often a file was taken out of the page cache.
    package var cacheDrops: Int { self.state.withLock { $0.cacheDrops } }

    /// Makes the n-th call of a kind fail; `nil` takes an earlier plan back.
    package func plan(_ fault: DiskFaultPlan?) {
        self.state.withLock { $0.faults = fault.map { [$0] } ?? [] }
    }

    /// Makes one more call fail, beside those that are planned already.
    package func add(_ fault: DiskFaultPlan) { self.state.withLock { $0.faults.append(fault) } }

    /// Calls of the process so far, those that failed too.
    package var calls: Int { self.state.withLock { $0.calls } }

    /// Bytes of all files, as reads see them.
    ///
    /// - Complexity: O(1).
    package var usedBytes: Int { self.state.withLock { $0.usedBytes } }

    /// Stops the process at the n-th call from now on, 1-based: that one and all behind it fail,
    /// and nothing of them reaches the disk. Whoever steps the process must end it then.
    package func stop(atCall number: Int) {
        self.state.withLock { $0.callsUntilStop = number }
    }

    /// Takes every planned error and stop back.
    package func clearFaults() {
        self.state.withLock {
            $0.faults = []
            $0.callsUntilStop = nil
        }
    }

    /// Whether the process has come to the call that it does not survive.
    package var isStopped: Bool { self.state.withLock { $0.isStopped } }

    /// From now on the locked directory is found removed, replaced or shared.
    package func lose(_ hold: DirectoryHold) { self.state.withLock { $0.hold = hold } }

    /// Whether a process has a lock.
    package var isLocked: Bool { self.state.withLock { !$0.locks.isEmpty } }

    /// Limits what all files together may hold, in bytes: what is over fails with ENOSPC.
    package func limit(toBytes capacity: Int) {
        self.state.withLock { $0.capacityBytes = capacity }
    }

    /// Sabotage: from now on a sync says yes and does nothing.
    package func ignoreSyncs() { self.state.withLock { $0.ignoresSync = true } }

    /// The process ends: locks go, what reads see stays.
    package func killProcess() {
        self.state.withLock {
            $0.locks.removeAll()
            $0.hold = .held
            $0.failedNodes.removeAll()
            $0.openFiles = 0
            $0.faults = []
            $0.callsUntilStop = nil
            $0.isStopped = false
        }
    }

    /// The power goes and comes back: the process has ended, and of what it had not synced the disk
    /// has one of the legal contents.
    package func cutPower(seed: UInt64) {
        self.killProcess()
        self.state.withLock {
            var random = SeededRandom(seed: seed)
            $0.disk = $0.disk.afterPowerCut(&random)
        }
    }

    /// The power goes: another disk, with one of the legal contents.
    package func afterPowerCut(seed: UInt64) -> SimulatedDisk {
        var random = SeededRandom(seed: seed)
        return SimulatedDisk(self.snapshot.afterPowerCut(&random), seed: seed)
    }
}

/// A lock of a simulated disk.
final class SimulatedLock: DirectoryLock {
    private let disk: SimulatedDisk
    private let path: String

    init(disk: SimulatedDisk, path: String) {
        self.disk = disk
        self.path = path
    }

    func claim() throws(IOError) {}

    func examine() -> DirectoryHold { self.disk.state.withLock { $0.hold } }

    func release() {
        _ = self.disk.state.withLock { $0.locks.remove(self.path) }
    }
}
