import Bytes

// The repairs of identities in the log: a device leaves a profile, two profiles become one, and a
// merge is undone.

/// A DetachInstallation in the log; borrowed bytes.
///
/// Layout of the payload, little-endian: `project: UInt32 | requestID: prefixed (empty: none) |
/// installationID: prefixed`.
package struct DetachCommand {
    package var project: ProjectID
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var installationID: UnsafeRawBufferPointer

    package init(
        project: ProjectID, requestID: UnsafeRawBufferPointer,
        installationID: UnsafeRawBufferPointer
    ) {
        self.project = project
        self.requestID = requestID
        self.installationID = installationID
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.appendPrefixed(self.requestID)
        buffer.appendPrefixed(self.installationID)
    }

    /// Reads a payload; `nil` if it is not one.
    init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.project = ProjectID(rawValue: reader.read())
        self.requestID = reader.readPrefixed()
        self.installationID = reader.readPrefixed()
        guard reader.isAtCleanEnd, 1 ... Int(UInt16.max) ~= self.installationID.count else {
            return nil
        }
    }

    var identifier: IdentifierView {
        IdentifierView(kind: .installationID, bytes: self.installationID)
    }
}

/// The body of a detachment that was carried out; a rejected one has none.
///
/// Layout: `profileID: 16 bytes | revision: UInt64 | formerProfileID: 16 bytes`.
package struct DetachResultBody: Equatable {
    /// The profile that the installation is on now.
    package var profileID: ProfileID
    /// Of that profile.
    package var revision: UInt64
    /// The profile that it was on; the same if nothing changed.
    package var formerProfileID: ProfileID

    init(profileID: ProfileID, revision: UInt64, formerProfileID: ProfileID) {
        self.profileID = profileID
        self.revision = revision
        self.formerProfileID = formerProfileID
    }

    func write(into buffer: inout ByteBuffer) {
        buffer.append(self.profileID.high.bigEndian)
        buffer.append(self.profileID.low.bigEndian)
        buffer.append(self.revision)
        buffer.append(self.formerProfileID.high.bigEndian)
        buffer.append(self.formerProfileID.low.bigEndian)
    }

    /// Reads a body; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        let id = reader.read(count: ProfileID.binaryBytes)
        self.revision = reader.read()
        let former = reader.read(count: ProfileID.binaryBytes)
        guard !reader.overrun else { return nil }
        self.profileID = ProfileID(binary: id)
        self.formerProfileID = ProfileID(binary: former)
    }
}

/// Flags of a MergeProfiles; raw values stand in the log.
package struct MergeFlags: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let allowIdentified = MergeFlags(rawValue: 1 << 0)
    package static let hasExpectedRevision = MergeFlags(rawValue: 1 << 1)
    static let all: MergeFlags = [.allowIdentified, .hasExpectedRevision]
}

