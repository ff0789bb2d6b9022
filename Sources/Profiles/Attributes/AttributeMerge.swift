import Bytes

// What becomes of the attributes of a profile that is merged into another one.
// Source: docs/rules.md, section 2, "Merge of A into B".

/// Names of what found no capacity in a merge.
struct AttributeMergeLosses {
    /// Attributes.
    var attributes: [UnsafeRawBufferPointer] = []
    /// Lists, of which elements found none.
    var lists: [UnsafeRawBufferPointer] = []
}

extension AttributeDraft {
    /// Takes over what the survivor does not have, in name order.
    ///
    /// - Parameter latestWins: The newer value counts, not the survivor's.
    mutating func merge(
        _ loser: AttributeDraft, latestWins: Bool, names: NameTable, limits: AttributeLimits,
        rules: Rules
    ) -> AttributeMergeLosses {
        var losses = AttributeMergeLosses()
        for entry in loser.entries {
            let index = self.index(of: entry.name, names)
            let text = names.name(entry.name)
            guard index < self.entries.count, self.entries[index].name == entry.name else {
                let isCustom = entry.kind != .deleted && NativeAttribute(name: text) == nil
                if isCustom, self.customCount(names) >= limits.customMax {
                    losses.attributes.append(text)
                } else {
                    self.entries.insert(entry, at: index)
                }
                continue
            }
            if self.entries[index].kind == .list, entry.kind == .list {
                if self.entries[index].unite(with: entry, latestWins: latestWins) {
                    losses.lists.append(text)
                }
                continue
            }
            if rules.ignoresRemovesAlone, entry.isRemovesAlone {
                self.entries[index].remember(removesOf: entry)
                continue
            }
            let isGap = rules.ignoresRemovesAlone && self.entries[index].isRemovesAlone
            let isNewer =
                rules.ignoresRemovesAlone
                ? entry.valueStamp.isNewer(than: self.entries[index].valueStamp)
                : entry.newest.isNewer(than: self.entries[index].newest)
            guard isGap || latestWins && isNewer else { continue }
            let addsCustom =
                self.entries[index].kind == .deleted && entry.kind != .deleted
                && NativeAttribute(name: text) == nil
            if addsCustom, self.customCount(names) >= limits.customMax {
                losses.attributes.append(text)
            } else {
                let mine = self.entries[index]
                self.entries[index] = entry
                if isGap { self.entries[index].remember(removesOf: mine) }
            }
        }
        self.dropOldestDeleted()
        return losses
    }
}

extension AttributeEntry {
    /// Elements were removed from a list that was never there: no value, but the removes are
    /// remembered, so that an older `add` that arrives later still loses.
    fileprivate var isRemovesAlone: Bool { self.kind == .deleted && self.stamp.isNever }

    /// When the value was written, or deleted; removes from what is deleted do not renew it.
    fileprivate var valueStamp: AttributeStamp {
        self.kind == .deleted ? self.stamp : self.newest
    }

    /// Remembers the removes of a side that has no list; they take nothing out of this one.
    fileprivate mutating func remember(removesOf other: AttributeEntry) {
        guard self.kind != .value else { return }
        for element in other.removed
        where !self.elements.contains(where: { $0.text.equals(element.text) }) {
            if let index = self.removed.firstIndex(where: { $0.text.equals(element.text) }) {
                if element.stamp.isNewer(than: self.removed[index].stamp) {
                    self.removed[index].stamp = element.stamp
                }
            } else {
                self.removed.append(element)
            }
        }
        self.dropOldestRemoved()
    }

    /// Adds the elements of another list behind its own, at most 25 in total; true if some did
    /// not fit.
    fileprivate mutating func unite(with other: AttributeEntry, latestWins: Bool) -> Bool {
        var isOver = false
        for element in other.elements {
            if let index = self.elements.firstIndex(where: { $0.text.equals(element.text) }) {
                if element.stamp.isNewer(than: self.elements[index].stamp) {
                    self.elements[index].stamp = element.stamp
                }
                continue
            }
            if let index = self.removed.firstIndex(where: { $0.text.equals(element.text) }) {
                guard latestWins, element.stamp.isNewer(than: self.removed[index].stamp) else {
                    continue
                }
                self.removed.remove(at: index)
            }
            guard self.elements.count < AttributeLimits.elementsMax else {
                isOver = true
                continue
            }
            self.elements.append(element)
        }
        for element in other.removed
        where !self.removed.contains(where: { $0.text.equals(element.text) }) {
            if let index = self.elements.firstIndex(where: { $0.text.equals(element.text) }) {
                guard latestWins, element.stamp.isNewer(than: self.elements[index].stamp) else {
                    continue
                }
                self.elements.remove(at: index)
            }
            self.removed.append(element)
        }
        self.dropOldestRemoved()
        if other.stamp.isNewer(than: self.stamp), self.stamp.isNever || latestWins {
            self.stamp = other.stamp
        }
        return isOver
    }
}
