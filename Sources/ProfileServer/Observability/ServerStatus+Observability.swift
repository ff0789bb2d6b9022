import ProfileService

extension ServerStatus {
    /// Without an access log or an exporter nothing is lost.
    static func write(
        accessLog: AccessLog?, spans: SpanExporter?, to text: inout MetricsText
    ) {
        text.counter(
            "profiles_access_lines_dropped_total",
            help: "Lines of the access log that were lost because nobody read them.",
            value: accessLog?.dropped ?? 0)
        text.counter(
            "profiles_spans_exported_total",
            help: "Calls whose spans the collector took.", value: spans?.exported ?? 0)
        text.counter(
            "profiles_spans_dropped_total",
            help: "Sampled calls whose spans were lost, by the reason.",
            samples: SpanExporter.Loss.allCases.map {
                .init(labels: [.init("reason", $0.label)], value: spans?.dropped($0) ?? 0)
            })
        text.counter(
            "profiles_span_requests_repeated_total",
            help: "Requests to the collector that were sent once more.",
            value: spans?.retries ?? 0)
    }
}
