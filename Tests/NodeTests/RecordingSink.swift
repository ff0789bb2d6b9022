import IOCore
import ProfileService

/// Keeps what operators could look up.
final class RecordingSink: AuditSink {
    private let kept = Guarded<[AuditRecord]>([])
    var records: [AuditRecord] { self.kept.withLock { $0 } }
    func record(_ record: AuditRecord) { self.kept.withLock { $0.append(record) } }

    /// Method, status and reason of each record, and forgets them.
    func take() -> [String] {
        self.kept.withLock { kept in
            defer { kept = [] }
            return kept.map {
                "\(RPCTable.all[$0.method].name) \($0.code.rawValue) \($0.reason)"
            }
        }
    }
}
