import IOCore
import ProfileService
import Profiles

/// The names of projects for those who write records of calls, on threads of their own.
final class ProjectNames: Sendable {
    private let store = Guarded<Store?>(nil)

    /// There is a store from now on.
    func attach(_ store: Store) { self.store.withLock { $0 = store } }

    /// Empty: there is no project of this number, or none yet.
    func name(of project: ProjectID) -> String {
        guard project.rawValue > 0, let store = self.store.withLock({ $0 }),
            let info = store.project(project)
        else { return "" }
        return String(decoding: info.name, as: UTF8.self)
    }
}
