import Testing

@testable import ProfileServer

@Suite struct DebugPageTests {
    private func page(_ query: String) -> DebugPage? {
        DebugPage(path: "/debug/streams", query: query)
    }

    @Test func queryNamesAPage() throws {
        let first = try #require(self.page(""))
        #expect(first.loop == 0 && first.slot == 0 && first.limit == DebugPage.limit)
        let next = try #require(self.page("from=3.40&limit=7"))
        #expect(next.loop == 3 && next.slot == 40 && next.limit == 7)
        #expect(next.subject == .streams)
        #expect(DebugPage(path: "/debug/connections", query: "")?.subject == .connections)
    }

    @Test(arguments: [
        "from", "from=", "from=1", "from=1.", "from=.1", "from=1.2.3", "from=-1.0", "from=65.0",
        "from=0.10000000", "limit=0", "limit=501", "limit=x", "limit=1&limit=2", "page=1",
        "limit=%31",
    ])
    func otherQueriesAreRejected(query: String) { #expect(self.page(query) == nil) }

    @Test(arguments: [
        ("", MetricsFormat.prometheus), ("*/*", .prometheus), ("text/plain", .prometheus),
        ("application/openmetrics-text", .openMetrics),
        ("application/openmetrics-text;version=1.0.0,*/*;q=0.1", .openMetrics),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", .openMetrics),
        ("Application/OpenMetrics-Text;Version=1.0.0", .openMetrics),
        ("application/openmetrics-text;version=0.0.1", .prometheus),
        ("application/openmetrics-text;version=2.0.0,text/plain", .prometheus),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.5", .prometheus),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.5", .openMetrics),
        ("application/openmetrics-text;q=0", .prometheus),
        ("application/openmetrics-text;q=x", .prometheus), ("application/json", .prometheus),
        (
            "application/openmetrics-text;version=1.0.0;q=0.8,"
                + "application/openmetrics-text;version=0.0.1;q=0.75,"
                + "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", .openMetrics
        ),
    ])
    func formatOfMetricsFollowsAccept(accept: String, format: MetricsFormat) {
        #expect(MetricsFormat(accept: accept) == format)
    }

    @Test func openMetricsNamesFamiliesOfCountersWithoutTheirSuffixAndHasAnEnd() {
        var text = MetricsText(.openMetrics)
        text.counter("calls_total", help: "Said \"so\".", value: 3)
        text.gauge("level", help: "L.", value: 2)
        text.finish()
        #expect(
            text.text == """
                # HELP calls Said \\"so\\".
                # TYPE calls counter
                calls_total 3
                # HELP level L.
                # TYPE level gauge
                level 2
                # EOF

                """)
    }

    @Test(arguments: [
        ("0", 0), ("1", 1_000_000), ("0.01", 10_000), ("0.000001", 1), ("1.000000", 1_000_000),
        ("0.5", 500_000),
    ])
    func ratioIsReadAndShownAsShortAsItCanBe(text: String, millionths: UInt32) throws {
        let ratio = try #require(Ratio(text))
        #expect(ratio.millionths == millionths && Ratio(ratio.description) == ratio)
        #expect(ratio.description.count <= text.count)
    }
}
