// The text that Prometheus scrapes. Mistakes in it are silent until somebody notices an empty
// dashboard, so names are checked here, and no family can be written twice.

import IOCore

/// Writes metric families in the order of the calls.
///
/// - Source: prometheus.io, "Exposition formats", text-based format; OpenMetrics 1.0.
package struct MetricsText {
    package struct Label: Equatable, Sendable {
        package let name: StaticString
        package let value: String

        package init(_ name: StaticString, _ value: String) {
            self.name = name
            self.value = value
        }

        package static func == (left: Label, right: Label) -> Bool {
            left.name.description == right.name.description && left.value == right.value
        }
    }

    /// One value of a family.
    package struct Sample: Equatable, Sendable {
        package let labels: [Label]
        package let value: Double

        package init(labels: [Label], value: Double) {
            self.labels = labels
            self.value = value
        }

        /// A count; exact up to 2^53, which is as far as Prometheus can count.
        package init(labels: [Label], value: UInt64) {
            self.init(labels: labels, value: Double(value))
        }
    }

    /// One histogram of a family.
    package struct HistogramSeries: Sendable {
        package let labels: [Label]
        package let histogram: Histogram.Snapshot

        package init(labels: [Label], histogram: Histogram.Snapshot) {
            self.labels = labels
            self.histogram = histogram
        }
    }

    /// The text written so far; every line ends in a line feed.
    package private(set) var text = ""
    private let format: MetricsFormat
    private var families: Set<String> = []
    /// Names of families and of their samples as OpenMetrics knows them, to the family's name here.
    private var reserved: [String: String] = [:]

    package init(_ format: MetricsFormat = .prometheus) { self.format = format }

    /// Ends the page; nothing is written after it.
    package mutating func finish() {
        if self.format == .openMetrics { self.text += "# EOF\n" }
    }

    /// Writes a counter without labels.
    package mutating func counter(_ name: StaticString, help: StaticString, value: UInt64) {
        self.counter(name, help: help, samples: [Sample(labels: [], value: value)])
    }

    /// Writes a counter; its name ends in `_total`.
    package mutating func counter(_ name: StaticString, help: StaticString, samples: [Sample]) {
        self.begin(name, help: help, type: "counter")
        for sample in samples { self.write(name.description, sample.labels, sample.value) }
    }

    /// Writes a gauge without labels.
    package mutating func gauge(_ name: StaticString, help: StaticString, value: Double) {
        self.gauge(name, help: help, samples: [Sample(labels: [], value: value)])
    }

    /// Writes a gauge. A sample whose value is not finite is omitted, because a zero in its place
    /// would be wrong.
    package mutating func gauge(_ name: StaticString, help: StaticString, samples: [Sample]) {
        self.begin(name, help: help, type: "gauge")
        for sample in samples { self.write(name.description, sample.labels, sample.value) }
    }

    /// Writes a histogram without labels.
    package mutating func histogram(
        _ name: StaticString, help: StaticString, _ histogram: Histogram.Snapshot
    ) {
        self.histogram(
            name, help: help, series: [HistogramSeries(labels: [], histogram: histogram)])
    }

    /// Writes a family of histograms: cumulative buckets, `+Inf`, sum and count of each.
    package mutating func histogram(
        _ name: StaticString, help: StaticString, series: [HistogramSeries]
    ) {
        self.begin(name, help: help, type: "histogram")
        for one in series {
            let histogram = one.histogram
            let scale = Double(histogram.bounds.unitsPerShown)
            var cumulated: UInt64 = 0
            for (upper, count) in zip(histogram.bounds.upper, histogram.counts) {
                cumulated &+= count
                let bound = Label("le", self.bound(Double(upper) / scale))
                self.write("\(name)_bucket", one.labels + [bound], Double(cumulated))
            }
            let count = Double(histogram.count)
            self.write("\(name)_bucket", one.labels + [Label("le", "+Inf")], count)
            self.write("\(name)_sum", one.labels, Double(histogram.sum) / scale)
            self.write("\(name)_count", one.labels, count)
        }
    }

    private mutating func begin(_ name: StaticString, help: StaticString, type: StaticString) {
        let family = name.description
        precondition(Self.isName(family, allowsColon: true), "not a metric name")
        precondition(self.families.insert(family).inserted, "a family is written once")
        for name in Self.names(family, type: type) {
            let other = self.reserved.updateValue(family, forKey: name)
            precondition(other == nil, "two families with one name in OpenMetrics")
        }
        // OpenMetrics has quotes escaped in help texts too.
        let help = Self.escape(help.description, quotes: self.format == .openMetrics)
        let shown =
            self.format == .openMetrics && type.description == "counter"
            ? String(family.dropLast(Self.counterSuffix.count)) : family
        self.text += "# HELP \(shown) \(help)\n# TYPE \(shown) \(type)\n"
    }

    private static let counterSuffix = "_total"

    /// A bound of a bucket, which is compared as text: with a fraction in OpenMetrics.
    ///
    /// - Source: OpenMetrics 1.0, "Considerations: canonical numbers".
    private func bound(_ value: Double) -> String {
        let text = Self.format(value)
        return self.format == .openMetrics && value.rounded() == value ? "\(text).0" : text
    }

    /// The names that a family takes in OpenMetrics, where a counter's family has no `_total`: a
    /// gauge and a counter whose names differ by that alone are one family with two types there,
    /// which a reader rejects together with the whole page.
    ///
    /// - Source: OpenMetrics 1.0, "MetricFamily" and "Suffixes".
    private static func names(_ family: String, type: StaticString) -> [String] {
        switch type.description {
        case "counter":
            precondition(
                family.hasSuffix(Self.counterSuffix), "the name of a counter ends in _total")
            let stem = family.dropLast(Self.counterSuffix.count)
            return [String(stem), family, "\(stem)_created"]
        case "histogram":
            return [family] + ["_bucket", "_sum", "_count", "_created"].map { family + $0 }
        default:
            precondition(
                !family.hasSuffix(Self.counterSuffix),
                "only the name of a counter ends in _total")
            return [family]
        }
    }

    private mutating func write(_ name: String, _ labels: [Label], _ value: Double) {
        guard value.isFinite else { return }
        self.text += name
        if !labels.isEmpty {
            let pairs = labels.map { label in
                let name = label.name.description
                precondition(Self.isName(name, allowsColon: false), "not a label name")
                return "\(name)=\"\(Self.escape(label.value, quotes: true))\""
            }
            self.text += "{\(pairs.joined(separator: ","))}"
        }
        self.text += " \(Self.format(value))\n"
    }

    /// The shortest text that reads back as `value`; whole numbers without a fraction, as `le` is
    /// compared as text.
    private static func format(_ value: Double) -> String {
        let wholeMax = 9_007_199_254_740_992.0
        guard value.rounded() == value, value.magnitude <= wholeMax else {
            return value.description
        }
        return Int64(value).description
    }

    /// Escapes a label's value (with quotes) or a help text (without).
    private static func escape(_ text: String, quotes: Bool) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            case "\"" where quotes: escaped += "\\\""
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    private static func isName(_ name: String, allowsColon: Bool) -> Bool {
        var isFirst = true
        for byte in name.utf8 {
            switch byte {
            case UInt8(ascii: "a") ... UInt8(ascii: "z"), UInt8(ascii: "A") ... UInt8(ascii: "Z"),
                UInt8(ascii: "_"):
                break
            case UInt8(ascii: "0") ... UInt8(ascii: "9") where !isFirst:
                break
            case UInt8(ascii: ":") where allowsColon:
                break
            default:
                return false
            }
            isFirst = false
        }
        return !isFirst
    }
}
