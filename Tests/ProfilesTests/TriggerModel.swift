@testable import Profiles

/// What triggers must do, said again without the store's structures: lists that are searched.
///
/// It learns from results who holds what, and decides alone when something fires, waits, is
/// cancelled, capped, dropped or settled.
struct TriggerModel {
    struct Made {
        var info: TriggerInfo
        var name: String
        var unless: String
        var delay: Int64
        var period: Int64
        var isDeleted = false
        var lost: UInt64 = 0
    }

    struct Firing {
        var trigger: Int
        var lsn: UInt64
        /// Who has it now, and whom the event was credited to.
        var owner: ProfileID
        var credited: ProfileID
        var receivedAt: Int64
        var due: Int64
        var isPending = false
    }

    struct Stored {
        var owner: ProfileID
        var name: String
        var lsn: UInt64
    }

    var triggers: [Made] = []
    /// By trigger, then by lsn.
    var firings: [Firing] = []
    /// Firings that caps count.
    var fired: [Firing] = []
    var events: [Stored] = []
    let limits: TriggerLimits

    mutating func add(_ info: TriggerInfo) {
        let definition = info.definition
        self.triggers.append(
            Made(
                info: info, name: String(decoding: definition.eventName, as: UTF8.self),
                unless: String(decoding: definition.unlessEventName, as: UTF8.self),
                delay: Int64(definition.delaySeconds) * 1_000_000,
                period: Int64(definition.capPeriodSeconds) * 1_000_000))
    }

    /// One stored event.
    mutating func store(
        _ name: String, _ lsn: UInt64, of owner: ProfileID, receivedAt: Int64, isHistorical: Bool
    ) {
        self.events.append(Stored(owner: owner, name: name, lsn: lsn))
        for (index, trigger) in self.triggers.enumerated()
        where trigger.unless == name && !trigger.isDeleted {
            self.firings.removeAll {
                $0.trigger == index && $0.owner == owner && !$0.isPending
            }
        }
        guard !isHistorical else { return }
        for (index, trigger) in self.triggers.enumerated()
        where trigger.name == name && !trigger.isDeleted {
            var firing = Firing(
                trigger: index, lsn: lsn, owner: owner, credited: owner, receivedAt: receivedAt,
                due: receivedAt + trigger.delay)
            guard trigger.delay == 0 else {
                self.firings.append(firing)
                self.dropOldest(isPending: false)
                continue
            }
            guard self.isAllowed(firing) else { continue }
            firing.isPending = true
            self.firings.append(firing)
            self.dropOldest(isPending: true)
        }
    }

    /// Asks the cap, and counts what it allows.
    private mutating func isAllowed(_ firing: Firing) -> Bool {
        let trigger = self.triggers[firing.trigger]
        guard trigger.period > 0 else { return true }
        let count = self.fired.count {
            $0.trigger == firing.trigger && $0.owner == firing.owner
                && $0.receivedAt > firing.receivedAt - trigger.period
        }
        guard count < Int(trigger.info.definition.cap) else { return false }
        self.fired.append(firing)
        return true
    }

    private mutating func dropOldest(isPending: Bool) {
        let most = isPending ? self.limits.pendingFirings : self.limits.waitingFirings
        while self.firings.count(where: { $0.isPending == isPending }) > most {
            let oldest = self.firings.indices.filter { self.firings[$0].isPending == isPending }
                .min { self.rank($0) < self.rank($1) }
            guard let oldest else { return }
            let trigger = self.firings[oldest].trigger
            if !self.triggers[trigger].isDeleted { self.triggers[trigger].lost += 1 }
            self.firings.remove(at: oldest)
        }
    }

    /// The smallest goes first.
    private func rank(_ index: Int) -> (Int64, Int, UInt64) {
        let firing = self.firings[index]
        let isDeleted = self.triggers[firing.trigger].isDeleted
        return (isDeleted ? .min : firing.due, firing.trigger, firing.lsn)
    }

    mutating func tick(clock: Int64) {
        while true {
            let next = self.firings.indices.filter {
                !self.firings[$0].isPending && self.firings[$0].due <= clock
                    && !self.triggers[self.firings[$0].trigger].isDeleted
            }.min { self.rank($0) < self.rank($1) }
            guard let next else { break }
            guard self.isAllowed(self.firings[next]) else {
                self.firings.remove(at: next)
                continue
            }
            self.firings[next].isPending = true
            self.dropOldest(isPending: true)
        }
        self.firings.removeAll { self.triggers[$0.trigger].isDeleted }
    }

    mutating func merge(_ loser: ProfileID, into survivor: ProfileID) {
        for (one, other) in [(loser, survivor), (survivor, loser)] {
            self.firings.removeAll { firing in
                !firing.isPending && firing.owner == one
                    && self.events.contains {
                        $0.owner == other && $0.lsn > firing.lsn
                            && $0.name == self.triggers[firing.trigger].unless
                    }
            }
        }
        for index in self.firings.indices where self.firings[index].owner == loser {
            self.firings[index].owner = survivor
        }
        for index in self.fired.indices where self.fired[index].owner == loser {
            self.fired[index].owner = survivor
        }
        for index in self.events.indices where self.events[index].owner == loser {
            self.events[index].owner = survivor
        }
    }

    mutating func erase(_ person: ProfileID) {
        self.firings.removeAll { $0.owner == person }
        self.fired.removeAll { $0.owner == person }
        self.events.removeAll { $0.owner == person }
    }

    mutating func settle(_ trigger: Int, _ lsns: [UInt64]) -> Int {
        let before = self.firings.count
        self.firings.removeAll {
            $0.trigger == trigger && $0.isPending && lsns.contains($0.lsn)
        }
        return before - self.firings.count
    }

    func pending(_ trigger: Int) -> [FiringSeen] {
        self.firings.filter { $0.trigger == trigger && $0.isPending }
            .sorted { $0.lsn < $1.lsn }
            .map { FiringSeen(lsn: $0.lsn, profile: $0.credited, dueAt: $0.due) }
    }
}
