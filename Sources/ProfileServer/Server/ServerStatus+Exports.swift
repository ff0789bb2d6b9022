import ProfileService

extension ServerStatus {
    static func write(_ exports: ExportCoordinator, to text: inout MetricsText) {
        let metrics = exports.metrics
        text.gauge(
            "profiles_exports_open", help: "Open ExportProfile and ExportProject calls.",
            value: Double(metrics.open))
        text.counter(
            "profiles_exported_profiles_total", help: "Profiles that were read for exports.",
            value: metrics.people)
        text.counter(
            "profiles_exported_parts_total",
            help: "Parts of exports that were handed to their calls.", value: metrics.parts)
    }
}
