import Profiles
import Testing

@testable import ProfileService

/// The project that a loop remembers: always what the store would find.
@Suite struct ProjectCacheTests {
    private static func find(
        _ name: String, _ cache: inout ProjectCache, _ store: Store
    ) -> ProjectCache.Entry? {
        ProjectRecords.with(name) { cache.find($0, in: store) }
    }

    @Test func whatChangesIsSeenByTheNextRequest() throws {
        let fixture = try ServiceFixture()
        var cache = ProjectCache()
        #expect(Self.find("shop", &cache, fixture.store) == nil)
        fixture.append([ProjectRecords.create("shop", days: 7), ProjectRecords.create("shoq")])
        for _ in 0 ..< 2 {
            #expect(Self.find("shop", &cache, fixture.store)?.id == ProjectID(rawValue: 2))
            let windows = Self.find("shop", &cache, fixture.store)?.windows
            // Seven days.
            #expect(windows?.historicalSeconds == 604_800)
        }
        #expect(Self.find("shoq", &cache, fixture.store)?.id == ProjectID(rawValue: 3))
        #expect(Self.find("sho", &cache, fixture.store) == nil)
        #expect(Self.find("shop", &cache, fixture.store)?.isDeleted == false)
        fixture.append([ProjectRecords.delete(2, delay: 1_000_000)])
        #expect(Self.find("shop", &cache, fixture.store)?.isDeleted == true)
        fixture.append([ProjectRecords.delete(2, delay: 0, isUndo: true)])
        #expect(Self.find("shop", &cache, fixture.store)?.isDeleted == false)
        #expect(Self.find("default", &cache, fixture.store)?.id == ProjectID(rawValue: 1))
    }

    @Test func noNameIsNoProject() throws {
        let fixture = try ServiceFixture()
        var cache = ProjectCache()
        #expect(Self.find("", &cache, fixture.store) == nil)
        #expect(Self.find(String(repeating: "a", count: 64), &cache, fixture.store) == nil)
    }
}