/// A MergeProfiles in the log; borrowed bytes. Its result is that of an Identify.
///
/// Layout of the payload, little-endian: `project: UInt32 | flags: UInt8 | loserKind,
/// survivorKind: UInt8 | loser, survivor: prefixed | requestID: prefixed (empty: none) |
/// [expectedRevision: UInt64]`.
package struct MergeCommand {
    package var project: ProjectID
    package var allowsIdentified: Bool
    package var loser: IdentifierView
    package var survivor: IdentifierView
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    /// Of the survivor; `nil`: any.
    package var expectedRevision: UInt64?

    package init(
        project: ProjectID, allowsIdentified: Bool, loser: IdentifierView,
        survivor: IdentifierView, requestID: UnsafeRawBufferPointer, expectedRevision: UInt64?
    ) {
        self.project = project
        self.allowsIdentified = allowsIdentified
        self.loser = loser
        self.survivor = survivor
        self.requestID = requestID
        self.expectedRevision = expectedRevision
    }

    package func write(into buffer: inout ByteBuffer) {
        var flags: MergeFlags = []
        if self.allowsIdentified { flags.insert(.allowIdentified) }
        if self.expectedRevision != nil { flags.insert(.hasExpectedRevision) }
        buffer.append(self.project.rawValue)
        buffer.append(flags.rawValue)
        buffer.append(self.loser.kind.rawValue)
        buffer.append(self.survivor.kind.rawValue)
        buffer.appendPrefixed(self.loser.bytes)
        buffer.appendPrefixed(self.survivor.bytes)
        buffer.appendPrefixed(self.requestID)
        if let expectedRevision = self.expectedRevision { buffer.append(expectedRevision) }
    }

    /// Reads a payload; `nil` if it is not one.
    init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.project = ProjectID(rawValue: reader.read())
        let flags = MergeFlags(rawValue: reader.read())
        guard let loser = IdentifierKind(rawValue: reader.read()),
            let survivor = IdentifierKind(rawValue: reader.read())
        else { return nil }
        self.allowsIdentified = flags.contains(.allowIdentified)
        self.loser = IdentifierView(kind: loser, bytes: reader.readPrefixed())
        self.survivor = IdentifierView(kind: survivor, bytes: reader.readPrefixed())
        self.requestID = reader.readPrefixed()
        self.expectedRevision = flags.contains(.hasExpectedRevision) ? reader.read() : nil
        guard reader.isAtCleanEnd, MergeFlags.all.isSuperset(of: flags), self.loser.isWellFormed,
            self.survivor.isWellFormed
        else { return nil }
    }
}

extension IdentifierView {
    /// Whether a record may name it.
    fileprivate var isWellFormed: Bool {
        switch self.kind {
        case .profileID: self.bytes.count == ProfileID.binaryBytes
        case .customID, .installationID: 1 ... Int(UInt16.max) ~= self.bytes.count
        }
    }
}

/// An UnmergeProfile in the log; borrowed bytes.
///
/// Layout of the payload, little-endian: `project: UInt32 | requestID: prefixed (empty: none) |
/// mergeID: 2 x UInt64 (high, low)`.
package struct UnmergeCommand {
    package var project: ProjectID
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var mergeID: ProfileID

    package init(project: ProjectID, requestID: UnsafeRawBufferPointer, mergeID: ProfileID) {
        self.project = project
        self.requestID = requestID
        self.mergeID = mergeID
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.appendPrefixed(self.requestID)
        buffer.append(self.mergeID.high)
        buffer.append(self.mergeID.low)
    }

    /// Reads a payload; `nil` if it is not one.
    init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.project = ProjectID(rawValue: reader.read())
        self.requestID = reader.readPrefixed()
        self.mergeID = ProfileID(high: reader.read(), low: reader.read())
        guard reader.isAtCleanEnd else { return nil }
    }
}

/// The body of an un-merge that was carried out; a rejected one has none.
///
/// Layout: `profileID: 16 bytes | restoredID: 16 bytes | warningCount: varint, (reason: UInt8,
/// text: prefixed) each`.
package struct UnmergeResultBody: Equatable {
    /// The profile that the other one was taken out of.
    package var profileID: ProfileID
    /// The profile that the merge had taken away.
    package var restoredID: ProfileID

    init(profileID: ProfileID, restoredID: ProfileID) {
        self.profileID = profileID
        self.restoredID = restoredID
    }

    /// Appends the fixed part; the warnings follow.
    func write(into buffer: inout ByteBuffer) {
        for id in [self.profileID, self.restoredID] {
            buffer.append(id.high.bigEndian)
            buffer.append(id.low.bigEndian)
        }
    }

    /// Reads the fixed part; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        let id = reader.read(count: ProfileID.binaryBytes)
        let restored = reader.read(count: ProfileID.binaryBytes)
        guard !reader.overrun else { return nil }
        self.profileID = ProfileID(binary: id)
        self.restoredID = ProfileID(binary: restored)
    }
}
