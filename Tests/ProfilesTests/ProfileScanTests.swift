import Bytes
import Testing

@testable import Profiles

/// Scans: what they look at, how they are cut, and how they go on.
@Suite struct ProfileScanTests {
    private static let project = ProjectID(rawValue: 1)

    /// What a scan found.
    struct Found {
        var count = 0
        var ids: [ProfileID] = []
        var usesIndex = false
        var slices = 0
        var positions: [UInt64] = []
    }

    /// Counts in slices, and lists in pages, each of which goes on from the position of the one
    /// before.
    static func scan(
        _ fixture: TrackFixture, _ filter: CompiledFilter, pageSize: Int = 100
    ) -> Found {
        let store = fixture.store
        var found = Found()
        var copies = ByteBuffer()
        var scan = store.makeScan(Self.project, filter, time: fixture.now)
        found.usesIndex = scan.usesIndex
        while !scan.isAtEnd {
            found.count += store.countNext(&scan, copies: &copies)
            found.slices += 1
        }
        var position: UInt64 = 0
        repeat {
            let page = Self.page(store, filter, from: position, size: pageSize, fixture.now)
            found.ids += page.ids
            position = page.position
            found.positions.append(position)
        } while position != ProfileWalk.endPosition
        return found
    }

    /// One page, read in as many slices as it takes.
    static func page(
        _ store: Store, _ filter: CompiledFilter, from position: UInt64, size: Int, _ now: Int64
    ) -> (ids: [ProfileID], position: UInt64) {
        var ids: [ProfileID] = []
        var copies = ByteBuffer()
        var images = ByteBuffer()
        var scan = store.makeScan(Self.project, filter, time: now, from: position)
        while !scan.isAtEnd, ids.count < size {
            images.removeAll()
            let found = store.readNext(
                &scan, limit: size - ids.count, now: now, copies: &copies, into: &images)
            for case let item? in found.profiles {
                ids.append(found.image(item, in: images.bytes).profileID)
            }
        }
        return (ids, scan.position)
    }

    private static func people(_ count: Int) throws -> TrackFixture {
        let fixture = TrackFixture()
        for number in 0 ..< count {
            var person = PlainPerson()
            person.customID = "p\(number)"
            person.installation = "d\(number)"
            person.attributes = [
                "n": .integer(Int64(number)),
                "email_address": .string(number % 2 == 0 ? "Same@a.example" : "x\(number)@b.c"),
                "phone_number": .string("+33\(number + 1)"),
            ]
            try fixture.apply(TrackFixture.record(of: person))
        }
        return fixture
    }

