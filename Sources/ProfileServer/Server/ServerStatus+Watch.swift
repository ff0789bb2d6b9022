import IOLinux
import ProfileService
import Storage

extension ServerStatus {
    static func write(_ watchers: WatchCoordinator, of feed: Feed, to text: inout MetricsText) {
        let metrics = watchers.metrics
        let lag = metrics.lag(in: feed, wallMicroseconds: LinuxClock().wallMicroseconds())
        text.gauge(
            "profiles_watch_watchers", help: "Open Watch calls.", value: Double(metrics.watchers))
        text.gauge(
            "profiles_watch_lag_lsns",
            help: "From the first change that the slowest watcher has not considered to the last.",
            value: Double(lag.lsns))
        text.gauge(
            "profiles_watch_lag_seconds",
            help: "Age of the first change that the slowest watcher has not considered; 0: none.",
            value: Double(lag.microseconds) / 1e6)
        text.counter(
            "profiles_watch_changes_total", help: "Changes handed to watchers.",
            value: metrics.changes)
        text.counter(
            "profiles_watch_positions_gone_total",
            help: "Watchers that ended because their position was not kept, or had not come.",
            value: metrics.positionsGone)
    }
}
