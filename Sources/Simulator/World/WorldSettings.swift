import IOSimulation
import ProfileService

/// How the nodes of one world are set up: small files, short times, and sizes that differ from seed
/// to seed, so that few steps meet many edges.
package struct WorldSettings {
    /// Of the plan.
    let seed: UInt64
    package let configuration: NodeConfiguration
    /// How reluctantly each kind of candidate runs, in eighths: 0 always, 7 seldom. Components that
    /// lag behind the others are what orders differ in.
    let reluctance: [Int]
    /// One step in so many lets a little time pass although somebody has work.
    let stepsPerDelay: Int

    /// Time from a write to when nothing of an erased person is left on a disk, in nanoseconds,
    /// with the ages below: two snapshots, one segment of the feed, and looks at them.
    package static let erasureNanoseconds: UInt64 = 400_000_000_000

    package init(seed: UInt64) {
        self.seed = seed
        var random = RandomStream.settings.random(of: seed)
        var configuration = NodeConfiguration(dataDirectory: "d")
        configuration.loops = 1 + random.below(3)
        configuration.log.segmentBytes = 32_768 << random.below(3)
        configuration.log.prepareStepBytes = 4_096
        configuration.log.idleSealNanoseconds = UInt64(1 + random.below(100)) * 1_000_000
        configuration.log.tornFilesKept = 2
        configuration.feed.blockBytes = 1_024
        configuration.feed.segmentBytesMax = 4_096 << random.below(3)
        configuration.feed.memoryBytes = 4_096
        configuration.feed.syncBytes = 2_048
        configuration.feed.unsyncedBytesMax = 32_768
        // A day of the defaults is two minutes here.
        configuration.feed.ageMicrosecondsMax = 100_000_000
        configuration.feed.segmentMicrosecondsMax = 10_000_000
        configuration.snapshots.logBytesMax = UInt64(8_192 << random.below(4))
        configuration.snapshots.ageNanosecondsMax = 60_000_000_000
        configuration.snapshots.retryNanoseconds = 2_000_000_000
        // A follower knows from a heartbeat that it has everything, so a run ends with one.
        configuration.watch.heartbeatNanoseconds = 300_000_000
        configuration.scrub.firstNanoseconds = 5_000_000_000
        configuration.scrub.intervalNanoseconds = 20_000_000_000
        self.configuration = configuration
        self.reluctance = (0 ..< 16).map { _ in max(0, random.below(12) - 4) }
        self.stepsPerDelay = 4 << random.below(4)
    }

    /// Of the random source of one process: keys and tokens must differ from those of the process
    /// before.
    func secretSeed(ofNode node: Int, life: Int) -> UInt64 {
        var random = RandomStream.secrets.random(of: self.seed, node << 16 | life)
        return random.next()
    }
}
