import Bytes

// The rules of attribute conflicts: every write carries (effective time, lsn), the greater one
// wins, losers are named. Lists follow the rule per element, so that the order in which writes
// arrive does not matter. Source: docs/rules.md, section 1.

/// Bounds of a profile's attributes.
struct AttributeLimits {
    /// Custom attributes that are shown.
    var customMax: Int
    /// Names in the project's table.
    var namesMax: Int
    /// Elements of a list.
    static let elementsMax = 25
    /// Deleted attributes whose stamps are kept; beyond that the oldest is dropped.
    static let deletedMax = 50
    /// Removed elements of one attribute whose stamps are kept; beyond that the oldest is dropped.
    static let removedMax = 100
}

/// What a patch did to a draft.
struct PatchOutcome {
    /// `.none`, or why the whole call is rejected.
    var rejection = Rejection.none
    /// The limit that was passed.
    var detail: UInt64 = 0
    /// A reader can see a difference.
    var isVisible = false
    /// Items of the patch.
    var itemCount = 0
    /// Names of items that lost to a newer write, ascending.
    var stale: [UnsafeRawBufferPointer] = []
    /// Names of items that found no capacity, of a patch that must not be rejected.
    var left: [UnsafeRawBufferPointer] = []
    /// The patch is malformed.
    var isMalformed = false
}

/// How one item ended.
private enum ItemOutcome {
    case applied(isVisible: Bool)
    /// All of it, or elements of it, lost; `isVisible`: others did not.
    case stale(isVisible: Bool)
    case mismatch
    case tooManyElements
}

extension AttributeDraft {
    /// Applies every item of a patch.
    ///
    /// - Parameters:
    ///   - patch: As `IdentifyHeader` describes it.
    ///   - isLenient: What finds no capacity is left out and named, instead of refusing the call.
    ///   - isIdentified: What the profile will be; an anonymous one has neither e-mail nor phone.
    mutating func apply(
        _ patch: UnsafeRawBufferPointer, stamp: AttributeStamp, names: NameTable,
        limits: AttributeLimits, isIdentified: Bool,
        isLenient: Bool, rules: Rules
    ) -> PatchOutcome {
        var outcome = PatchOutcome()
        var reader = ByteReader(patch)
        let count = reader.readVarint()
        for _ in 0 ..< count {
            guard let item = PatchItem(from: &reader, in: patch) else {
                outcome.isMalformed = true
                return outcome
            }
            outcome.itemCount += 1
            // Validation rejects it; a record that holds it all the same must not leave an
            // attribute that no write has stamped.
            if rules.ignoresEmptyLists, item.isEmptyElementWrite { continue }
            self.apply(item, stamp, names, limits, isIdentified, isLenient, rules, &outcome)
            guard outcome.rejection == .none else { return outcome }
        }
        outcome.isMalformed = !reader.isAtCleanEnd
        guard isLenient || self.customCount(names) <= limits.customMax else {
            outcome.rejection = .limitExceeded
            outcome.detail = UInt64(limits.customMax)
            return outcome
        }
        self.dropOldestDeleted()
        return outcome
    }

    private mutating func apply(
        _ item: PatchItem, _ stamp: AttributeStamp, _ names: NameTable, _ limits: AttributeLimits,
        _ isIdentified: Bool,
        _ isLenient: Bool, _ rules: Rules, _ outcome: inout PatchOutcome
    ) {
        let native = NativeAttribute(name: item.name)
        if let native, native.needsIdentified, item.action == .set, !isIdentified {
            outcome.rejection = .profileAnonymous
            return
        }
        guard
            let name = names.find(item.name)
                ?? (names.count < limits.namesMax ? names.add(item.name) : nil)
        else {
            return outcome.leave(item, isLenient, limit: limits.namesMax)
        }
        let index = self.index(of: name, names)
        let isKnown = index < self.entries.count && self.entries[index].name == name
        if isLenient, native == nil, item.action != .delete,
            !(isKnown && self.entries[index].kind != .deleted),
            self.customCount(names) >= limits.customMax
        {
            return outcome.leave(item, isLenient, limit: limits.customMax)
        }
        if !isKnown {
            self.entries.insert(
                AttributeEntry(name: name, kind: .deleted, stamp: .never), at: index)
        }
        switch self.entries[index].apply(item, stamp, rules) {
        case .applied(let isVisible): outcome.isVisible = outcome.isVisible || isVisible
        case .stale(let isVisible):
            outcome.isVisible = outcome.isVisible || isVisible
            outcome.stale.append(item.name)
        case .mismatch: outcome.rejection = .attributeTypeMismatch
        case .tooManyElements: outcome.leave(item, isLenient, limit: AttributeLimits.elementsMax)
        }
    }

