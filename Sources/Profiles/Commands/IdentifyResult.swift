import Bytes

/// What an Identify or a merge did; the contract's values.
package enum IdentifyOutcome: UInt8, Sendable {
    case created = 1
    case attached = 2
    case promoted = 3
    case merged = 4
    case updated = 5
    case noop = 6
    case switched = 7
    case loggedOut = 8
    case ignoredStaleLink = 9
}

/// Why a call that was carried out should be looked at; raw values stand in stored responses.
package enum WarningReason: UInt8, Sendable {
    /// The least recently seen installation left a profile that had too many.
    case installationDetached = 1
    /// An attribute of a merged profile found no capacity.
    case attributeLimit = 2
    /// Elements of a merged list found no capacity.
    case listOverflow = 3
    /// A counter of a merged profile found no capacity.
    case counterLimit = 4
    /// A patch's attribute found no capacity on a log-out, which is never rejected.
    case limitExceeded = 5

    /// The text of `Warning.reason`.
    package var reason: StaticString {
        switch self {
        case .installationDetached: "INSTALLATION_DETACHED"
        case .attributeLimit: "ATTRIBUTE_LIMIT"
        case .listOverflow: "LIST_OVERFLOW"
        case .counterLimit: "COUNTER_LIMIT"
        case .limitExceeded: "LIMIT_EXCEEDED"
        }
    }
}

/// The body of an Identify that was carried out; a rejected one has none.
///
/// Layout:
/// `profileID: 16 bytes | revision: UInt64 | outcome: UInt8 | mergeID: 16 bytes (zeros: none) |
/// redirectedFrom: kind UInt8 (0: none), prefixed | itemCount: UInt16 | staleCount: varint, name:
/// prefixed each | warningCount: varint, (reason: UInt8, text: prefixed)
/// each`. The text of a warning is an installation id for `.installationDetached`, else an
/// attribute's or event's name.
package struct IdentifyResultBody {
    package var profileID: ProfileID
    package var revision: UInt64
    package var outcome: IdentifyOutcome
    /// Zeros: none.
    package var mergeID: ProfileID
    /// `nil`: reached directly.
    package var redirectedFrom: IdentifierView?
    /// Items of the patch: for the accounting.
    package var itemCount: Int

    package init(
        profileID: ProfileID, revision: UInt64, outcome: IdentifyOutcome, mergeID: ProfileID,
        redirectedFrom: IdentifierView?,
        itemCount: Int
    ) {
        self.profileID = profileID
        self.revision = revision
        self.outcome = outcome
        self.mergeID = mergeID
        self.redirectedFrom = redirectedFrom
        self.itemCount = itemCount
    }

    /// Appends the fixed part; the two lists follow.
    func write(into buffer: inout ByteBuffer) {
        buffer.append(self.profileID.high.bigEndian)
        buffer.append(self.profileID.low.bigEndian)
        buffer.append(self.revision)
        buffer.append(self.outcome.rawValue)
        buffer.append(self.mergeID.high.bigEndian)
        buffer.append(self.mergeID.low.bigEndian)
        buffer.append(self.redirectedFrom?.kind.rawValue ?? 0)
        buffer.appendPrefixed(self.redirectedFrom?.bytes ?? .none)
        buffer.append(UInt16(self.itemCount))
    }

    /// Reads the fixed part, up to the two lists; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        let id = reader.read(count: ProfileID.binaryBytes)
        self.revision = reader.read()
        guard let outcome = IdentifyOutcome(rawValue: reader.read()) else { return nil }
        self.outcome = outcome
        let merge = reader.read(count: ProfileID.binaryBytes)
        let kind = reader.read(UInt8.self)
        let from = reader.readPrefixed()
        self.itemCount = Int(reader.read(UInt16.self))
        guard !reader.overrun else { return nil }
        self.profileID = ProfileID(binary: id)
        self.mergeID = ProfileID(binary: merge)
        self.redirectedFrom = IdentifierKind(rawValue: kind).map {
            IdentifierView(kind: $0, bytes: from)
        }
    }
}
