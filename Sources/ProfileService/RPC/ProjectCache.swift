import Bytes
import Profiles

/// The project that a loop's last request named, so that the next one of the same name needs no
/// lookup, which takes a hash and a lock.
///
/// Budget: a repeated name costs one load and one comparison.
struct ProjectCache {
    /// What the door needs to know of a project.
    struct Entry: BitwiseCopyable {
        var id: ProjectID
        /// Nothing but GetProject, ExportProject and DeleteProject is served.
        var isDeleted: Bool
        var windows: TimeWindows
    }

    private var name = ProjectName()
    /// `Store.projectsVersion`, read before the project was looked up: a change since then is never
    /// missed.
    private var version: UInt64 = 0
    private var entry = Entry(
        id: ProjectID(rawValue: 0), isDeleted: false, windows: TimeWindows())

    /// The project with a name, also one that is being deleted; `nil` if there is none.
    @inline(__always)
    mutating func find(_ name: UnsafeRawBufferPointer, in store: Store) -> Entry? {
        if self.version == store.projectsVersion, self.name.equals(name) { return self.entry }
        return self.lookUp(name, in: store)
    }

    @inline(never)
    private mutating func lookUp(_ name: UnsafeRawBufferPointer, in store: Store) -> Entry? {
        let version = store.projectsVersion
        guard let known = ProjectName([UInt8](name)), let id = store.findProject(name),
            let windows = store.timeWindows(of: id)
        else { return nil }
        self.name = known
        self.version = version
        self.entry = Entry(id: id, isDeleted: store.isDeleted(id), windows: windows)
        return self.entry
    }
}
