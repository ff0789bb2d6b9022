/// The two text formats of metrics.
package enum MetricsFormat: Sendable, Hashable, CaseIterable {
    /// Prometheus text 0.0.4.
    case prometheus
    /// OpenMetrics 1.0: names of counters' families without `_total`, and an end that shows a page
    /// that was cut. There are neither exemplars nor times of creation.
    case openMetrics

    /// The `Content-Type` it must be served with.
    package var contentType: StaticString {
        switch self {
        case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// Chooses by an `Accept` field, or several that are joined by commas: OpenMetrics for those
    /// who prefer it to plain text, or like it as much.
    ///
    /// - Source: RFC 9110, section 12.5.1.
    init(accept: String) {
        var (openMetrics, plain, any) = (-1.0, -1.0, -1.0)
        for range in accept.split(separator: ",") {
            let parts = range.split(separator: ";").map { Self.trim($0).lowercased() }
            guard let type = parts.first else { continue }
            let quality = Self.quality(parts.dropFirst())
            switch type {
            case "application/openmetrics-text":
                let version = parts.dropFirst().first { $0.hasPrefix("version=") }
                guard [nil, "version=1.0.0", "version=1.0.1"].contains(version) else { continue }
                openMetrics = max(openMetrics, quality)
            case "text/plain", "text/*": plain = max(plain, quality)
            case "*/*": any = max(any, quality)
            default: break
            }
        }
        let other = plain >= 0 ? plain : any
        self = openMetrics > 0 && openMetrics >= other ? .openMetrics : .prometheus
    }

    /// The weight of a media range; 1 if it has none, 0 if it is not a number of 0...1.
    private static func quality(_ parameters: ArraySlice<String>) -> Double {
        guard let parameter = parameters.first(where: { $0.hasPrefix("q=") }) else { return 1 }
        guard let quality = Double(parameter.dropFirst(2)), (0 ... 1).contains(quality) else {
            return 0
        }
        return quality
    }

    private static func trim(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }
}
