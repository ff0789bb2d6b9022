import Bytes
import Synchronization

@testable import Profiles

/// Runs `body` with a project of its own memory, which is freed at the end.
func withProject(_ id: UInt32 = 1, _ body: (Project) throws -> Void) rethrows {
    let nameBytes = UnsafeMutablePointer<Int>.allocate(capacity: 1)
    nameBytes.initialize(to: 0)
    let project = Project(
        hash: KeyedHash(key: SipHashKey(k0: 1, k1: 2), mask: .max), nameBytes: nameBytes)
    project.record.pointee.id.store(id, ordering: .relaxed)
    defer {
        project.destroy()
        nameBytes.deallocate()
    }
    try body(project)
}

/// A record of another project: every payload but that of a CreateProject begins with the number.
func moved(_ record: [UInt8], to project: UInt32) -> [UInt8] {
    let number = (0 ..< 4).map { UInt8(truncatingIfNeeded: project >> (8 * UInt32($0))) }
    switch RecordKind(rawValue: record[4]) {
    case .genesis, .tick, .createProject, .createKey, .revokeKey: return record
    case .batch:
        var moved = record
        moved.replaceSubrange(8 ..< 12, with: number)
        record.withUnsafeBytes { bytes in
            guard let view = RecordView(bytes) else { return }
            var reader = ByteReader(view.payload)
            guard let header = BatchHeader(from: &reader) else { return }
            for _ in 0 ..< header.itemCount {
                let bytes = Int(reader.read(UInt32.self))
                let kind = reader.read(UInt32.self) & 255
                if kind != 0 {
                    let start = 8 + reader.offset
                    moved.replaceSubrange(start ..< start + 4, with: number)
                }
                _ = reader.read(count: bytes)
            }
        }
        return moved
    default:
        var moved = record
        moved.replaceSubrange(8 ..< 12, with: number)
        return moved
    }
}

/// A result of a command of projects, taken apart.
struct ProjectResponse: Equatable {
    var rejection = Rejection.none
    var isReplayed = false
    var detail: UInt64 = 0
    var project: ProjectInfo?

    init?(_ bytes: [UInt8]) {
        let isWhole = bytes.withUnsafeBytes { bytes -> Bool in
            var reader = ByteReader(bytes)
            guard let header = ResultHeader(from: &reader), header.totalBytes == bytes.count else {
                return false
            }
            (self.rejection, self.isReplayed, self.detail) = (
                header.rejection, header.isReplayed, header.detail
            )
            guard header.rejection == .none else { return true }
            self.project = ProjectResultBody(from: &reader)?.project
            return reader.isAtCleanEnd
        }
        guard isWhole else { return nil }
    }
}

extension ProjectOptions {
    /// The standard options with changes.
    static func with(_ change: (inout ProjectOptions) -> Void) -> ProjectOptions {
        var options = ProjectOptions()
        change(&options)
        return options
    }
}

extension TrackFixture {
    static let day: Int64 = 86_400 * TrackFixture.second

    private func project(_ kind: RecordKind, _ write: (inout ByteBuffer) -> Void) throws
        -> ProjectResponse
    {
        var buffer = ByteBuffer()
        let start = beginRecord(kind, in: &buffer)
        write(&buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        let selected = self.project
        self.project = 1
        defer { self.project = selected }
        guard let response = ProjectResponse(try self.apply(Array(buffer.bytes))) else {
            throw ApplyError.malformed(lsn: 0)
        }
        return response
    }

    @discardableResult
    func create(
        _ name: String, _ options: ProjectOptions = ProjectOptions(), requestID: String = ""
    ) throws -> ProjectResponse {
        try self.project(.createProject) { buffer in
            withBytes(name) { name in
                withBytes(requestID) {
                    CreateProjectCommand(requestID: $0, name: name, options: options)
                        .write(into: &buffer)
                }
            }
        }
    }

    @discardableResult
    func update(
        _ project: UInt32, _ options: ProjectOptions, _ fields: ProjectOptionFields = .all,
        requestID: String = ""
    ) throws -> ProjectResponse {
        try self.project(.updateProject) { buffer in
            withBytes(requestID) {
                ProjectCommand(
                    project: ProjectID(rawValue: project), requestID: $0, options: options,
                    fields: fields
                ).write(into: &buffer)
            }
        }
    }

    @discardableResult
    func delete(
        _ project: UInt32, isUndo: Bool = false, delay: Int64 = TrackFixture.day,
        requestID: String = ""
    ) throws -> ProjectResponse {
        try self.project(.deleteProject) { buffer in
            withBytes(requestID) {
                DeleteProjectCommand(
                    project: ProjectID(rawValue: project), requestID: $0, isUndo: isUndo,
                    delay: isUndo ? 0 : delay
                ).write(into: &buffer)
            }
        }
    }

    func find(_ name: String) -> UInt32? {
        withBytes(name) { self.store.findProject($0)?.rawValue }
    }

    /// Runs `body` with another project selected.
    func with<Result>(project: UInt32, _ body: () throws -> Result) rethrows -> Result {
        let selected = self.project
        self.project = project
        defer { self.project = selected }
        return try body()
    }

    /// A tick each 100 ms until nothing of any project is being removed; at most `most`.
    @discardableResult
    func purge(most: Int = 1_000) throws -> Int {
        var ticks = 0
        repeat {
            try self.tick(after: RetentionSweep.tickInterval)
            ticks += 1
        } while self.store.state.pointee.purge.phase != .idle && ticks < most
        return ticks
    }
}
