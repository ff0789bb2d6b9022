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
        var locks: Set<String> = []
        /// What a lock finds when it examines its directory.
        var hold = DirectoryHold.held
        var fault: DiskFaultPlan?
        var faultsHit = 0
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
    package init(_ state: DiskState = DiskState(), seed: UInt64 = 1) {
        self.state = Mutex(State(disk: state, random: SeededRandom(seed: seed)))
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
            guard state.disk.entries[source] != nil else {
                throw IOError(.notFound, operation: "rename", subject: source, code: 2)
            }
            try state.meet(.changes, "rename", source)
            state.perform(.rename(source: source, target: target))
        }
    }

    package func remove(_ path: String) throws(IOError) {
        try self.attempt("unlink", path) { state throws(IOError) in
            guard state.disk.entries[path] != nil else {
                throw IOError(.notFound, operation: "unlink", subject: path, code: 2)
            }
            try state.meet(.changes, "unlink", path)
            state.perform(.remove(path: path))
        }
    }

    package func syncDirectory(_ path: String) throws(IOError) {
        try self.attempt("fsync", path) { state throws(IOError) in
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
    var usedBytes: Int {
        self.disk.entries.values.reduce(0) { $0 + self.disk.nodes[$1].content.count }
    }

    mutating func perform(_ operation: DiskOperation) {
        self.disk.apply(operation)
        self.operations.append(operation)
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
        guard var plan = self.fault,
            plan.calls == call || (plan.calls == .changes && call != .reads)
        else {
            return nil
        }
        plan.countdown -= 1
        self.fault = plan.countdown == 0 ? nil : plan
        guard plan.countdown == 0 else { return nil }
        self.faultsHit += 1
        return plan.fault
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

    /// How often a planned fault happened.
    package var faultsHit: Int { self.state.withLock { $0.faultsHit } }

    /// Syncs of a file after one of its syncs had failed, within one run of the process.
    package var syncsAfterFailure: Int { self.state.withLock { $0.syncsAfterFailure } }

    /// Files opened and not closed.
    package var openFiles: Int { self.state.withLock { $0.openFiles } }

    /// How often a file was taken out of the page cache.
    package var cacheDrops: Int { self.state.withLock { $0.cacheDrops } }

    /// Makes the n-th call of a kind fail; `nil` takes an earlier plan back.
    package func plan(_ fault: DiskFaultPlan?) { self.state.withLock { $0.fault = fault } }

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
            $0.fault = nil
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
