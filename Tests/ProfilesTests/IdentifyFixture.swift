import Bytes

@testable import Profiles

/// An Identify as a test says it.
struct IdentifySpec {
    var device = ""
    var person = ""
    var isLogOut = false
    var isHistorical = false
    var source = ""
    var occurredAt: Int64?
    /// Name, action and value: an integer is a scalar, texts are a list.
    var patch: [(name: String, action: PatchAction, number: Int64, texts: [String])] = []

    /// The payload of the record, or of an item of a batch.
    func write(into buffer: inout ByteBuffer) {
        var flags: IdentifyFlags = []
        if self.isLogOut { flags.insert(.loggedOut) }
        if self.isHistorical { flags.insert(.historical) }
        if self.occurredAt != nil { flags.insert(.hasOccurredAt) }
        withBytes(self.device) { device in
            withBytes(self.person) { person in
                withBytes(self.source) { source in
                    IdentifyHeader(
                        project: ProjectID(rawValue: 1), flags: flags, platform: 3,
                        installationID: device, customID: person, requestID: .none,
                        sourceName: source, occurredAt: self.occurredAt ?? 0, sentAt: 0,
                        expectedRevision: 0
                    ).write(into: &buffer)
                }
            }
        }
        buffer.appendVarint(UInt64(self.patch.count))
        for item in self.patch.sorted(by: { $0.name < $1.name }) {
            withBytes(item.name) { buffer.appendPrefixed($0) }
            buffer.append(item.action.rawValue)
            if item.action == .delete { continue }
            guard item.action == .set, item.texts.isEmpty else {
                buffer.append(PackedTag.list.rawValue)
                buffer.appendVarint(UInt64(item.texts.count))
                for text in item.texts { withBytes(text) { buffer.appendPrefixed($0) } }
                continue
            }
            buffer.appendPacked(integer: item.number)
        }
    }

    var record: [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(.identify, in: &buffer)
        self.write(into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }
}

/// Records of many kinds that meet each other: few devices, few people, small times.
struct MixedGenerator {
    var random: SeededRandom

    mutating func identify(_ now: Int64) -> IdentifySpec {
        var spec = IdentifySpec()
        if self.random.chance(80) { spec.device = "d\(self.random.below(5))" }
        if spec.device.isEmpty || self.random.chance(60) {
            spec.person = "p\(self.random.below(5))"
        }
        if spec.person.isEmpty, self.random.chance(40) { spec.isLogOut = true }
        if self.random.chance(60) {
            spec.occurredAt = now - Int64(self.random.below(2_000)) * 1_000_000
        }
        for name in ["a", "b", "c"] where self.random.chance(30) {
            spec.patch.append(
                (name, self.random.chance(20) ? .delete : .set, Int64(self.random.below(3)), []))
        }
        for name in ["l", "m"] where self.random.chance(40) {
            let texts = (0 ... self.random.below(3)).map { _ in "x\(self.random.below(5))" }
            let actions: [PatchAction] = [.add, .remove, .set, .delete]
            spec.patch.append((name, actions[self.random.below(4)], 0, texts))
        }
        return spec
    }

    mutating func track(_ now: Int64) -> TrackSpec {
        let events = (0 ... self.random.below(3)).map { _ in
            EventSpec(
                name: "e\(self.random.below(4))",
                id: self.random.chance(60) ? "i\(self.random.below(9))" : "",
                occurredAt: now - Int64(self.random.below(2_000)) * 1_000_000)
        }
        let name = self.random.below(5)
        return self.random.chance(60)
            ? .installation("d\(name)", events) : TrackSpec("p\(name)", events)
    }

    /// An item of a batch, and how many operations it takes.
    mutating func item(_ now: Int64, into buffer: inout ByteBuffer) -> Int {
        if self.random.chance(50) {
            let item = beginBatchItem(.identify, in: &buffer)
            self.identify(now).write(into: &buffer)
            endBatchItem(at: item, operations: 1, in: &buffer)
            return 1
        }
        let spec = self.track(now)
        let item = beginBatchItem(.track, in: &buffer)
        spec.record.withUnsafeBytes { record in
            if let view = RecordView(record) { buffer.append(view.payload) }
        }
        endBatchItem(at: item, operations: spec.events.count, in: &buffer)
        return spec.events.count
    }

    /// A batch of several items; with `fails`, the last one is refused.
    mutating func batch(_ now: Int64, fails: Bool) -> (record: [UInt8], operations: Int) {
        var items = ByteBuffer()
        let count = 1 + self.random.below(6)
        var operations = 0
        for _ in 0 ..< count { operations += self.item(now, into: &items) }
        if fails {
            let spec = TrackSpec("nobody").with { $0.flags = .mustExist }
            let item = beginBatchItem(.track, in: &items)
            spec.record.withUnsafeBytes { record in
                if let view = RecordView(record) { items.append(view.payload) }
            }
            endBatchItem(at: item, operations: 1, in: &items)
            operations += 1
        }
        var buffer = ByteBuffer()
        let start = beginRecord(.batch, in: &buffer)
        BatchHeader(
            project: ProjectID(rawValue: 1), flags: [], requestID: .none,
            itemCount: count + (fails ? 1 : 0)
        ).write(into: &buffer)
        buffer.append(items.bytes)
        endRecord(at: start, operations: operations, in: &buffer)
        return (Array(buffer.bytes), operations)
    }
}
