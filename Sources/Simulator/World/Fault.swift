/// What goes wrong with a node, its disk, its clock, its network or its log.
package enum Fault: Equatable, Sendable {
    // The process.

    /// The process ends between two steps; the disk keeps what reads see.
    case kill
    /// The process ends within a step, at its n-th call of the disk from now on, 1-based.
    case killAtCall(Int)
    /// The power goes between two steps: of what is not synced anything may be left.
    case powerCut(seed: UInt64)
    /// The power goes within a step, at the n-th call of the disk from now on, 1-based.
    case powerCutAtCall(Int, seed: UInt64)
    /// SIGTERM: calls are drained, the log is sealed, the process starts again.
    case restart

    // The disk. Each strikes the n-th call of its kind from now on, 1-based.

    /// EIO of a read.
    case readError(Int)
    /// EIO of a write, half of which is on the disk.
    case writeError(Int)
    /// A write of which only a part is on the disk, and ENOSPC.
    case shortWrite(Int)
    /// EIO of a sync; what it should have written may be lost.
    case syncError(Int)
    /// EIO of a directory's sync.
    case directorySyncError(Int)
    /// EIO of any call that changes the disk: creation, rename, removal and truncation too.
    case changeError(Int)
    /// No more than these bytes can be written until so many steps have passed.
    case diskFull(bytes: Int, steps: Int)
    /// Bits of a file that is synced and whole turn over.
    case bitRot(seed: UInt64)
    /// Components that use the disk run at most once in this time, for so many steps.
    case slowDisk(nanoseconds: Int, steps: Int)

    // The clock.

    /// The wall clock is set forward, or back by a negative time.
    case clockJump(microseconds: Int)
    /// The wall clock runs fast, or slow by a negative rate, for so many steps.
    case clockDrift(partsPerMillion: Int, steps: Int)

    // The network.

    /// One connection is cut, and what was under way is lost.
    case cutConnection(seed: UInt64)
    /// Neither end of one connection hears of the other again.
    case halfOpen(seed: UInt64)
    /// What connections carry is late by up to this time, each by one of its own.
    case delayNetwork(nanoseconds: Int, steps: Int)
    /// One client reads nothing for so many steps.
    case slowReader(seed: UInt64, steps: Int)

    // The replicated log.

    /// The leader is deposed; the next one keeps so many frames of its tail.
    case deposeLeader(kept: Int)
    /// The leader is deposed and does not hear of it for so many steps.
    case twoLeaders(steps: Int)
}

extension Fault {
    /// Its name in the text form of a plan.
    package var name: String { self.parts.name }

    /// Name and arguments of the text form, the one place that knows them.
    var parts: (name: String, arguments: [Int]) {
        switch self {
        case .kill: ("kill", [])
        case .killAtCall(let number): ("killAtCall", [number])
        case .powerCut(let seed): ("powerCut", [Int(truncatingIfNeeded: seed)])
        case .powerCutAtCall(let number, let seed):
            ("powerCutAtCall", [number, Int(truncatingIfNeeded: seed)])
        case .restart: ("restart", [])
        case .readError(let number): ("readError", [number])
        case .writeError(let number): ("writeError", [number])
        case .shortWrite(let number): ("shortWrite", [number])
        case .syncError(let number): ("syncError", [number])
        case .directorySyncError(let number): ("directorySyncError", [number])
        case .changeError(let number): ("changeError", [number])
        case .diskFull(let bytes, let steps): ("diskFull", [bytes, steps])
        case .bitRot(let seed): ("bitRot", [Int(truncatingIfNeeded: seed)])
        case .slowDisk(let nanoseconds, let steps): ("slowDisk", [nanoseconds, steps])
        case .clockJump(let microseconds): ("clockJump", [microseconds])
        case .clockDrift(let rate, let steps): ("clockDrift", [rate, steps])
        case .cutConnection(let seed): ("cutConnection", [Int(truncatingIfNeeded: seed)])
        case .halfOpen(let seed): ("halfOpen", [Int(truncatingIfNeeded: seed)])
        case .delayNetwork(let nanoseconds, let steps): ("delayNetwork", [nanoseconds, steps])
        case .slowReader(let seed, let steps):
            ("slowReader", [Int(truncatingIfNeeded: seed), steps])
        case .deposeLeader(let kept): ("deposeLeader", [kept])
        case .twoLeaders(let steps): ("twoLeaders", [steps])
        }
    }

    /// The fault of a text form.
    ///
    /// - Returns: `nil` for an unknown name, or another number of arguments than it has.
    init?(name: String, arguments: [Int]) {
        guard let all = Self.examples.first(where: { $0.name == name }),
            all.parts.arguments.count == arguments.count
        else { return nil }
        let first = arguments.first ?? 0
        let last = arguments.last ?? 0
        let seed = UInt64(bitPattern: Int64(first))
        switch all {
        case .kill: self = .kill
        case .killAtCall: self = .killAtCall(first)
        case .powerCut: self = .powerCut(seed: seed)
        case .powerCutAtCall:
            self = .powerCutAtCall(first, seed: UInt64(bitPattern: Int64(last)))
        case .restart: self = .restart
        case .readError: self = .readError(first)
        case .writeError: self = .writeError(first)
        case .shortWrite: self = .shortWrite(first)
        case .syncError: self = .syncError(first)
        case .directorySyncError: self = .directorySyncError(first)
        case .changeError: self = .changeError(first)
        case .diskFull: self = .diskFull(bytes: first, steps: last)
        case .bitRot: self = .bitRot(seed: seed)
        case .slowDisk: self = .slowDisk(nanoseconds: first, steps: last)
        case .clockJump: self = .clockJump(microseconds: first)
        case .clockDrift: self = .clockDrift(partsPerMillion: first, steps: last)
        case .cutConnection: self = .cutConnection(seed: seed)
        case .halfOpen: self = .halfOpen(seed: seed)
        case .delayNetwork: self = .delayNetwork(nanoseconds: first, steps: last)
        case .slowReader: self = .slowReader(seed: seed, steps: last)
        case .deposeLeader: self = .deposeLeader(kept: first)
        case .twoLeaders: self = .twoLeaders(steps: last)
        }
    }

    /// One of each kind.
    package static let examples: [Fault] = [
        .kill, .killAtCall(1), .powerCut(seed: 1), .powerCutAtCall(1, seed: 1), .restart,
        .readError(1), .writeError(1), .shortWrite(1), .syncError(1), .directorySyncError(1),
        .changeError(1), .diskFull(bytes: 4_096, steps: 100), .bitRot(seed: 1),
        .slowDisk(nanoseconds: 1_000_000, steps: 100), .clockJump(microseconds: -1_000_000),
        .clockDrift(partsPerMillion: 500, steps: 100), .cutConnection(seed: 1), .halfOpen(seed: 1),
        .delayNetwork(nanoseconds: 1_000_000, steps: 100), .slowReader(seed: 1, steps: 100),
        .deposeLeader(kept: 1), .twoLeaders(steps: 100),
    ]
}
