import Bytes

/// The subscriptions of a profile; in memory one block, replaced whole.
///
/// Layout: per key, ascending by (channel, topic),
/// `channel, state, source, flags: UInt8 (1: by keyword, 2: after an opt-out) | effectiveTime:
/// Int64 µs | pendingSince: UInt64 (lsn; 0: not pending) | topic:
/// prefixed`. The whole channel has the empty topic, and so comes first.
struct ConsentPart {
    private static let keywordFlag: UInt8 = 1
    private static let afterOptOutFlag: UInt8 = 2

    /// Topics of one channel that a call may come to, UNSET ones aside; a merge, and an opt-out,
    /// may pass it.
    static let topicsPerChannelMax = 25

    /// Topics of one channel that are remembered, UNSET ones included, whose times decide on late
    /// changes; beyond it the UNSET ones with the oldest times are dropped.
    static let topicsPerChannelRemembered = 100

    /// Topics of one channel that a profile can hold, opt-outs and merged ones included: what an
    /// response of 4 MiB can show.
    static let topicsPerChannelHeldMax = 1_000

    /// One (channel, topic), its topic borrowed.
    struct Key {
        var channel: Channel
        var topic: UnsafeRawBufferPointer
        var stored = StoredConsent()
        /// The lsn of the first request of the present PENDING; 0: it is not pending.
        var pendingSince: UInt64 = 0

        /// Whether it sorts before a key.
        func precedes(_ channel: Channel, _ topic: UnsafeRawBufferPointer) -> Bool {
            self.channel == channel
                ? self.topic.lexicographicallyPrecedes(topic)
                : self.channel.rawValue < channel.rawValue
        }

        func isKey(_ channel: Channel, _ topic: UnsafeRawBufferPointer) -> Bool {
            self.channel == channel && self.topic.equals(topic)
        }
    }

    /// In order. Topics are borrowed from the block or the record.
    var keys: [Key] = []

    init() {}

    /// Reads a block or its copy; all of `bytes`.
    init(_ bytes: UnsafeRawBufferPointer) {
        var reader = ByteReader(bytes)
        while reader.remaining > 0, let key = Self.readKey(&reader) { self.keys.append(key) }
    }

    static func readKey(_ reader: inout ByteReader) -> Key? {
        guard let channel = Channel(rawValue: reader.read()),
            let state = SubscriptionState(rawValue: reader.read()),
            let source = ConsentSource(rawValue: reader.read())
        else { return nil }
        let flags = reader.read(UInt8.self)
        let effectiveTime = reader.read(Int64.self)
        let pendingSince = reader.read(UInt64.self)
        return Key(
            channel: channel, topic: reader.readPrefixed(),
            stored: StoredConsent(
                state: state, source: source, effectiveTime: effectiveTime,
                isByKeyword: flags & Self.keywordFlag != 0,
                isAfterOptOut: flags & Self.afterOptOutFlag != 0),
            pendingSince: pendingSince)
    }

    func write(into buffer: inout ByteBuffer) {
        for key in self.keys {
            buffer.append(key.channel.rawValue)
            buffer.append(key.stored.state.rawValue)
            buffer.append(key.stored.source.rawValue)
            buffer.append(
                (key.stored.isByKeyword ? Self.keywordFlag : 0)
                    | (key.stored.isAfterOptOut ? Self.afterOptOutFlag : 0))
            buffer.append(key.stored.effectiveTime)
            buffer.append(key.pendingSince)
            buffer.appendPrefixed(key.topic)
        }
    }

    /// Appends the list of an image:
    /// `count: varint | (channel: UInt8 | topic: prefixed | state, source: UInt8 | effectiveTime:
    /// Int64 µs) each`.
    func appendImage(to buffer: inout ByteBuffer) {
        buffer.appendVarint(UInt64(self.keys.count))
        for key in self.keys {
            buffer.append(key.channel.rawValue)
            buffer.appendPrefixed(key.topic)
            buffer.append(key.stored.state.rawValue)
            buffer.append(key.stored.source.rawValue)
            buffer.append(key.stored.effectiveTime)
        }
    }

    /// The index of a key, or the one at which it is inserted.
    private func position(_ channel: Channel, _ topic: UnsafeRawBufferPointer) -> Int {
        var (low, high) = (0, self.keys.count)
        while low < high {
            let middle = (low + high) / 2
            if self.keys[middle].precedes(channel, topic) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    func find(_ channel: Channel, _ topic: UnsafeRawBufferPointer) -> Key? {
        let position = self.position(channel, topic)
        guard position < self.keys.count, self.keys[position].isKey(channel, topic) else {
            return nil
        }
        return self.keys[position]
    }

    /// Adds a key or replaces what is stored of it.
    mutating func set(_ key: Key) {
        let position = self.position(key.channel, key.topic)
        if position < self.keys.count, self.keys[position].isKey(key.channel, key.topic) {
            self.keys[position] = key
        } else {
            self.keys.insert(key, at: position)
        }
    }

    /// Topics of a channel that are not UNSET.
    func setTopicCount(_ channel: Channel) -> Int {
        self.keys.count {
            $0.channel == channel && $0.topic.count > 0 && $0.stored.state != .unset
        }
    }

    /// Drops UNSET topics of a channel, the oldest times first, while more than
    /// `topicsPerChannelRemembered` topics are stored.
    mutating func dropOldestUnset(_ channel: Channel) {
        var count = self.topicCount(channel)
        while count > Self.topicsPerChannelRemembered {
            var oldest: Int?
            for (index, key) in self.keys.enumerated()
            where key.channel == channel && key.topic.count > 0 && key.stored.state == .unset {
                let isOlder = oldest.map {
                    key.stored.effectiveTime < self.keys[$0].stored.effectiveTime
                }
                if isOlder ?? true { oldest = index }
            }
            guard let oldest else { return }
            self.keys.remove(at: oldest)
            count -= 1
        }
    }

    /// Topics that are stored of a channel.
    func topicCount(_ channel: Channel) -> Int {
        self.keys.reduce(0) { $0 + ($1.channel == channel && $1.topic.count > 0 ? 1 : 0) }
    }
}
