/// A filter, ready to be evaluated.
///
/// The state and its snapshots keep the text, which compiles to the same filter in every release
/// that knows the rules version of its frame; a compiled filter is memory only.
package final class CompiledFilter: Sendable {
    /// As it was given.
    package let text: String
    package let scope: FilterScope
    /// The expression in its canonical form.
    package let canonicalText: String
    /// Without nodes it matches everything.
    let nodes: [FilterNode]
    /// Names and texts that the nodes refer to.
    let constants: [UInt8]
    /// What every match satisfies and an index knows; `nil`: nothing.
    package let lookup: FilterLookup?
    /// The parts of a profile that are looked at.
    let parts: ProfileParts

    /// Compiles the text of a filter; one without anything but blanks matches everything.
    ///
    /// - Parameter text: Without NUL.
    /// - Throws: The first thing that is wrong.
    /// - Complexity: O(characters); some allocations for each comparison.
    package convenience init(_ text: String, _ scope: FilterScope) throws(FilterError) {
        try self.init(text, scope, charactersMax: FilterLimits.charactersMax)
    }

    /// As above, of a canonical form too: it may be longer than the text that it was made of.
    init(_ text: String, _ scope: FilterScope, charactersMax: Int) throws(FilterError) {
        let expression = try FilterParser.parse(text, scope, charactersMax: charactersMax)
        self.text = text
        self.scope = scope
        self.canonicalText = FilterPrinter.text(expression)
        var builder = Builder()
        builder.append(expression, onTrue: FilterNode.accept, onFalse: FilterNode.reject)
        self.nodes = builder.nodes
        self.constants = builder.constants
        self.lookup = expression.lookup
        self.parts = builder.nodes.reduce(into: []) { $0.formUnion($1.field.parts) }
    }

    /// Matches every profile.
    package static let all: CompiledFilter = {
        do throws(FilterError) { return try CompiledFilter("", .profile) } catch {
            preconditionFailure("the empty filter is one: \(error.description)")
        }
    }()

    /// Comparisons and literals.
    package var comparisonCount: Int { self.nodes.count }

    /// Bytes of memory beside the object itself.
    package var bytes: Int {
        self.text.utf8.count + self.canonicalText.utf8.count + self.constants.count
            + self.nodes.count * MemoryLayout<FilterNode>.stride
    }
}

extension CompiledFilter {
    /// Lays out the nodes of an expression in the order of its text.
    private struct Builder {
        var nodes: [FilterNode] = []
        var constants: [UInt8] = []

        mutating func append(_ expression: FilterExpression, onTrue: UInt8, onFalse: UInt8) {
            switch expression {
            case .all: break
            case .comparison(let comparison):
                var node = self.node(comparison)
                (node.onTrue, node.onFalse) = (onTrue, onFalse)
                self.nodes.append(node)
            case .not(let item): self.append(item, onTrue: onFalse, onFalse: onTrue)
            case .and(let items):
                for (index, item) in items.enumerated() {
                    let next = self.index(behind: item)
                    self.append(
                        item, onTrue: index == items.count - 1 ? onTrue : next, onFalse: onFalse)
                }
            case .or(let items):
                for (index, item) in items.enumerated() {
                    let next = self.index(behind: item)
                    self.append(
                        item, onTrue: onTrue, onFalse: index == items.count - 1 ? onFalse : next)
                }
            }
        }

        /// The index of the first node behind an expression that is appended next.
        private func index(behind expression: FilterExpression) -> UInt8 {
            UInt8(self.nodes.count + expression.comparisonCount)
        }

        private mutating func node(_ comparison: FilterComparison) -> FilterNode {
            var node = FilterNode(
                field: Self.field(comparison.field), comparator: comparison.comparator)
            self.setNames(comparison.field, in: &node)
            switch comparison.constant {
            case .anything: break
            case .integer(let integer):
                node.constant = .integer
                node.bits = UInt64(bitPattern: integer)
            case .number(let number):
                node.constant = .number
                node.bits = number.bitPattern
            case .boolean(let boolean):
                node.constant = .boolean
                node.bits = boolean ? 1 : 0
            case .text(let text): self.set(text, comparison.field.kind, in: &node)
            }
            return node
        }

        private mutating func set(
            _ text: FilterText, _ kind: FilterField.Kind, in node: inout FilterNode
        ) {
            let string = String(decoding: text.bytes, as: UTF8.self)
            switch kind {
            case .state:
                node.bits =
                    string == ProfileState.identified.filterName
                    ? UInt64(ProfileState.identified.rawValue)
                    : UInt64(ProfileState.anonymous.rawValue)
                return
            case .subscription:
                let state = SubscriptionState.allCases.first { $0.filterName == string }
                node.bits = UInt64(state?.rawValue ?? SubscriptionState.unset.rawValue)
                return
            case .value, .text, .time, .counterTime, .count, .boolean, .texts: break
            }
            node.constant = .text
            if text.isOpenAtStart { node.constant.insert(.isOpenAtStart) }
            if text.isOpenAtEnd { node.constant.insert(.isOpenAtEnd) }
            node.textStart = UInt16(self.constants.count)
            node.textBytes = UInt16(text.bytes.count)
            self.constants += text.bytes
            if text.isOpenAtStart && text.isOpenAtEnd {
                FilterBorders.append(text.bytes, to: &self.constants)
            }
            guard !text.isOpenAtStart, !text.isOpenAtEnd, let time = FilterTime(text.bytes) else {
                return
            }
            node.constant.insert(.time)
            if time.isRelative { node.constant.insert(.isRelative) }
            node.time = time.microseconds
        }

        private mutating func setNames(_ field: FilterField, in node: inout FilterNode) {
            var names: [String] = []
            switch field {
            case .attribute(let name): names = [name]
            case .counter(let name, _): names = [name]
            case .event(let path): names = path
            case .subscription(let channel, let topic):
                node.channel = channel.rawValue
                names = [topic]
            case .suppressed(let channel): node.channel = channel.rawValue
            case .anywhere, .state, .customID, .createdAt, .updatedAt, .lastSeenAt,
                .installations, .eventLabel, .eventTags:
                break
            }
            node.nameStart = UInt16(self.constants.count)
            node.nameCount = UInt8(names.count)
            for name in names { self.appendPrefixed(name) }
        }

        /// Appends a text as `ByteReader.readPrefixed` reads it.
        private mutating func appendPrefixed(_ name: String) {
            var count = name.utf8.count
            while count >= 0x80 {
                self.constants.append(UInt8(truncatingIfNeeded: count) | 0x80)
                count >>= 7
            }
            self.constants.append(UInt8(truncatingIfNeeded: count))
            self.constants += name.utf8
        }

        private static func field(_ field: FilterField) -> FilterNode.Field {
            switch field {
            case .anywhere: .anywhere
            case .state: .state
            case .customID: .customID
            case .createdAt: .createdAt
            case .updatedAt: .updatedAt
            case .lastSeenAt: .lastSeenAt
            case .installations: .installations
            case .attribute: .attribute
            case .counter(_, .count): .counterCount
            case .counter(_, .first): .counterFirst
            case .counter(_, .last): .counterLast
            case .subscription: .subscription
            case .suppressed: .suppressed
            case .event: .event
            case .eventLabel: .eventLabel
            case .eventTags: .eventTags
            }
        }
    }
}
