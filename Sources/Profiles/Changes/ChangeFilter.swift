import Bytes

// Which changes a watcher asked for. Source: docs/rules.md, section 10, Watch.
//
// SAFETY: bytes of names and identifiers are borrowed for one closure.

/// An identifier that owns its bytes.
package struct OwnedIdentifier: Equatable, Hashable, Sendable {
    package var kind: IdentifierKind
    /// A profile id in its 16-byte form.
    package var bytes: [UInt8]

    package init(_ view: IdentifierView) {
        self.kind = view.kind
        self.bytes = Array(view.bytes)
    }

    /// Calls `body` with a view that is valid during the call.
    package func withView<Result>(_ body: (IdentifierView) -> Result) -> Result {
        self.bytes.withUnsafeBytes { body(IdentifierView(kind: self.kind, bytes: $0)) }
    }
}

/// The filters of a Watch; each that is empty lets everything pass.
package struct ChangeFilter: Equatable, Sendable {
    /// Items of each filter.
    package static let itemsMax = 100

    /// Bits `1 << kind`; 0: all kinds.
    private var kinds: UInt16 = 0
    /// In lower case, as `attributes`.
    package var eventNames: [[UInt8]] = []
    package var attributes: [[UInt8]] = []
    /// Bits `1 << channel`; 0: all channels.
    private var channels: UInt8 = 0
    /// Whom they lead to at a change's lsn is the watcher's to know: `passes` does not look at
    /// them.
    package var identifiers: [OwnedIdentifier] = []
    package var includesHistorical = false

    /// Lets everything pass but what is historical.
    package init() {}

    package mutating func insert(_ kind: ChangeKind) { self.kinds |= 1 << UInt16(kind.rawValue) }
    package mutating func insert(_ channel: Channel) { self.channels |= 1 << channel.rawValue }

    package func contains(_ kind: ChangeKind) -> Bool {
        self.kinds == 0 || self.kinds & 1 << UInt16(kind.rawValue) != 0
    }

    /// Whether a change passes all filters but `identifiers`.
    ///
    /// - Complexity: O(names of the filter and of the change).
    package func passes(_ change: ChangeView, _ resolver: ChangeResolver) -> Bool {
        guard self.contains(change.kind), self.includesHistorical || !change.isHistorical else {
            return false
        }
        if self.eventNames.isEmpty, self.attributes.isEmpty, self.channels == 0 { return true }
        switch change.kind {
        case .eventStored:
            guard !self.eventNames.isEmpty, let name = ChangedEvent.name(in: change.detail)
            else { return false }
            return Self.contains(self.eventNames, resolver.name(name))
        case .attributesChanged, .created:
            guard !self.attributes.isEmpty else { return false }
            var attributes = change.attributes
            while let attribute = attributes.next() {
                if Self.contains(self.attributes, resolver.name(attribute.name)) { return true }
            }
            return false
        case .subscriptionChanged:
            var entries = change.entries
            while let entry = entries.next() {
                if self.channels & 1 << entry.channel.rawValue != 0 { return true }
            }
            return false
        case .suppressionChanged:
            return change.suppression.map { self.channels & 1 << $0.channel.rawValue != 0 } ?? false
        case .identified, .merged, .unmerged, .installationMoved, .erased: return false
        }
    }

    private static func contains(_ names: [[UInt8]], _ name: UnsafeRawBufferPointer) -> Bool {
        names.contains { $0.withUnsafeBytes { $0.equals(name) } }
    }
}
