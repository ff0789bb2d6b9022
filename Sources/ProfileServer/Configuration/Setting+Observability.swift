// The settings that say what the server tells of its calls; a part of the table.

import ProfileService

extension Setting {
    static let observability: [Setting] = [
        .file(
            "access-log",
            summary:
                "Gets a JSON line for calls that have ended; opened again at SIGHUP. `stderr` puts"
                + " the lines between those of the server's own log.",
            in: \.accessLog, others: "stderr, "),
        Setting(
            name: "access-log-sample", valueName: "RATIO",
            summary: "Share of the calls that the access log gets; slow ones come beside it.",
            unit: "ratio", allowed: Ratio.allowed,
            write: { Self.store(Ratio($0), in: \.accessLogSample, of: &$1) },
            read: { $0.accessLogSample.description }),
        .number(
            "access-log-slow-milliseconds", of: "milliseconds",
            summary: "From here on a unary call is slow, and the access log always gets it.",
            in: \.slowMilliseconds, Configuration.slowMillisecondsRange),
        Setting(
            name: "otlp-endpoint", valueName: "URL",
            summary:
                "The collector that sampled spans are sent to, by OTLP over HTTP in JSON. They have"
                + " methods, times, codes, projects and addresses of clients, never anything of a"
                + " person.",
            unit: "URL", allowed: "none, or \(CollectorURL.allowed)",
            write: { value, configuration in
                configuration.otlpEndpoint = CollectorURL(value)
                return value == "none" || configuration.otlpEndpoint != nil
            },
            read: { $0.otlpEndpoint?.description ?? "none" }),
        Setting(
            name: "otlp-sample", valueName: "RATIO",
            summary:
                "Share of the calls without a traceparent that begin a sampled trace; of the others"
                + " the caller decides.",
            unit: "ratio", allowed: Ratio.allowed,
            write: { Self.store(Ratio($0), in: \.otlpSample, of: &$1) },
            read: { $0.otlpSample.description }),
        .number(
            "metrics-projects", of: "projects",
            summary:
                "Projects with a label of their own in the metrics, the first ones with items; the"
                + " others share the label \(ItemAccounting.others).",
            in: \.metricsProjects, Configuration.metricsProjectsRange),
    ]
}
