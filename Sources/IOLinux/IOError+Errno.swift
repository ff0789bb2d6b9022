import Glibc
import IOCore

extension IOError {
    /// The failed call and the system's error text; for an operator.
    package var explanation: String {
        guard self.code != 0, let text = strerror(self.code) else {
            return "\(self.operation) of \(self.subject) failed"
        }
        return
            "\(self.operation) of \(self.subject) failed: \(String(cString: text)) (errno "
            + "\(self.code))"
    }

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
        self.init(kind, operation: operation, subject: subject, code: code)
    }
}
