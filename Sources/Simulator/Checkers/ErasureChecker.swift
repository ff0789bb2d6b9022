import IOSimulation

/// Nobody is shown an erased person from the response on, and no file has anything of one once the
/// promised time has passed.
package final class ErasureChecker: Checker {
    package let name = "erasure"

    /// What every text of a person who is erased begins with; the rest of the word tells whom.
    private static let prefix: StaticString = "hush"
    /// Steps within which the promised time passes: an idle step is 100 ms.
    private static let stepsMax = 100_000

    /// When the erasure of each word was acknowledged.
    private var erasedAt: [String: Int] = [:]
    /// Whether the files are searched at the end of the run.
    private let isSearchingFiles: Bool

    /// - Parameter isSearchingFiles: The promised time has many steps, so few runs wait for it.
    package init(isSearchingFiles: Bool = false) {
        self.isSearchingFiles = isSearchingFiles
    }

    package func observe(_ event: HistoryEvent) throws(Violation) {
        let operation = event.operation
        switch event.kind {
        case .ended(.ok):
            if case .erase(let marker) = operation.purpose { self.erasedAt[marker] = event.time }
        case .responded(_, let bytes):
            guard !self.erasedAt.isEmpty,
                let word = self.erasedWord(in: bytes, before: operation.invokedAt)
            else { return }
            throw Violation(
                self.name, "\(operation.method) \(operation.number) shows \(word), who was erased")
        default: break
        }
    }

    /// The first word of somebody whose erasure was acknowledged before a time.
    private func erasedWord(in bytes: [UInt8], before time: Int) -> String? {
        var found: String?
        ByteSearch.find(Self.prefix, in: bytes) { rest in
            // As in `ErasureScript.word`: three numbers, each with an x behind it.
            var separators = 0
            let end = rest.firstIndex { byte in
                if byte == UInt8(ascii: "x") { separators += 1 }
                return separators == 3
            }
            guard let end else { return true }
            let word = "hush" + String(decoding: rest[...end], as: UTF8.self)
            if let erasedAt = self.erasedAt[word], erasedAt < time { found = word }
            return found == nil
        }
        return found
    }

    package func finish(_ world: World) throws(Violation) {
        guard self.isSearchingFiles, !self.erasedAt.isEmpty else { return }
        guard
            world.pass(
                nanoseconds: WorldSettings.erasureNanoseconds, stepsMax: Self.stepsMax)
        else {
            throw Violation(self.name, "the promised time does not pass")
        }
        for node in world.nodes {
            for file in node.disk.snapshot.files where !file.path.contains("backup") {
                if let word = self.erasedWord(in: file.content, before: .max) {
                    let all = node.disk.snapshot.files.map(\.path).joined(separator: " ")
                    throw Violation(
                        self.name,
                        "\(file.path) of node \(node.index) still has \(word), who was erased; "
                            + "its files are \(all)")
                }
            }
        }
    }
}
