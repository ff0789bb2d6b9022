@testable import Profiles

/// Track and GetProfile written down a second time, with dictionaries, for comparison.
///
/// Ids that the store derives are learnt from its responses; everything else is predicted.
final class TrackModel {
    struct Key: Hashable {
        var kind: UInt8
        var bytes: [UInt8]
    }
    struct Stored {
        var origin: Key
        var id: String
        var content: [String]
        var effectiveTime: Int64
        var lsn: UInt64
        var holder: Int
    }
    final class Profile {
        var response = ProfileResponse()
        var events: [Stored] = []
    }
    struct Remembered {
        var id: String
        var message: [UInt8]
        var response: TrackResponse
        var bytes: Int
        var at: Int64
    }

    let limits: StoreLimits
    var profiles: [Profile] = []
    var byKey: [Key: Int] = [:]
    var names: Set<String> = []
    var requests: [Remembered] = []

    init(limits: StoreLimits) {
        self.limits = limits
    }

    /// The response that is expected. `actual` gives only the ids that the store made, and `bytes`
    /// the response's length.
    func track(_ spec: TrackSpec, firstLSN: UInt64, now: Int64, actual: TrackResponse, bytes: Int)
        -> TrackResponse
    {
        var response = TrackResponse()
        response.lsn = firstLSN + UInt64(spec.events.count) - 1
        // A retry stamps the time of sending anew.
        let message = spec.with { ($0.requestID, $0.sentAt) = ("", nil) }.record
        if let replay = self.replay(spec.requestID, message, response, now) { return replay }
        let key = Key(kind: spec.kind.rawValue, bytes: spec.identifier)
        let holder = self.byKey[key]
        if let expected = spec.expectedRevision {
            let revision = holder.map { self.profiles[$0].response.revision } ?? 0
            guard revision == expected else {
                return self.rejected(.revisionMismatch, response, detail: revision)
            }
        }
        if holder == nil, spec.flags.contains(.mustExist) || spec.kind == .profileID {
            return self.rejected(.profileNotFound, response)
        }

        let evaluated = self.evaluate(spec, key, holder, firstLSN: firstLSN, now: now, &response)
        if !spec.flags.contains(.allowPartial),
            response.events.contains(where: { $0.outcome == .rejected })
        {
            return self.rejectedAsAWhole(response)
        }
        self.names = evaluated.names
        let stored = evaluated.stored
        if let index = holder ?? (stored.isEmpty ? nil : self.create(spec, key, actual, now)) {
            let isNew = holder == nil
            self.store(spec, stored, index, key, &response, actual, now, isNew: isNew)
        }
        if !spec.requestID.isEmpty { self.remember(spec.requestID, message, response, bytes, now) }
        return response
    }

    /// The response to a request id that is known; `nil`: it is not.
    private func replay(
        _ requestID: String, _ message: [UInt8], _ response: TrackResponse, _ now: Int64
    ) -> TrackResponse? {
        guard !requestID.isEmpty else { return nil }
        let age = Int64(self.limits.requestIDSeconds) * 1_000_000
        let known = self.requests.first { $0.id == requestID && now - $0.at <= age }
        guard let known else { return nil }
        guard known.message == message else { return self.rejected(.requestIDReused, response) }
        var replay = known.response
        replay.isReplayed = true
        return replay
    }

    /// The events that are stored unless the call is rejected, and the names of the project then.
    private struct Evaluated {
        var stored: [(number: Int, event: EventSpec)] = []
        var names: Set<String>
        var counters: Set<String>
    }

    /// Appends the result of each event to `response`.
    private func evaluate(
        _ spec: TrackSpec, _ key: Key, _ holder: Int?, firstLSN: UInt64, now: Int64,
        _ response: inout TrackResponse
    ) -> Evaluated {
        var evaluated = Evaluated(
            names: self.names,
            counters: Set(holder.map { self.profiles[$0].response.counters.map(\.name) } ?? []))
        for (number, event) in spec.events.enumerated() {
            var result = TrackResponse.Event(
                outcome: .rejected, lsn: firstLSN + UInt64(number), id: event.id)
            if !event.violation.isEmpty {
                result.rejection = .invalidFields
                result.violationBytes = 1 + 5 + 1 + event.violation.utf8.count
            } else if !self.isDuplicate(event, key, evaluated, response, now, &result),
                self.isTimely(event, spec, now, &result),
                self.isWithinLimits(event, &evaluated, &result)
            {
                result.outcome = .stored
                evaluated.stored.append((number, event))
            }
            response.events.append(result)
        }
        return evaluated
    }

