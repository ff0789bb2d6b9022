import IOCore
import IOSimulation
import Testing

/// What the simulator asks of its disk beside the faults of single calls.
@Suite struct SimulatedDiskFaultTests {
    private static func write(_ file: any File, _ text: String, at offset: Int) throws {
        try Array(text.utf8).withUnsafeBytes { try file.write($0, at: offset) }
    }

    private static func text(_ disk: SimulatedDisk, _ path: String) -> String? {
        disk.snapshot.files.first { $0.path == path }.map {
            String(decoding: $0.content, as: UTF8.self)
        }
    }

    @Test(arguments: 1 ... 4)
    func nothingOfAStoppedProcessReachesTheDisk(number: Int) throws {
        let disk = SimulatedDisk(isRecording: false)
        let file = try disk.open("d/a", .create)
        try Self.write(file, "one", at: 0)
        disk.stop(atCall: number)
        var failed = 0
        for round in 0 ..< 6 {
            do { try Self.write(file, "\(round)", at: 3 + round) } catch { failed += 1 }
        }
        #expect(failed == 7 - number)
        #expect(disk.isStopped)
        #expect(Self.text(disk, "d/a")?.utf8.count == 3 + number - 1)
        #expect(throws: IOError.self) { try file.sync() }
        disk.killProcess()
        #expect(!disk.isStopped)
        _ = try disk.open("d/a", .read)
    }

    @Test func severalPlannedErrorsStrikeEachItsCall() throws {
        let disk = SimulatedDisk()
        let file = try disk.open("d/a", .create)
        disk.add(DiskFaultPlan(.inputOutput, of: .writes, number: 2))
        disk.add(DiskFaultPlan(.inputOutput, of: .writes, number: 4))
        disk.add(DiskFaultPlan(.inputOutput, of: .syncs, number: 1))
        let failures = (0 ..< 5).map { round in
            do {
                try Self.write(file, "x", at: round)
                return false
            } catch { return true }
        }
        #expect(failures == [false, true, false, true, false])
        #expect(throws: IOError.self) { try file.sync() }
        #expect(disk.faultsHit == 3)
    }

    @Test func bitsTurnOverAndBack() throws {
        let disk = SimulatedDisk()
        let file = try disk.open("d/a", .create)
        try Self.write(file, "abc", at: 0)
        #expect(disk.syncedNode(at: "d/a") == nil)
        try file.sync()
        let node = try #require(disk.syncedNode(at: "d/a"))
        disk.flip(1, at: 1, of: node.number)
        #expect(Self.text(disk, "d/a") == "acc")
        #expect(disk.changes(of: node.number) == node.changes)
        try disk.syncDirectory("d")
        disk.cutPower(seed: 3)
        #expect(Self.text(disk, "d/a") == "acc")
        disk.flip(1, at: 1, of: node.number)
        #expect(Self.text(disk, "d/a") == "abc")
        try Self.write(try disk.open("d/a", .update), "x", at: 0)
        #expect(disk.changes(of: node.number) == node.changes + 1)
    }

    @Test func usedBytesAreThoseOfTheFilesThatHaveAName() throws {
        let disk = SimulatedDisk()
        for seed in 0 ..< 200 as Range<UInt64> {
            var random = SeededRandom(seed: seed)
            let (one, two) = ("d/\(random.below(4))", "d/\(random.below(4))")
            switch random.below(6) {
            case 0: if let file = try? disk.open(one, .create) { file.close() }
            case 1: try? disk.rename(one, to: two)
            case 2: try? disk.remove(one)
            case 3: try? disk.open(one, .update).truncate(to: random.below(3_000))
            case 4: if random.below(4) == 0 { disk.cutPower(seed: seed) }
            default:
                if let file = try? disk.open(one, .update) {
                    try Self.write(file, "some bytes", at: random.below(2_000))
                    if random.below(2) == 0 { try file.sync() }
                }
            }
            let files = disk.snapshot.files.reduce(0) { $0 + $1.content.count }
            #expect(disk.usedBytes == files, "step \(seed)")
        }
    }

    /// A sync must leave what a copy of all sectors would.
    @Test func syncedContentIsWhatReadsSee() throws {
        for seed in 0 ..< 100 as Range<UInt64> {
            var random = SeededRandom(seed: seed)
            let disk = SimulatedDisk()
            let file = try disk.open("d/a", .create)
            try disk.syncDirectory("d")
            for _ in 0 ..< 12 {
                switch random.below(4) {
                case 0: try file.truncate(to: random.below(3_000))
                case 1: try file.sync()
                default:
                    let bytes = [UInt8](repeating: UInt8(random.below(256)), count: 700)
                    try bytes.withUnsafeBytes { try file.write($0, at: random.below(2_000)) }
                }
            }
            try file.sync()
            let before = Self.text(disk, "d/a")
            disk.cutPower(seed: seed)
            #expect(Self.text(disk, "d/a") == before, "seed \(seed)")
        }
    }
}
