import IOCore
import ProfileService
import Storage

/// Why a directory cannot be read, verified or restored.
package enum OfflineFailure: Error {
    /// A server has it open.
    case locked(path: String)
    /// It is damaged, foreign, newer, or contains no data of this program: what was found.
    case rejected(String)
    /// A file cannot be read or written; this says nothing about the data.
    case files(IOError)
    /// The target of a restore cannot be used.
    case target(String)

    init(_ error: StorageError) {
        switch error {
        case .locked(let path): self = .locked(path: path)
        case .io(let error): self = .files(error)
        default: self = .rejected(error.description)
        }
    }

    init(_ error: RecoveryError) {
        if case .storage(let error) = error {
            self.init(error)
        } else {
            self = .rejected(error.description)
        }
    }

    /// One sentence for the operator.
    package var text: String {
        switch self {
        case .locked(let path):
            "\(path) is held by another process: a server runs on this directory; stop it, or use "
                + "a backup instead"
        case .rejected(let found), .target(let found): found
        case .files(let error): error.explanation
        }
    }
}
