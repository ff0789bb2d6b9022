import IOCore
import ProfileServer
import Testing

/// A parser of the text format that shares no code with the writer.
private struct ParsedMetrics {
    struct Problem: Error { let line: String }

    var types: [String: String] = [:]
    var helps: [String: String] = [:]
    /// `name{a="b"}` with unescaped values, to its value; in order.
    var samples: [(name: String, labels: [String: String], value: Double)] = []

    init(_ text: String) throws {
        guard text.isEmpty || text.hasSuffix("\n") else { throw Problem(line: "no line end") }
        var family = ""
        for line in text.split(separator: "\n").map(String.init) {
            let words = line.split(separator: " ", maxSplits: 3).map(String.init)
            if line.hasPrefix("# HELP ") {
                guard self.helps.updateValue(words.last!, forKey: words[2]) == nil else {
                    throw Problem(line: line)
                }
            } else if line.hasPrefix("# TYPE ") {
                family = words[2]
                guard self.types.updateValue(words[3], forKey: family) == nil else {
                    throw Problem(line: line)
                }
            } else {
                let sample = try Self.sample(line)
                guard sample.name.hasPrefix(family), !family.isEmpty else {
                    throw Problem(line: line)
                }
                self.samples.append(sample)
            }
        }
    }

    private static func sample(
        _ line: String
    ) throws -> (name: String, labels: [String: String], value: Double) {
        var rest = line[...]
        let name = String(rest.prefix { $0 != "{" && $0 != " " })
        rest = rest.dropFirst(name.count)
        var labels: [String: String] = [:]
        if rest.first == "{" {
            while rest.first != "}" {
                rest = rest.dropFirst()
                let label = String(rest.prefix { $0 != "=" })
                rest = rest.dropFirst(label.count)
                guard rest.hasPrefix("=\"") else { throw Problem(line: line) }
                rest = rest.dropFirst(2)
                var value = ""
                while let character = rest.popFirst(), character != "\"" {
                    guard character == "\\" else {
                        value.append(character)
                        continue
                    }
                    switch rest.popFirst() {
                    case "n": value.append("\n")
                    case "\\": value.append("\\")
                    case "\"": value.append("\"")
                    default: throw Problem(line: line)
                    }
                }
                guard labels.updateValue(value, forKey: label) == nil,
                    rest.first == "," || rest.first == "}"
                else { throw Problem(line: line) }
            }
            rest = rest.dropFirst()
        }
        guard rest.first == " ", let value = Double(rest.dropFirst()), value.isFinite else {
            throw Problem(line: line)
        }
        return (name, labels, value)
    }
}

@Suite struct MetricsTextTests {
    @Test func familiesAreWrittenInTheOrderOfTheCalls() {
        var metrics = MetricsText()
        metrics.gauge("b", help: "Second\nline \\ \"quoted\".", value: 0.25)
        metrics.counter(
            "a_total", help: "First.",
            samples: [
                .init(labels: [.init("method", "Track"), .init("code", "OK")], value: UInt64(7)),
                .init(labels: [.init("method", "Get"), .init("code", "OK")], value: UInt64(8)),
            ])
        #expect(
            metrics.text == """
                # HELP b Second\\nline \\\\ "quoted".
                # TYPE b gauge
                b 0.25
                # HELP a_total First.
                # TYPE a_total counter
                a_total{method="Track",code="OK"} 7
                a_total{method="Get",code="OK"} 8

                """)
    }

    @Test func hostileLabelValueReadsBackUnchanged() throws {
        let hostile = "a\"b\\n\n}{ 1\nfake_total 9,=\\\\\"é"
        var metrics = MetricsText()
        metrics.gauge(
            "x", help: "X.", samples: [.init(labels: [.init("value", hostile)], value: 1.0)])
        let parsed = try ParsedMetrics(metrics.text)
        #expect(parsed.samples.count == 1)
        #expect(parsed.samples.first?.labels == ["value": hostile])
    }

    @Test func histogramIsCumulativeAndEndsInItsCount() throws {
        let histogram = Histogram(bounds: .fdatasyncSeconds)
        for nanoseconds: UInt64 in [0, 50_000, 50_001, 1_000_000_000, 6_000_000_000] {
            histogram.record(nanoseconds)
        }
        var metrics = MetricsText()
        metrics.histogram(
            "sync_seconds", help: "S.",
            series: [.init(labels: [.init("disk", "a")], histogram: histogram.snapshot())])
        let parsed = try ParsedMetrics(metrics.text)
        #expect(parsed.types == ["sync_seconds": "histogram"])
        let buckets = parsed.samples.filter { $0.name == "sync_seconds_bucket" }
        #expect(buckets.map(\.labels).allSatisfy { $0["disk"] == "a" })
        #expect(buckets.compactMap { $0.labels["le"] }.first == "5e-05")
        #expect(buckets.compactMap { $0.labels["le"] }.suffix(3) == ["1", "5", "+Inf"])
        #expect(buckets.map(\.value) == [2] + [Double](repeating: 3, count: 12) + [4, 4, 5])
        #expect(parsed.samples.suffix(2).map(\.name) == ["sync_seconds_sum", "sync_seconds_count"])
        #expect(parsed.samples.suffix(2).map(\.value) == [7.000100001, 5])
    }

    @Test func valueThatIsNotFiniteIsOmitted() throws {
        var metrics = MetricsText()
        metrics.gauge("a", help: "A.", value: .nan)
        metrics.gauge("b", help: "B.", value: .infinity)
        metrics.gauge("c", help: "C.", value: 1e300)
        let parsed = try ParsedMetrics(metrics.text)
        #expect(parsed.samples.map(\.name) == ["c"])
        #expect(parsed.samples.map(\.value) == [1e300])
    }

    @Test func largestCountsStayFinite() throws {
        var metrics = MetricsText()
        metrics.counter("a_total", help: "A.", value: .max)
        metrics.counter("b_total", help: "B.", value: 1 << 53)
        let parsed = try ParsedMetrics(metrics.text)
        #expect(parsed.samples.map(\.value) == [0x1p64, 9_007_199_254_740_992])
    }
}
