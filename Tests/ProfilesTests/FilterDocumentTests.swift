import Foundation
import Testing

@testable import Profiles

/// The examples of docs/filters.md.
@Suite struct FilterDocumentTests {
    private static func document() throws -> [Substring] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(
            contentsOf: root.appendingPathComponent("docs/filters.md"), encoding: .utf8)
        return text.split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// The rows of the table whose header begins with these two cells.
    private static func rows(_ first: String, _ second: String) throws -> [(String, String)] {
        let lines = try Self.document()
        let header = try #require(lines.firstIndex { $0 == "| \(first) | \(second) |" })
        return lines[(header + 2)...].prefix { $0.hasPrefix("| `") }.map { line in
            let cells = line.dropFirst(3).split(separator: "` | ", maxSplits: 1)
            return (String(cells[0]), String(cells[1].dropLast(2)))
        }
    }

    private static func anna(_ fixture: TrackFixture) throws -> ProfileRef {
        let second = TrackFixture.second
        var anna = PlainPerson()
        anna.customID = "anna-7"
        anna.installation = "phone-1"
        anna.attributes = [
            "email_address": .string("anna@example.com"), "plan": .string("gold"),
            "age": .integer(41), "score": .number(2.5), "vip": .boolean(true),
            "born": .time(478_483_200 * second), "sports": .list(["judo", "ski*"]),
        ]
        anna.isEmailSuppressed = true
        anna.events = [50, 20, 1].map {
            PlainEvent(time: fixture.now - $0 * 60 * second)
        }
        anna.subscriptions = ["EMAIL": .subscribed, "EMAIL.news": .unsubscribed]
        return try fixture.enter(&anna)
    }

    @Test func examplesOfProfilesAreAsThePageSays() throws {
        let fixture = TrackFixture()
        let anna = try Self.anna(fixture)
        let rows = try Self.rows("Filter", "Anna")
        #expect(rows.count >= 45)
        for (filter, verdict) in rows {
            #expect(try fixture.matches(filter, anna) == (verdict == "yes"), "\(filter)")
        }
    }

    @Test func examplesOfTriggersAreAsThePageSays() throws {
        let fixture = TrackFixture()
        let anna = try Self.anna(fixture)
        let event = PlainEvent(
            label: "web", tags: ["sale"],
            attributes: [
                "amount": .number(59.9),
                "cart": .object([
                    "total": .integer(80), "shop": .object(["city": .string("Lyon")]),
                ]),
                "items": .objects([
                    ["sku": .string("a1"), "price": .integer(30)],
                    ["sku": .string("b2"), "price": .integer(50)],
                ]),
            ]
        ).stored(fixture.store.project.names)
        let rows = try Self.rows("Trigger's filter", "Anna")
        #expect(rows.count >= 12)
        for (filter, verdict) in rows {
            #expect(
                try fixture.matches(filter, anna, event: event) == (verdict == "yes"), "\(filter)")
        }
    }

    @Test func errorsAreAsThePageSays() throws {
        let rows = try Self.rows("Filter", "Error")
        #expect(rows.count >= 8)
        for (filter, expected) in rows {
            let error = #expect(throws: FilterError.self) { try CompiledFilter(filter, .profile) }
            #expect(error?.description == expected, "\(filter)")
        }
    }

    @Test func filtersInBlocksCompile() throws {
        let lines = try Self.document()
        let start = try #require(lines.firstIndex(of: "```filter"))
        let filters = lines[(start + 1)...].prefix { $0 != "```" }
        #expect(filters.count == 4)
        for filter in filters { _ = try CompiledFilter(String(filter), .profile) }
    }
}
