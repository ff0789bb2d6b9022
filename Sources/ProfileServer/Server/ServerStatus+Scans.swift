import ProfileService

extension ServerStatus {
    static func write(_ scans: ScanCoordinator, to text: inout MetricsText) {
        text.gauge(
            "profiles_scans_open", help: "Open CountProfiles and ListProfiles calls.",
            value: Double(scans.scans))
        text.counter(
            "profiles_scans_total", help: "Counts and pages of lists that came to their end.",
            value: scans.metrics.ended)
        text.counter(
            "profiles_scan_work_total",
            help: "Work of counts and lists, in units of some 50 ns of one core.",
            value: scans.metrics.work)
        text.counter(
            "profiles_scans_too_dear_total",
            help: "Counts rejected because they would have taken longer than they may.",
            value: scans.metrics.tooDear)
    }
}
