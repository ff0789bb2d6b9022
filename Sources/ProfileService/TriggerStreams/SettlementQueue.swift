import Profiles

/// What one record settles: firings of one trigger for one reason.
struct Settlement: Equatable {
    var reason: SettlementReason
    /// Of the events, at most `TriggerLimits.settlementsPerRecord`.
    var lsns: [UInt64]
}

/// The settlements of one trigger that are not durable yet, in the order in which they came.
///
/// One `Settlement` is on its way to the log at a time.
struct SettlementQueue {
    private struct Item {
        var lsn: UInt64
        var reason: SettlementReason
    }

    private var items: [Item] = []
    private var underwayCount = 0
    /// How many were ever added, and how many of these are durable.
    private(set) var added: UInt64 = 0
    private(set) var settled: UInt64 = 0

    /// Those that are not durable.
    var count: Int { self.items.count + self.underwayCount }
    var isEmpty: Bool { self.count == 0 }

    mutating func add(_ lsn: UInt64, _ reason: SettlementReason) {
        self.items.append(Item(lsn: lsn, reason: reason))
        self.added += 1
    }

    /// The oldest ones that fit into a record; `nil`: there are none, or others are on their way.
    mutating func take() -> Settlement? {
        guard self.underwayCount == 0, let reason = self.items.first?.reason else { return nil }
        let lsns = self.items.prefix(TriggerLimits.settlementsPerRecord)
            .prefix { $0.reason == reason }.map(\.lsn)
        self.items.removeFirst(lsns.count)
        self.underwayCount = lsns.count
        return Settlement(reason: reason, lsns: lsns)
    }

    /// Those that were taken are not durable, and come first again.
    mutating func putBack(_ settlement: Settlement) {
        self.underwayCount = 0
        self.items.insert(
            contentsOf: settlement.lsns.map { Item(lsn: $0, reason: settlement.reason) }, at: 0)
    }

    mutating func noteSettled(_ settlement: Settlement) {
        self.underwayCount = 0
        self.settled += UInt64(settlement.lsns.count)
    }
}