    private func isDuplicate(
        _ event: EventSpec, _ key: Key, _ evaluated: Evaluated, _ response: TrackResponse,
        _ now: Int64, _ result: inout TrackResponse.Event
    ) -> Bool {
        guard !event.id.isEmpty else { return false }
        if let first = evaluated.stored.first(where: { $0.event.id == event.id }) {
            result.outcome = .duplicate
            result.effectiveTime = response.events[first.number].effectiveTime
            result.contentDiffers = first.event.content != event.content
            return true
        }
        let retention = Int64(self.limits.eventRetentionSeconds) * 1_000_000
        guard let first = self.retained(key, event.id, since: now - retention) else { return false }
        result.outcome = .duplicate
        result.effectiveTime = first.effectiveTime
        result.contentDiffers = first.content != event.content
        result.holder = self.profiles[first.holder].response.id
        return true
    }

    private func isTimely(
        _ event: EventSpec, _ spec: TrackSpec, _ now: Int64, _ result: inout TrackResponse.Event
    ) -> Bool {
        var time = event.occurredAt ?? now
        if event.occurredAt != nil, let sent = spec.sentAt, sent >= time {
            time = now - (sent - time)
        }
        let seconds =
            spec.flags.contains(.historical)
            ? self.limits.eventRetentionSeconds
            : min(self.limits.lateWindowSeconds, self.limits.eventRetentionSeconds)
        let earliest = now - Int64(seconds) * 1_000_000
        let latest = now + Int64(self.limits.aheadWindowSeconds) * 1_000_000
        result.effectiveTime = time
        guard earliest ... latest ~= time else {
            result.rejection = .timeWindow
            result.detail = time < earliest ? earliest : latest
            return false
        }
        result.effectiveTime = min(time, now)
        return true
    }

    private func isWithinLimits(
        _ event: EventSpec, _ evaluated: inout Evaluated, _ result: inout TrackResponse.Event
    ) -> Bool {
        let names = evaluated.names.union([event.name] + event.attributes.map(\.0))
        let counters = evaluated.counters.union([event.name])
        for (count, limit) in [
            (names.count, self.limits.namesPerProject),
            (counters.count, self.limits.countersPerProfile),
        ] where count > Int(limit) {
            result.rejection = .limitExceeded
            result.detail = Int64(limit)
            return false
        }
        evaluated.names = names
        evaluated.counters = counters
        return true
    }

    private func rejectedAsAWhole(_ response: TrackResponse) -> TrackResponse {
        let rejected = response.events.enumerated().filter { $0.element.outcome == .rejected }
        let first = rejected.first { $0.element.rejection == .invalidFields } ?? rejected[0]
        var rejection = self.rejected(
            first.element.rejection, response, detail: UInt64(bitPattern: first.element.detail))
        rejection.index = UInt8(first.offset)
        rejection.bad = rejected.map {
            TrackResponse.BadEvent(
                index: UInt8($0.offset), rejection: $0.element.rejection,
                effectiveTime: $0.element.effectiveTime, detail: $0.element.detail)
        }
        return rejection
    }

    func read(_ kind: IdentifierKind, _ identifier: [UInt8], now: Int64) -> ProfileResponse? {
        guard let index = self.byKey[Key(kind: kind.rawValue, bytes: identifier)] else {
            return nil
        }
        var response = self.profiles[index].response
        let since = now - Int64(self.limits.eventRetentionSeconds) * 1_000_000
        if let newest = self.profiles[index].events.last(where: { $0.effectiveTime < since }) {
            response.truncatedBefore = max(response.truncatedBefore, newest.effectiveTime + 1)
        }
        return response
    }

    private func rejected(_ rejection: Rejection, _ response: TrackResponse, detail: UInt64 = 0)
        -> TrackResponse
    {
        var rejected = TrackResponse()
        (rejected.rejection, rejected.lsn, rejected.detail) = (rejection, response.lsn, detail)
        return rejected
    }

    private func retained(_ origin: Key, _ id: String, since: Int64) -> Stored? {
        for profile in self.profiles {
            for event in profile.events
            where event.origin == origin && event.id == id && event.effectiveTime >= since {
                return event
            }
        }
        return nil
    }

