import Profiles
import Testing

@testable import ProfileService

/// Items per project, and their labels.
@Suite struct ItemAccountingTests {
    private static func project(_ number: UInt32) -> ProjectID { ProjectID(rawValue: number) }

    @Test func labelsAreBoundedAndTheRestIsSummed() throws {
        let fixture = try ServiceFixture()
        fixture.append((2 ... 150).map { ProjectRecords.create("p\($0)") })
        let accounting = ItemAccounting()
        #expect(accounting.figures(of: fixture.store).series.map(\.project) == ["_other"])
        // From the newest on, so that age and order of the first item differ.
        for number in (2 ... 150).reversed() {
            fixture.store.count(
                ItemCounts(stored: number, rejected: 1), of: Self.project(UInt32(number)))
        }
        fixture.store.count(ItemCounts(rejected: 7), of: Self.project(0))
        let figures = accounting.figures(of: fixture.store)
        #expect(figures.series.count == ItemAccounting.labelsMax + 1)
        #expect(
            figures.series.map(\.project)
                == (2 ... 101).map { "p\($0)" } + [ItemAccounting.others])
        let rest = try #require(figures.series.last).items
        #expect(rest.stored == (102 ... 150).reduce(0, +) && rest.rejected == 49 + 7)
        var sum = ItemCounts()
        for series in figures.series { sum += series.items }
        #expect(sum == figures.total && sum.received == sum.stored + sum.rejected)
        // A label stays with its project.
        fixture.store.count(ItemCounts(stored: 1), of: Self.project(1))
        #expect(accounting.figures(of: fixture.store).series.first?.project == "p2")
    }

    /// Nothing is counted twice and no series falls, whatever goes.
    @Test func aProjectThatGoesTakesItsSeriesAndFreesItsLabel() throws {
        let fixture = try ServiceFixture()
        fixture.append([ProjectRecords.create("gone"), ProjectRecords.create("kept")])
        fixture.fill(2, people: 2)
        let accounting = ItemAccounting()
        fixture.store.count(ItemCounts(stored: 5), of: Self.project(2))
        fixture.store.count(ItemCounts(duplicate: 3), of: Self.project(3))
        #expect(
            accounting.figures(of: fixture.store).series.map(\.project) == [
                "gone", "kept", "_other",
            ])
        fixture.append([ProjectRecords.delete(2, delay: 0)])
        // Counted after the last look.
        fixture.store.count(ItemCounts(rejected: 2), of: Self.project(2))
        var hours = 0
        while fixture.store.project(Self.project(2)) != nil, hours < 60 {
            fixture.clock.advance(nanoseconds: 3_600_000_000_000)
            fixture.rest()
            hours += 1
        }
        #expect(fixture.store.project(Self.project(2)) == nil)
        let figures = accounting.figures(of: fixture.store)
        #expect(figures.series.map(\.project) == ["kept", "_other"])
        #expect(figures.series.map(\.items.received) == [3, 2])
        #expect(figures.total.received == 10)
        #expect(fixture.store.itemCounts(of: Self.project(2)).received == 7, "those of no project")
        // The record of the project that went is used again, and begins at 0.
        fixture.append([ProjectRecords.create("new")])
        #expect(fixture.store.itemCounts(of: Self.project(4)) == ItemCounts())
    }
}