    @Test(
        arguments: [
            (#"custom_id = "p3""#, true, 1), (#"custom_id:"p3""#, true, 1),
            (#"custom_id = "nobody""#, true, 0), (#"custom_id != "p3""#, false, 49),
            (#"custom_id = "p3*""#, false, 11), (#"installations:"d4""#, true, 1),
            ("installations:*", false, 50), (#"phone_number = "+337""#, true, 1),
            (#"email_address = "Same@a.example""#, true, 25),
            // The index knows the address in any spelling, the filter compares what is stored.
            (#"email_address = "same@a.example""#, true, 0),
            (#"attributes.email_address = "x1@b.c""#, true, 1),
            (#"email_address = "*@b.c""#, false, 25), (#"email_address:*"#, false, 50),
            (#"email_address = "Same@a.example" n < 10"#, true, 5),
            (#"n < 10 AND (n > 3 AND custom_id = "p5")"#, true, 1),
            (#"email_address = "Same@a.example" AND custom_id = "p5""#, true, 0),
            (#"custom_id = "p3" OR custom_id = "p4""#, false, 2),
            (#"NOT custom_id = "p3""#, false, 49), (#"-(custom_id = "p3")"#, false, 49),
            (#"(custom_id = "p3" OR n = 4) n > 3"#, false, 1), ("", false, 50),
        ] as [(String, Bool, Int)])
    func filterUsesAnIndexWhereOneKnowsWhatEveryMatchHas(
        text: String, usesIndex: Bool, count: Int
    ) throws {
        let fixture = try Self.people(50)
        let found = Self.scan(fixture, try CompiledFilter(text, .profile), pageSize: 3)
        #expect(found.usesIndex == usesIndex)
        #expect(found.count == count && found.ids.count == count)
        #expect(Set(found.ids).count == count)
    }

    /// A scan passes the attributes before the one that it compares, of any kind and length, and
    /// knows the numbers of a few names only.
    @Test func attributesOfEveryKindAndLengthArePassed() throws {
        let values: [PlainValue] = [
            .string(""), .string(String(repeating: "x", count: 127)),
            .string(String(repeating: "x", count: 128)), .url("https://a.example/x"),
            .integer(0), .integer(-64), .integer(64), .integer(1 << 55), .integer(.max),
            .integer(.min), .number(0.5), .boolean(true), .boolean(false), .time(1),
            .list(["a", "", "b"]), .object(["k": .list(["v"]), "l": .integer(1)]),
            .objects([["k": .string("v")], ["k": .number(1)]]),
        ]
        let fixture = TrackFixture()
        for number in 0 ..< 3 * values.count {
            var person = PlainPerson()
            person.customID = "p\(number)"
            for index in 0 ..< 3 {
                person.attributes["a\(index)"] = values[(number + index) % values.count]
            }
            for name in ["v", "w", "x", "y", "z"] { person.attributes[name] = .integer(7) }
            // The last one is near to the end of the block, whatever its length is.
            person.attributes["zz"] = values[number % 14]
            try fixture.apply(TrackFixture.record(of: person))
        }
        for text in ["v", "w", "x", "y", "z"].map({ "\($0) = 7" }) + [
            "v = 7 w = 7 x = 7 y = 7 z = 7", "z = 7 y = 7 x = 7 w = 7 v = 7 zz:*",
        ] {
            let found = Self.scan(fixture, try CompiledFilter(text, .profile))
            #expect(found.count == 3 * values.count, "\(text)")
        }
        for text in ["missing = 7", "z = 8", "v = 7 z = 8"] {
            #expect(Self.scan(fixture, try CompiledFilter(text, .profile)).count == 0, "\(text)")
        }
    }

    /// Hashes so short that every lookup names many, some of them twice.
    @Test func candidatesOfEqualHashesAreLookedAtOnce() throws {
        let fixture = TrackFixture(hashMask: 0xFC00_0000_0000_0003)
        for number in 0 ..< 100 {
            try fixture.apply(IdentifySpec(device: "d\(number)", person: "p\(number)").record)
        }
        for number in 0 ..< 100 {
            let filter = try CompiledFilter("custom_id = p\(number)", .profile)
            let found = Self.scan(fixture, filter)
            #expect(found.usesIndex && found.count == 1 && found.ids.count == 1)
        }
    }

    /// A million people may have one address.
    @Test func addressOfMoreProfilesThanAnIndexNamesIsScannedFor() throws {
        let fixture = TrackFixture()
        let count = ScanSlice.candidatesMax + 1
        var person = PlainPerson()
        person.attributes = ["phone_number": .string("+33123")]
        for number in 0 ..< count {
            person.customID = "p\(number)"
            try fixture.apply(TrackFixture.record(of: person))
        }
        let filter = try CompiledFilter("phone_number = \"+33123\"", .profile)
        let found = Self.scan(fixture, filter, pageSize: 1_000)
        #expect(!found.usesIndex && found.count == count && Set(found.ids).count == count)
    }

    @Test func scanIsCutIntoSlicesOfBoundedWork() throws {
        let fixture = try Self.people(1_000)
        let comparison = "(n >= 0 OR n < 0)"
        let text = (0 ..< 20).map { _ in comparison }.joined(separator: " ")
        let filter = try CompiledFilter(text, .profile)
        var scan = fixture.store.makeScan(Self.project, filter, time: fixture.now)
        var copies = ByteBuffer()
        var (count, slices) = (0, 0)
        while !scan.isAtEnd {
            let before = scan.work
            count += fixture.store.countNext(&scan, copies: &copies)
            slices += 1
            #expect(scan.work - before <= ScanSlice.workMax + ScanSlice.workPerLock + 100)
        }
        #expect(count == 1_000 && slices > 1)
    }

    /// A profile whose comparison would keep the lock is evaluated as a copy.
    @Test func largeProfilesAreCountedAndListedToo() throws {
        let fixture = TrackFixture()
        let text = String(repeating: "x", count: 300)
        for number in 0 ..< 20 {
            var person = PlainPerson()
            person.customID = "p\(number)"
            for index in 0 ..< 49 {
                person.attributes["a\(index)"] = .list((0 ..< 5).map { "\($0)\(text)" })
            }
            person.attributes["n"] = .integer(Int64(number))
            try fixture.apply(TrackFixture.record(of: person))
        }
        let filter = try CompiledFilter("n < 10 n >= 0 n != 77 a1:*", .profile)
        let found = Self.scan(fixture, filter, pageSize: 3)
        #expect(found.count == 10 && found.ids.count == 10 && Set(found.ids).count == 10)
        let none = Self.scan(fixture, try CompiledFilter("a1:y a2:y a3:y a4:y n:*", .profile))
        #expect(none.count == 0 && none.ids.isEmpty)
    }

    // MARK: Tokens

    private static func token(
        _ fixture: TrackFixture, _ filter: CompiledFilter, _ position: ProfilePosition
    ) -> [UInt8] {
        var text = ByteBuffer()
        fixture.store.appendPageToken(
            project: Self.project, filter: filter, position: position, to: &text)
        return Array(text.bytes)
    }

    /// Both are signed with one key: their kinds alone tell them apart.
    @Test func pageTokenOfProfilesContinuesNoListOfProjects() throws {
        let fixture = TrackFixture()
        let token = Self.token(fixture, .all, ProfilePosition(position: 7, time: 9))
        #expect(token.withUnsafeBytes { fixture.store.verifyProjectPage($0) } == nil)
        var projects = ByteBuffer()
        fixture.store.appendProjectPageToken(after: Array("shop".utf8), to: &projects)
        #expect(fixture.store.verifyProjectPage(projects.bytes) == Array("shop".utf8))
    }

    @Test func pageTokenServesItsOwnListingOnly() throws {
        let fixture = TrackFixture()
        let filter = try CompiledFilter("plan = gold", .profile)
        let position = ProfilePosition(position: 7 << 32 | 9, time: 5)
        let token = Self.token(fixture, filter, position)
        func verified(
            _ bytes: [UInt8], _ project: UInt32 = 1, _ filter: CompiledFilter
        ) -> ProfilePosition? {
            bytes.withUnsafeBytes {
                fixture.store.verifyPage(
                    $0, project: ProjectID(rawValue: project), filter: filter)
            }
        }
        #expect(verified(token, 1, filter) == position)
        #expect(verified(token, 2, filter) == nil)
        #expect(verified(token, 1, .all) == nil)
        #expect(verified(token, 1, try CompiledFilter("plan = gol", .profile)) == nil)
        // Written otherwise, it is the same filter.
        #expect(verified(token, 1, try CompiledFilter("(Plan=\"gold\")", .profile)) == position)
        for index in token.indices {
            var changed = token
            let other = changed[index] == UInt8(ascii: "A") ? "B" : "A"
            changed[index] = Array(other.utf8)[0]
            #expect(verified(changed, 1, filter) == nil)
        }
    }

    /// A start from a snapshot goes on where a page ended.
    @Test func pageGoesOnBehindARestart() throws {
        let fixture = try Self.people(300)
        let filter = try CompiledFilter("n >= 0", .profile)
        let first = Self.page(fixture.store, filter, from: 0, size: 100, fixture.now)
        let again = try SnapshotTests.load(SnapshotTests.blocks(of: fixture.store))
        let second = Self.page(again, filter, from: first.position, size: 1_000, fixture.now)
        #expect(first.ids.count == 100 && second.ids.count == 200)
        #expect(Set(first.ids + second.ids).count == 300)
    }
}
