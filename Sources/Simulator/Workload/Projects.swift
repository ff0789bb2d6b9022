/// The projects of the workload. People and events have the same ids in all of them, so that a
/// lookup that forgets the project finds somebody.
package enum Projects {
    private static let names = ["alpha", "beta"]

    package static var count: Int { self.names.count }

    package static func name(_ index: Int) -> String {
        index >= 0 ? self.names[index] : "-"
    }

    /// In every text that is written to the project, ids aside, and in no other project.
    package static func marker(_ index: Int) -> String { "mark-" + self.names[index] }
}
