import ProfileService

extension ServerStatus {
    static func write(_ triggers: TriggerCoordinator, to text: inout MetricsText) {
        let metrics = triggers.metrics
        text.gauge(
            "profiles_trigger_streams", help: "Open WatchTriggers calls.",
            value: Double(triggers.streams))
        text.counter(
            "profiles_trigger_deliveries_total",
            help: "Deliveries of firings to streams, those that were repeated too.",
            value: metrics.deliveries)
        text.counter(
            "profiles_trigger_redeliveries_total",
            help:
                "Firings that were not acknowledged and wait to be delivered again, by the reason.",
            samples: [
                .init(labels: [.init("reason", "deadline")], value: metrics.expirations),
                .init(labels: [.init("reason", "stream_end")], value: metrics.releases),
            ])
    }
}
