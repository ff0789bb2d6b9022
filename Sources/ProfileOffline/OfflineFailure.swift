import IOCore
import ProfileService
import Storage

/// Why a directory cannot be read, verified or restored.
package enum OfflineFailure: Error {
    /// A server has it open.
    case locked(path: String)
    /// It is damaged, foreign, newer, or holds nothing of this program: what was found.
    case refused(String)
    /// A file cannot be read or written; nothing is known to be wrong with the data.
    case files(IOError)
    /// The target of a restore cannot be used.
    case target(String)

    init(_ error: StorageError) {
        switch error {
        case .locked(let path): self = .locked(path: path)
        case .io(let error): self = .files(error)
        default: self = .refused(error.description)
        }
    }

    init(_ error: RecoveryError) {
        if case .storage(let error) = error {
            self.init(error)
        } else {
            self = .refused(error.description)
        }
    }

    /// One sentence for the operator.
    package var text: String {
        switch self {
        case .locked(let path):
            "\(path) is held by another process: a server runs on this directory; stop it, or look "
                + "at a backup instead"
        case .refused(let found), .target(let found): found
        case .files(let error): StorageError.io(error).description
        }
    }
}
