import Testing

@testable import ProfileClient

@Suite struct LoadTests {
    @Test func percentilesAreWithinOneBucketOfTheExactValue() {
        var histogram = LatencyHistogram()
        for value in UInt64(1) ... 100_000 { histogram.record(value * 1_000) }
        for (share, truth) in [(0.5, 50_000_000.0), (0.99, 99_000_000), (0.999, 99_900_000)] {
            let found = Double(histogram.percentile(share))
            #expect(found >= truth && found <= truth * 1.016)
        }
        #expect(histogram.percentile(1) == 100_000_000)
        #expect(histogram.count == 100_000)
    }

    @Test(arguments: [0, 1, 63, 64, 127, 128, 1 << 40, UInt64.max])
    func everyLatencyHasABucket(value: UInt64) {
        var histogram = LatencyHistogram()
        histogram.record(value)
        #expect(histogram.percentile(0.5) == value)
        #expect(histogram.rows.map(\.count).reduce(0, +) == 1)
    }

    @Test func histogramsAddUp() {
        var (one, other) = (LatencyHistogram(), LatencyHistogram())
        one.record(10)
        other.record(1_000_000)
        one.add(other)
        #expect(one.count == 2 && one.maximum == 1_000_000 && one.percentile(0.5) == 10)
    }

    @Test func emptyHistogramHasNoRows() {
        #expect(LatencyHistogram().rows.isEmpty)
        #expect(LatencyHistogram().percentile(0.99) == 0)
    }

    @Test func mixesAreParsed() {
        #expect(LoadMethod.mix("track=80,get=20")?.map(\.share) == [80, 20])
        #expect(LoadMethod.mix("get")?.map(\.method) == [.get])
        for text in ["", "track=", "track=0", "fetch=1", "track=1,,get=1", "track=x"] {
            #expect(LoadMethod.mix(text) == nil, "\(text)")
        }
    }

    @Test func requestsNamePersonAndProjectInDigitsOfFixedCount() {
        let template = LoadTemplate(.track, project: "default", ids: 2_000_000, projects: 10_000)
        let (first, last) = (
            template.request(person: 0), template.request(person: 1_999_999, project: 9_999)
        )
        #expect(String(decoding: first, as: UTF8.self).contains("user-0000000"))
        #expect(String(decoding: last, as: UTF8.self).contains("user-1999999"))
        #expect(String(decoding: last, as: UTF8.self).contains("project-09999"))
        #expect(first.count == last.count)
    }

    @Test func profilesOfOtherValuesAreAsLong() {
        let (first, second) = (
            LoadTemplate(.profile, project: "default", ids: 100, projects: nil),
            LoadTemplate(
                .profile, project: "default", ids: 100, projects: nil, values: .following(2_000))
        )
        #expect(first.request(person: 1) != second.request(person: 1))
        #expect(first.request(person: 1).count == second.request(person: 1).count)
    }

    @Test func mixedValuesHaveEveryLengthAndOthersForEachPersonAndSeed() {
        func values(_ seed: UInt64) -> [Int] { (0 ..< 10).map { ProfileValues.mixed(seed)[$0] } }
        #expect(values(1) == values(1) && values(1) != values(2))
        let lengths = (0 ..< 64).flatMap { values($0).map { String($0).count } }
        #expect(Set(lengths) == Set(1 ... 9))
        var load = Load(ServerAddress(port: 1))
        var variants: [[Int]] = []
        for seed: UInt64 in [1, 2] {
            load.valueSeed = seed
            variants.append((0 ..< 1_000).map { load.variant($0, of: 64) })
        }
        #expect(Set(variants[0]).count == 64 && zip(variants[0], variants[1]).count(where: ==) < 50)
    }

    @Test func shuffledPeopleComeOnceBeforeAnyComesAgain() {
        var load = Load(ServerAddress(port: 1))
        load.ids = 1_000
        #expect(Set((0 ..< 1_000).map(load.person)).count == 1_000)
        #expect(load.person(1_000) == load.person(0))
    }

    @Test func randomPeopleAreEverywhereAndOfNoStride() {
        var load = Load(ServerAddress(port: 1))
        (load.ids, load.order) = (1_000, .random)
        let people = (0 ..< 10_000).map(load.person)
        let counts = people.reduce(into: [Int](repeating: 0, count: 1_000)) { $0[$1] += 1 }
        // Of so many draws each has 10, with a standard deviation of 3.2.
        #expect(counts.allSatisfy { $0 < 30 } && counts.count(where: { $0 == 0 }) <= 5)
        let strides = zip(people, people.dropFirst()).map { ($1 - $0 + 1_000) % 1_000 }
        #expect(Set(strides).count > 900)
    }

    @Test func projectsAreCreatedByTheirNumber() {
        let template = LoadTemplate(.project, project: "default", ids: 100, projects: 3)
        let request = String(decoding: template.request(person: 0, project: 2), as: UTF8.self)
        #expect(request.contains("project-00002") && !request.contains("user-"))
    }

    @Test func oneProjectIsNamedAsGiven() {
        let template = LoadTemplate(.get, project: "default", ids: 100, projects: nil)
        let request = String(decoding: template.request(person: 7, project: 0), as: UTF8.self)
        #expect(request.contains("default") && request.contains("user-000007"))
    }

    @Test func addressesAreParsed() {
        #expect(ServerAddress("[::1]:80") == ServerAddress(host: "::1", port: 80))
        #expect(ServerAddress("http://localhost:50051/") == ServerAddress("localhost:50051"))
        #expect(ServerAddress("HTTP://[::1]:80") == ServerAddress(host: "::1", port: 80))
        #expect(ServerAddress(":80") == ServerAddress(port: 80))
        #expect(ServerAddress("localhost:50051")?.description == "localhost:50051")
        var encrypted = ServerAddress(port: 80)
        encrypted.tls = ClientTLS()
        #expect(encrypted != ServerAddress(port: 80))
        for text in [
            "", "localhost", "localhost:", "a:0", "a:65536", "a:b", "https://a:1", "http://a:1/b",
        ] {
            #expect(ServerAddress(text) == nil, "\(text)")
        }
    }

    @Test(arguments: ["", "f", "fo", "foo", "foob", "fooba", "foobar"])
    func base64RoundTrips(text: String) {
        let encoded = Base64Text.encode(Array(text.utf8))
        #expect(encoded.utf8.count == (text.utf8.count + 2) / 3 * 4)
        #expect(Base64Text.decode(encoded) == Array(text.utf8))
        #expect(Base64Text.decode(String(encoded.prefix { $0 != "=" })) == Array(text.utf8))
    }
}