    /// The index of a name, or the one at which it is inserted.
    func index(of name: Int, _ names: NameTable) -> Int {
        let text = names.name(name)
        var (low, high) = (0, self.entries.count)
        while low < high {
            let middle = (low + high) / 2
            if names.name(self.entries[middle].name).isOrderedBefore(text) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /// Custom attributes that are shown.
    func customCount(_ names: NameTable) -> Int {
        self.entries.count {
            $0.kind != .deleted && NativeAttribute(name: names.name($0.name)) == nil
        }
    }

    /// Drops the oldest deleted attributes over the bound.
    mutating func dropOldestDeleted() {
        while self.entries.count(where: { $0.kind == .deleted }) > AttributeLimits.deletedMax {
            var oldest: Int?
            for index in self.entries.indices where self.entries[index].kind == .deleted {
                if oldest.map({ self.entries[$0].newest.isNewer(than: self.entries[index].newest) })
                    ?? true
                {
                    oldest = index
                }
            }
            if let oldest { self.entries.remove(at: oldest) }
        }
    }
}

extension PatchItem {
    /// An `add` or `remove` without elements.
    fileprivate var isEmptyElementWrite: Bool {
        guard self.action == .add || self.action == .remove else { return false }
        var reader = ByteReader(self.value)
        _ = reader.read(UInt8.self)
        return reader.readVarint() == 0
    }
}

extension PatchOutcome {
    fileprivate mutating func leave(_ item: PatchItem, _ isLenient: Bool, limit: Int) {
        guard !isLenient else { return self.left.append(item.name) }
        self.rejection = .limitExceeded
        self.detail = UInt64(limit)
    }
}

extension AttributeEntry {
    /// The newest stamp of it and its elements.
    var newest: AttributeStamp {
        var newest = self.stamp
        for element in self.elements where element.stamp.isNewer(than: newest) {
            newest = element.stamp
        }
        for element in self.removed where element.stamp.isNewer(than: newest) {
            newest = element.stamp
        }
        return newest
    }

    fileprivate mutating func apply(
        _ item: PatchItem, _ stamp: AttributeStamp, _ rules: Rules
    ) -> ItemOutcome {
        switch item.action {
        case .set:
            item.value.first == PackedTag.list.rawValue
                ? self.set(list: Self.texts(item.value), stamp, rules)
                : self.set(scalar: item.value, stamp)
        case .delete: self.delete(stamp)
        case .add: self.add(Self.texts(item.value), stamp)
        case .remove: self.remove(Self.texts(item.value), stamp)
        }
    }

    /// The different elements of a packed list, in their order.
    private static func texts(_ value: UnsafeRawBufferPointer) -> [UnsafeRawBufferPointer] {
        var reader = ByteReader(value)
        _ = reader.read(UInt8.self)
        var texts: [UnsafeRawBufferPointer] = []
        for _ in 0 ..< reader.readVarint() {
            let text = reader.readPrefixed()
            if !texts.contains(where: { $0.equals(text) }) { texts.append(text) }
        }
        return texts
    }

    private mutating func set(scalar value: UnsafeRawBufferPointer, _ stamp: AttributeStamp)
        -> ItemOutcome
    {
        var strongest = self.stamp
        for element in self.elements where element.stamp.isNewer(than: strongest) {
            strongest = element.stamp
        }
        guard stamp.isNewer(than: strongest) else { return .stale(isVisible: false) }
        let isVisible = self.kind != .value || !self.value.equals(value)
        self = AttributeEntry(name: self.name, kind: .value, stamp: stamp, value: value)
        return .applied(isVisible: isVisible)
    }

    private mutating func set(
        list texts: [UnsafeRawBufferPointer], _ stamp: AttributeStamp, _ rules: Rules
    ) -> ItemOutcome {
        guard stamp.isNewer(than: self.stamp) else { return .stale(isVisible: false) }
        let before = self.kind == .list ? self.elements : nil
        self.removed.removeAll { !$0.stamp.isNewer(than: stamp) }
        var elements: [ListElement] = []
        for text in texts where !self.removed.contains(where: { $0.text.equals(text) }) {
            let newer = before?.first { $0.text.equals(text) && $0.stamp.isNewer(than: stamp) }
            elements.append(ListElement(text: text, stamp: newer?.stamp ?? stamp))
        }
        for element in before ?? []
        where element.stamp.isNewer(than: stamp)
            && !texts.contains(where: { $0.equals(element.text) })
        {
            elements.append(element)
        }
        guard elements.count <= AttributeLimits.elementsMax else { return .tooManyElements }
        self = AttributeEntry(
            name: self.name, kind: .list, stamp: stamp, elements: elements, removed: self.removed)
        let isVisible = before.map { !Self.showSame($0, elements) } ?? true
        let losesElements =
            rules.reportsElementsKeptOut
            && texts.contains { text in self.removed.contains { $0.text.equals(text) } }
        return losesElements ? .stale(isVisible: isVisible) : .applied(isVisible: isVisible)
    }

    private static func showSame(_ one: [ListElement], _ other: [ListElement]) -> Bool {
        one.count == other.count && zip(one, other).allSatisfy { $0.text.equals($1.text) }
    }

    private mutating func delete(_ stamp: AttributeStamp) -> ItemOutcome {
        guard stamp.isNewer(than: self.stamp) else { return .stale(isVisible: false) }
        let wasShown = self.kind != .deleted
        let before = self.elements.count
        self.elements.removeAll { !$0.stamp.isNewer(than: stamp) }
        self.removed.removeAll { !$0.stamp.isNewer(than: stamp) }
        let isLeft = self.kind == .list && !self.elements.isEmpty
        self.kind = isLeft ? .list : .deleted
        self.stamp = stamp
        self.value = .none
        return .applied(isVisible: isLeft ? self.elements.count < before : wasShown)
    }

    private mutating func add(_ texts: [UnsafeRawBufferPointer], _ stamp: AttributeStamp)
        -> ItemOutcome
    {
        guard self.kind != .value else { return .mismatch }
        guard stamp.isNewer(than: self.stamp) else { return .stale(isVisible: false) }
        var isVisible = self.kind != .list
        var isStale = false
        self.kind = .list
        for text in texts {
            if let index = self.elements.firstIndex(where: { $0.text.equals(text) }) {
                if stamp.isNewer(than: self.elements[index].stamp) {
                    self.elements[index].stamp = stamp
                } else {
                    isStale = true
                }
                continue
            }
            if let index = self.removed.firstIndex(where: { $0.text.equals(text) }) {
                guard stamp.isNewer(than: self.removed[index].stamp) else {
                    isStale = true
                    continue
                }
                self.removed.remove(at: index)
            }
            self.elements.append(ListElement(text: text, stamp: stamp))
            isVisible = true
        }
        guard self.elements.count <= AttributeLimits.elementsMax else { return .tooManyElements }
        return isStale ? .stale(isVisible: isVisible) : .applied(isVisible: isVisible)
    }

    private mutating func remove(_ texts: [UnsafeRawBufferPointer], _ stamp: AttributeStamp)
        -> ItemOutcome
    {
        guard self.kind != .value else { return .mismatch }
        guard stamp.isNewer(than: self.stamp) else { return .stale(isVisible: false) }
        var isVisible = false
        var isStale = false
        for text in texts {
            if let index = self.elements.firstIndex(where: { $0.text.equals(text) }) {
                guard stamp.isNewer(than: self.elements[index].stamp) else {
                    isStale = true
                    continue
                }
                self.elements.remove(at: index)
                isVisible = true
            } else if let index = self.removed.firstIndex(where: { $0.text.equals(text) }) {
                guard stamp.isNewer(than: self.removed[index].stamp) else {
                    isStale = true
                    continue
                }
                self.removed.remove(at: index)
            }
            self.removed.append(ListElement(text: text, stamp: stamp))
        }
        self.dropOldestRemoved()
        return isStale ? .stale(isVisible: isVisible) : .applied(isVisible: isVisible)
    }

    /// Drops the oldest removed elements over the bound.
    mutating func dropOldestRemoved() {
        while self.removed.count > AttributeLimits.removedMax {
            var oldest = 0
            for index in self.removed.indices
            where self.removed[oldest].stamp.isNewer(than: self.removed[index].stamp) {
                oldest = index
            }
            self.removed.remove(at: oldest)
        }
    }
}
