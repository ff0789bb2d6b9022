/// No response of one project has anything of another.
package final class IsolationChecker: Checker {
    package let name = "isolation"

    package init() {}

    package func observe(_ event: HistoryEvent) throws(Violation) {
        let operation = event.operation
        guard case .responded(_, let bytes) = event.kind, operation.project >= 0 else { return }
        let own = Projects.name(operation.project).utf8
        var isForeign = false
        // As in `Projects.marker`.
        ByteSearch.find("mark-", in: bytes) { rest in
            isForeign = !rest.starts(with: own)
            return !isForeign
        }
        guard !isForeign else {
            throw Violation(
                self.name,
                "\(operation.method) \(operation.number) of "
                    + "\(Projects.name(operation.project)) shows another project: "
                    + "\(operation.response ?? .null)")
        }
    }
}
