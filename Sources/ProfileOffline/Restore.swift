import Bytes
import IOCore
import IOLinux
import Storage

/// Copies a backup, or a data directory that no server has open, to an empty directory.
///
/// Files are copied byte by byte and compared with their source. The oldest segment is copied after
/// all newer ones, and snapshots last, so that every start rejects a directory left by a crash, and
/// never takes it for a shorter log.
package struct Restore {
    package struct Summary: Equatable, Sendable {
        package var files = 0
        package var bytes = 0
        package var state: Verification.Replay
    }

    private static let pieceBytes = 1 << 20
    private static let temporarySuffix = ".tmp"

    private let source: String
    private let target: String
    private let files = LinuxFileSystem()

    /// - Parameter report: Receives the findings of the verification of the backup.
    /// - Throws: `OfflineFailure`; the partial copy is removed.
    /// - Complexity: O(bytes of the backup), read four times.
    package static func run(
        _ backup: OfflineDirectory, to target: String,
        report: @escaping (Verification.Finding) -> Void
    ) throws(OfflineFailure) -> Summary {
        var names: [String] = []
        let verdict = try Verification.run(backup) { finding in
            if case .file(let name, _, let found) = finding {
                switch found {
                case .segment, .snapshot: names.append(name)
                case .tornTail, .temporary, .lock, .logEnd, .feed, .other: break
                }
            }
            report(finding)
        }
        guard verdict.isGood, let state = verdict.state else {
            throw .rejected("\(backup.path) is damaged and was not restored: take an older backup")
        }
        return try Restore(source: backup.path, target: target).copy(names, state)
    }

    private init(source: String, target: String) {
        self.source = source
        self.target = target
    }

    private func copy(_ names: [String], _ state: Verification.Replay) throws(OfflineFailure)
        -> Summary
    {
        let lock = try self.prepare()
        defer { lock.release() }
        var summary = Summary(state: state)
        // Segments in descending order, then snapshots; names sort like their numbers.
        let ordered =
            names.filter { !LogSurvey.isSnapshot($0) }.reversed()
            + names.filter(LogSurvey.isSnapshot)
        do throws(OfflineFailure) {
            for name in ordered {
                summary.bytes += try self.copy(name)
                summary.files += 1
            }
            let restored = try OfflineDirectory(unlocked: self.target).read()
            guard (restored.store.appliedLSN, restored.store.digest()) == (state.lsn, state.digest)
            else {
                throw .rejected(
                    "\(self.target) has another state than \(self.source) after the copy: check "
                        + "its disk"
                )
            }
        } catch {
            // Files that cannot be removed are harmless: without the oldest segment or the snapshot
            // every start rejects the directory.
            for name in ordered.reversed() {
                try? self.files.remove("\(self.target)/\(name)")
                try? self.files.remove("\(self.target)/\(name)\(Self.temporarySuffix)")
            }
            throw error
        }
        do throws(IOError) { try lock.claim() } catch { throw .files(error) }
        return summary
    }

    /// Creates the target and takes its lock, so that no server starts there in the meantime.
    private func prepare() throws(OfflineFailure) -> any DirectoryLock {
        let lock: any DirectoryLock
        do throws(IOError) { lock = try self.files.lockDirectory(self.target) } catch {
            throw error.kind == .locked ? .locked(path: self.target) : .files(error)
        }
        do throws(IOError) {
            if try self.files.list(self.target).isEmpty { return lock }
        } catch {
            lock.release()
            throw .files(error)
        }
        lock.release()
        throw .target(
            "\(self.target) is not empty; restore to a new directory, then start the server "
                + "on it or replace this directory with it"
        )
    }

    /// - Returns: The bytes of the file.
    private func copy(_ name: String) throws(OfflineFailure) -> Int {
        do throws(IOError) {
            let source = try self.files.open("\(self.source)/\(name)", .read)
            defer { source.close() }
            let temporary = "\(self.target)/\(name)\(Self.temporarySuffix)"
            let target = try self.files.open(temporary, .create)
            defer { target.close() }
            let bytes = try Self.forEachPiece(of: source) { piece, offset throws(IOError) in
                try target.write(piece, at: offset)
            }
            try target.sync()
            var found = ByteBuffer(capacity: Self.pieceBytes)
            _ = try Self.forEachPiece(of: source) { piece, offset throws(IOError) in
                found.removeAll()
                found.truncate(
                    to: try target.read(into: found.appendUninitialized(piece.count), at: offset))
                guard found.bytes.elementsEqual(piece) else {
                    throw IOError(.other, operation: "reading back", subject: temporary, code: 0)
                }
            }
            try self.files.rename(temporary, to: "\(self.target)/\(name)")
            try self.files.syncDirectory(self.target)
            return bytes
        } catch {
            throw .files(error)
        }
    }

    private static func forEachPiece(
        of file: any File, _ body: (UnsafeRawBufferPointer, Int) throws(IOError) -> Void
    ) throws(IOError) -> Int {
        var piece = ByteBuffer(capacity: Self.pieceBytes)
        var offset = 0
        let size = try file.size()
        while offset < size {
            piece.removeAll()
            piece.truncate(
                to: try file.read(
                    into: piece.appendUninitialized(min(Self.pieceBytes, size - offset)), at: offset
                ))
            guard piece.count > 0 else {
                throw IOError(.other, operation: "reading", subject: file.path, code: 0)
            }
            try body(piece.bytes, offset)
            offset += piece.count
        }
        return offset
    }
}