    private func create(_ spec: TrackSpec, _ key: Key, _ actual: TrackResponse, _ now: Int64) -> Int
    {
        let profile = Profile()
        profile.response.id = actual.profileID
        profile.response.revision = 1
        profile.response.lsn = actual.lsn
        profile.response.createdAt = now
        profile.response.updatedAt = now
        profile.response.lastSeenAt = now
        let text = String(decoding: spec.identifier, as: UTF8.self)
        if spec.kind == .customID {
            profile.response.customID = text
        } else {
            profile.response.state = .anonymous
            let platform = Self.isOfDevices(spec.platform) ? spec.platform : .unspecified
            profile.response.installations = [
                .init(id: text, platform: platform.rawValue, attachedAt: now, lastSeenAt: now)
            ]
        }
        self.profiles.append(profile)
        self.byKey[key] = self.profiles.count - 1
        self.byKey[Key(kind: IdentifierKind.profileID.rawValue, bytes: actual.profileID.binary)] =
            self.profiles.count - 1
        return self.profiles.count - 1
    }

    /// Apps and websites, the platforms that a device can have.
    private static func isOfDevices(_ platform: Platform) -> Bool {
        [.appIOS, .appAndroid, .web].contains(platform)
    }

    private func store(
        _ spec: TrackSpec, _ stored: [(number: Int, event: EventSpec)], _ index: Int, _ key: Key,
        _ response: inout TrackResponse, _ actual: TrackResponse, _ now: Int64, isNew: Bool
    ) {
        let profile = self.profiles[index]
        let retention = Int64(self.limits.eventRetentionSeconds) * 1_000_000
        for (number, event) in stored {
            let result = response.events[number]
            if event.id.isEmpty, number < actual.events.count {
                response.events[number].id = actual.events[number].id
            }
            profile.events.append(
                Stored(
                    origin: key, id: response.events[number].id, content: event.content,
                    effectiveTime: result.effectiveTime, lsn: result.lsn, holder: index))
            profile.events.sort { ($0.effectiveTime, $0.lsn) < ($1.effectiveTime, $1.lsn) }
            if let counter = profile.response.counters.firstIndex(where: { $0.name == event.name })
            {
                profile.response.counters[counter].count += 1
                profile.response.counters[counter].first =
                    min(profile.response.counters[counter].first, result.effectiveTime)
                profile.response.counters[counter].last =
                    max(profile.response.counters[counter].last, result.effectiveTime)
            } else {
                profile.response.counters.append(
                    .init(
                        name: event.name, count: 1, first: result.effectiveTime,
                        last: result.effectiveTime))
            }
        }
        while profile.events.count > Int(self.limits.eventsPerProfile)
            || (profile.events.first.map { $0.effectiveTime < now - retention } ?? false)
        {
            let dropped = profile.events.removeFirst()
            profile.response.truncatedBefore = max(
                profile.response.truncatedBefore, dropped.effectiveTime + 1)
        }
        var isRenamed = false
        if spec.kind == .installationID, Self.isOfDevices(spec.platform) {
            isRenamed = profile.response.installations[0].platform != spec.platform.rawValue
            profile.response.installations[0].platform = spec.platform.rawValue
        }
        if !stored.isEmpty || isRenamed, !isNew {
            profile.response.revision += 1
            profile.response.lsn = response.lsn
            profile.response.updatedAt = now
        }
        if !spec.flags.contains(.historical) {
            profile.response.lastSeenAt = now
            if spec.kind == .installationID { profile.response.installations[0].lastSeenAt = now }
        }
        response.profileID = profile.response.id
        response.revision = profile.response.revision
        for number in response.events.indices
        where response.events[number].outcome != .rejected
            && response.events[number].holder == .none
        {
            response.events[number].holder = profile.response.id
        }
    }

    private func remember(
        _ id: String, _ message: [UInt8], _ response: TrackResponse, _ bytes: Int, _ now: Int64
    ) {
        self.requests.removeAll { now - $0.at > Int64(self.limits.requestIDSeconds) * 1_000_000 }
        self.requests.append(
            Remembered(
                id: id, message: message, response: response, bytes: 42 + id.utf8.count + bytes,
                at: now
            ))
        while self.requests.count > Int(self.limits.requestIDsPerProject)
            || self.requests.reduce(0, { $0 + $1.bytes })
                > Int(self.limits.requestIDBytesPerProject)
        {
            self.requests.removeFirst()
        }
    }
}

/// SplitMix64, for seeded tests.
struct SeededRandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var word = self.state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }

    mutating func below(_ bound: Int) -> Int { Int(self.next() % UInt64(bound)) }
    mutating func chance(_ percent: Int) -> Bool { self.below(100) < percent }
}
