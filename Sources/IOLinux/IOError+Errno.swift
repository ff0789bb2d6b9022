import Glibc
import IOCore

extension IOError {
    /// The error of the system call that has just failed.
    init(operation: StaticString, subject: String, errno code: Int32 = errno) {
        let kind: IOError.Kind =
            switch code {
            case ENOENT: .notFound
            case EEXIST: .exists
            case EACCES, EPERM, EROFS: .permission
            case ENOSPC, EDQUOT, EFBIG: .noSpace
            case EMFILE, ENFILE: .tooManyOpenFiles
            default: .other
            }
        let meaning = code == 0 ? nil : strerror(code)
        self.init(
            kind, operation: operation, subject: subject, code: code,
            meaning: meaning.map { String(cString: $0) } ?? "")
    }
}
