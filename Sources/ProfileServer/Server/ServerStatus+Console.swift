import ProfileService
import Profiles

extension ServerStatus: ConsoleFigures {
    /// Merges of one person that the page shows: more than a person has, short of abuse.
    private static let mergesMax = 50

    var readiness: AdminCheck { self.readyz() }

    var positions: (applied: UInt64, feed: UInt64)? {
        self.recovered.map { ($0.store.appliedLSN, $0.feed.headLSN) }
    }

    func merges(project: String, profileID: String) -> [MergeView] {
        guard let store = self.recovered?.store else { return [] }
        var (name, text) = (project, profileID)
        // SAFETY: both texts are borrowed for the closures, whose results hold copies.
        let id = text.withUTF8 { ProfileID(text: UnsafeRawBufferPointer($0)) }
        let number = name.withUTF8 { store.findProject(UnsafeRawBufferPointer($0)) }
        guard let id, let number else { return [] }
        return store.merges(into: id, of: number, most: Self.mergesMax)
    }
}
