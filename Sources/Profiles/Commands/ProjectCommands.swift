import Bytes

// SAFETY: the bytes of a name are borrowed for the call that copies them.

/// Options of a project that an update sets; bit `1 << (number - 1)` of the field's number in the
/// contract's `ProjectOptions`.
package struct ProjectOptionFields: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let mergePolicy = ProjectOptionFields(rawValue: 1 << 0)
    package static let doubleOptIn = ProjectOptionFields(rawValue: 1 << 1)
    package static let topicDefault = ProjectOptionFields(rawValue: 1 << 2)
    package static let lateWindow = ProjectOptionFields(rawValue: 1 << 3)
    package static let eventRetention = ProjectOptionFields(rawValue: 1 << 4)
    package static let eventsPerProfile = ProjectOptionFields(rawValue: 1 << 5)
    package static let resetConsent = ProjectOptionFields(rawValue: 1 << 6)
    package static let all = ProjectOptionFields(rawValue: 127)
}

extension ProjectOptions {
    /// These options with some fields of others.
    package func setting(_ fields: ProjectOptionFields, of other: ProjectOptions) -> ProjectOptions
    {
        var new = self
        if fields.contains(.mergePolicy) { new.latestWins = other.latestWins }
        if fields.contains(.doubleOptIn) { new.doubleOptIn = other.doubleOptIn }
        if fields.contains(.topicDefault) {
            new.topicDefaultUnsubscribed = other.topicDefaultUnsubscribed
        }
        if fields.contains(.lateWindow) { new.lateWindowSeconds = other.lateWindowSeconds }
        if fields.contains(.eventRetention) { new.eventRetentionDays = other.eventRetentionDays }
        if fields.contains(.eventsPerProfile) {
            new.eventsPerProfileMax = other.eventsPerProfileMax
        }
        if fields.contains(.resetConsent) {
            new.resetConsentOnAddressChange = other.resetConsentOnAddressChange
        }
        return new
    }
}

/// The payload of a CreateProject.
///
/// Layout: `requestID: prefixed (empty: none) | name: prefixed | ProjectOptions`. Its result's body
/// is a `ProjectResultBody`.
package struct CreateProjectCommand {
    /// Empty: none. Remembered for the whole store, not for a project.
    package var requestID: UnsafeRawBufferPointer
    /// `^[a-z0-9][a-z0-9_-]{0,62}$`.
    package var name: UnsafeRawBufferPointer
    package var options: ProjectOptions

    /// Longest name in bytes.
    package static let nameBytesMax = 63

    package init(
        requestID: UnsafeRawBufferPointer, name: UnsafeRawBufferPointer, options: ProjectOptions
    ) {
        self.requestID = requestID
        self.name = name
        self.options = options
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.appendPrefixed(self.requestID)
        buffer.appendPrefixed(self.name)
        self.options.write(into: &buffer)
    }

    /// Reads a payload; `nil` if it is not one.
    init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.requestID = reader.readPrefixed()
        self.name = reader.readPrefixed()
        guard let options = ProjectOptions(from: &reader), reader.isAtCleanEnd,
            Self.isName(self.name)
        else { return nil }
        self.options = options
    }

    /// Whether bytes can be the name of a project.
    package static func isName(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard 1 ... Self.nameBytesMax ~= bytes.count else { return false }
        for (index, byte) in bytes.enumerated() {
            switch byte {
            case UInt8(ascii: "a") ... UInt8(ascii: "z"), UInt8(ascii: "0") ... UInt8(ascii: "9"):
                continue
            case UInt8(ascii: "-"), UInt8(ascii: "_"): guard index > 0 else { return false }
            default: return false
            }
        }
        return true
    }
}

/// The payload of a DeleteProject.
///
/// Layout: `project: UInt32 | requestID: prefixed (empty: none) | flags: UInt8 (1 undo) |
/// delay: Int64 µs`. Its result's body is a `ProjectResultBody`.
package struct DeleteProjectCommand {
    package var project: ProjectID
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var isUndo: Bool
    /// From the call until everything of the project goes, in microseconds; 0 of an undo.
    package var delay: Int64

    /// What two equal messages share: all but the delay, which the server was started with and a
    /// retry after another start may not have.
    static func equalPart(of payload: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: payload.dropLast(MemoryLayout<Int64>.size))
    }

    /// Longest delay, in microseconds: ten years, as the windows of a genesis.
    package static let delayMax: Int64 = 10 * 366 * 86_400 * 1_000_000

    package init(
        project: ProjectID, requestID: UnsafeRawBufferPointer, isUndo: Bool, delay: Int64
    ) {
        self.project = project
        self.requestID = requestID
        self.isUndo = isUndo
        self.delay = delay
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.appendPrefixed(self.requestID)
        buffer.append(self.isUndo ? UInt8(1) : 0)
        buffer.append(self.delay)
    }

    /// Reads a payload; `nil` if it is not one.
    init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.project = ProjectID(rawValue: reader.read())
        self.requestID = reader.readPrefixed()
        let flags = reader.read(UInt8.self)
        self.isUndo = flags & 1 != 0
        self.delay = reader.read()
        guard reader.isAtCleanEnd, flags & ~1 == 0, 0 ... Self.delayMax ~= self.delay else {
            return nil
        }
    }
}

/// The body of the result of a CreateProject, UpdateProject or DeleteProject that was carried out:
/// the project after it.
///
/// Layout: `ProjectOptions | project: UInt32 | revision: UInt64 | createdAt, deleteDue: Int64 µs |
/// name: prefixed`. An UpdateProject of rules version 1 has the options only.
package struct ProjectResultBody {
    package var options: ProjectOptions
    /// `nil`: of rules version 1, and so of the project `default`.
    package var project: ProjectInfo?

    /// Reads a body; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        guard let options = ProjectOptions(from: &reader) else { return nil }
        self.options = options
        guard reader.remaining > 0 else { return }
        var info = ProjectInfo(id: ProjectID(rawValue: reader.read()), name: [])
        info.options = options
        info.revision = reader.read()
        info.createdAt = reader.read()
        info.deleteDue = reader.read()
        info.name = [UInt8](reader.readPrefixed())
        guard !reader.overrun else { return nil }
        self.project = info
    }
}

extension ProjectInfo {
    /// Appends a `ProjectResultBody`.
    func writeResult(into buffer: inout ByteBuffer) {
        self.options.write(into: &buffer)
        buffer.append(self.id.rawValue)
        buffer.append(self.revision)
        buffer.append(self.createdAt)
        buffer.append(self.deleteDue)
        self.name.withUnsafeBytes { buffer.appendPrefixed($0) }
    }
}
