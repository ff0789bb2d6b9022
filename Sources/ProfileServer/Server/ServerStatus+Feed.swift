import Storage

extension ServerStatus {
    static func write(_ feed: Feed, to text: inout MetricsText) {
        text.gauge(
            "profiles_feed_bytes", help: "Size of the change feed on disk.",
            value: Double(feed.fileBytes))
        text.gauge(
            "profiles_feed_unsynced_bytes",
            help: "Changes that are in memory only; with 64 MiB of them writes wait.",
            value: Double(feed.unsyncedBytes))
        text.gauge(
            "profiles_feed_earliest_lsn", help: "The first lsn whose changes are kept.",
            value: Double(feed.earliestLSN))
        text.gauge(
            "profiles_feed_head_lsn", help: "The last lsn that the change feed has.",
            value: Double(feed.headLSN))
        text.counter(
            "profiles_feed_blocks_total",
            help: "Blocks of changes written to disk since the start.",
            value: feed.metrics.blocks)
        text.counter(
            "profiles_feed_failures_total",
            help: "Failed calls of the operating system on files of the change feed.",
            value: feed.metrics.failures)
        text.counter(
            "profiles_feed_losses_total",
            help: "Times that changes were lost to watchers before their time.",
            value: feed.metrics.losses)
    }
}
