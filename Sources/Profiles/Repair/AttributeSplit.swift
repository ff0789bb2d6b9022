import Bytes

// How the attributes of a merged profile are taken apart again. Source: docs/rules.md, section 6,
// UnmergeProfile: each side keeps what came through its own identifiers since, and gets back what
// it had of everything else, by attribute and by element of a list.

extension AttributeDraft {
    /// What one side has after an un-merge.
    ///
    /// - Parameters:
    ///   - merged: What the merged profile has.
    ///   - had: What the side had at the merge.
    ///   - isMine: Whether a write of an attribute, with its number, came through the side since.
    static func split(
        _ merged: AttributeDraft, had: AttributeDraft, names: NameTable,
        isMine: (_ name: Int, AttributeStamp) -> Bool
    ) -> AttributeDraft {
        var result = AttributeDraft()
        // Both lists ascend by the text of their names.
        var (left, right) = (0, 0)
        while left < merged.entries.count || right < had.entries.count {
            var (now, then): (AttributeEntry?, AttributeEntry?) = (nil, nil)
            if left < merged.entries.count { now = merged.entries[left] }
            if right < had.entries.count { then = had.entries[right] }
            if let one = now, let other = then, one.name != other.name {
                if names.name(one.name).isOrderedBefore(names.name(other.name)) {
                    then = nil
                } else {
                    now = nil
                }
            }
            if now != nil { left += 1 }
            if then != nil { right += 1 }
            if let entry = AttributeEntry.split(now, had: then, isMine) {
                result.entries.append(entry)
            }
        }
        result.dropOldestDeleted()
        return result
    }

    /// Takes out what is over the limit, of the last names first, but nothing that `had` has while
    /// there is anything else; returns the names.
    mutating func dropOverLimit(
        _ limits: AttributeLimits, had: AttributeDraft, names: NameTable
    ) -> [UnsafeRawBufferPointer] {
        var dropped: [UnsafeRawBufferPointer] = []
        for sparesOld in [true, false] {
            for index in self.entries.indices.reversed() {
                guard self.customCount(names) > limits.customMax else { return dropped }
                let entry = self.entries[index]
                let isOld = had.entries.contains { $0.name == entry.name && $0.kind != .deleted }
                guard entry.kind != .deleted, !sparesOld || !isOld,
                    NativeAttribute(name: names.name(entry.name)) == nil
                else { continue }
                dropped.append(names.name(entry.name))
                self.entries.remove(at: index)
            }
        }
        return dropped
    }
}

extension AttributeEntry {
    /// One attribute of a side; `nil`: it has nothing of it.
    fileprivate static func split(
        _ merged: AttributeEntry?, had: AttributeEntry?,
        _ isMine: (_ name: Int, AttributeStamp) -> Bool
    ) -> AttributeEntry? {
        guard let merged else { return had }
        func own(_ stamp: AttributeStamp) -> Bool {
            !stamp.isNever && isMine(merged.name, stamp)
        }
        guard merged.kind != .value else { return own(merged.stamp) ? merged : had }
        let isSet = own(merged.stamp)
        let ownElements = merged.elements.filter { own($0.stamp) }
        let ownRemoved = merged.removed.filter { own($0.stamp) }
        if !isSet, ownElements.isEmpty, ownRemoved.isEmpty { return had }
        var result = AttributeEntry(
            name: merged.name, kind: merged.kind, stamp: isSet ? merged.stamp : .never)
        if !isSet, ownElements.isEmpty, had?.kind == .value { return had }
        if !isSet {
            let isList = had?.kind == .list
            result.kind = isList ? .list : .deleted
            if let had, had.kind != .value { result.stamp = had.stamp }
        }
        let old = had.map { $0.kind == .value ? [] : $0.elements } ?? []
        /// An element that the side had, unless it was set, removed or replaced since.
        func remaining(_ element: ListElement) -> ListElement? {
            if let now = ownElements.first(where: { $0.text.equals(element.text) }) { return now }
            if ownRemoved.contains(where: { $0.text.equals(element.text) }) { return nil }
            return !isSet || element.stamp.isNewer(than: merged.stamp) ? element : nil
        }
        if isSet { result.elements = ownElements }
        for element in old where !result.has(element.text) {
            if let left = remaining(element) { result.elements.append(left) }
        }
        for element in ownElements where !result.has(element.text) {
            result.elements.append(element)
        }
        result.removed = ownRemoved.filter { !result.has($0.text) }
        for element in had?.removed ?? []
        where !result.has(element.text)
            && !result.removed.contains(where: { $0.text.equals(element.text) })
            && (!isSet || element.stamp.isNewer(than: merged.stamp))
        {
            result.removed.append(element)
        }
        result.dropOldestRemoved()
        if !result.elements.isEmpty { result.kind = .list }
        return result
    }

    private func has(_ text: UnsafeRawBufferPointer) -> Bool {
        self.elements.contains { $0.text.equals(text) }
    }

    /// Takes out the elements over the limit, the last ones first; true if there were any.
    mutating func dropElementsOverLimit() -> Bool {
        guard self.elements.count > AttributeLimits.elementsMax else { return false }
        self.elements.removeLast(self.elements.count - AttributeLimits.elementsMax)
        return true
    }
}
