/// A failed system call: which one, on what, and its errno.
package struct IOError: Error, Equatable, Sendable {
    /// The causes that callers distinguish.
    package enum Kind: Equatable, Sendable {
        case notFound
        case exists
        case permission
        /// Another process holds the lock.
        case locked
        /// ENOSPC, EDQUOT or EFBIG: temporary, space may become available.
        case noSpace
        /// EMFILE or ENFILE.
        case tooManyOpenFiles
        case other
    }

    package var kind: Kind
    /// The call, such as `fdatasync`.
    package var operation: StaticString
    /// The file or address, for the operator; never client data.
    package var subject: String
    /// The errno of the call, 0 if there was none.
    package var code: Int32
    /// The system's text for `code`, such as `File too large`; empty: none.
    package var meaning: String

    package init(
        _ kind: Kind, operation: StaticString, subject: String, code: Int32, meaning: String = ""
    ) {
        self.kind = kind
        self.operation = operation
        self.subject = subject
        self.code = code
        self.meaning = meaning
    }

    /// The failed call, on what, and why; for an operator.
    package var explanation: String { "\(self.operation) of \(self.subject) \(self.failure)" }

    /// `failed`, and why.
    package var failure: String {
        if self.code == 0 { return "failed" }
        return self.meaning.isEmpty
            ? "failed with errno \(self.code)" : "failed: \(self.meaning) (errno \(self.code))"
    }

    package static func == (left: IOError, right: IOError) -> Bool {
        left.kind == right.kind && left.code == right.code && left.subject == right.subject
    }
}
