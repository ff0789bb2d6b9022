@testable import Profiles

#if arch(x86_64)
    /// Holds every integer of 64 bits and every number exactly.
    typealias WideNumber = Float80
#else
    typealias WideNumber = Double
#endif

/// A filter as a test builds it, with an evaluation of its own over plain values: slow, and with
/// nothing of the code that it is compared with.
indirect enum ModelFilter {
    case leaf(field: ModelField, comparator: String, constant: ModelConstant)
    case literal(ModelConstant)
    case not(ModelFilter)
    case and([ModelFilter])
    case or([ModelFilter])
}

enum ModelField {
    /// As it is written, and what it stands for.
    case state
    case customID
    case time(String)
    case attribute(String)
    case count(String)
    case first(String)
    case last(String)
    case subscription(String)
    case suppressed
    case installations
    case event([String])
    case label
    case tags

    var text: String {
        switch self {
        case .state: "state"
        case .customID: "custom_id"
        case .time(let name): name
        case .attribute(let name): "attributes.\(name)"
        case .count(let name): "events.\(name).count"
        case .first(let name): "events.\(name).first"
        case .last(let name): "events.\(name).last"
        case .subscription(let key): "subscriptions.\(key)"
        case .suppressed: "suppressed.EMAIL"
        case .installations: "installations"
        case .event(let path): "event." + path.joined(separator: ".")
        case .label: "event.label"
        case .tags: "event.tags"
        }
    }
}

enum ModelConstant {
    case star
    /// Without quotes and escapes.
    case text(String)
    case number(String)
    case boolean(Bool)
    /// Its text, and what it means.
    case time(String, microseconds: Int64)
    /// A word that needs no quotes.
    case word(String)

    var text: String {
        switch self {
        case .star: "*"
        case .text(let text): "\"\(text)\""
        case .number(let number): number
        case .boolean(let boolean): boolean ? "true" : "false"
        case .time(let text, _): "\"\(text)\""
        case .word(let word): word
        }
    }
}

/// What a model filter is evaluated on.
struct ModelSubject {
    var person: PlainPerson
    var event: PlainEvent?
    var now: Int64
}

extension ModelFilter {
    func holds(_ subject: ModelSubject) -> Bool {
        switch self {
        case .not(let item): !item.holds(subject)
        case .and(let items): !items.contains { !$0.holds(subject) }
        case .or(let items): items.contains { $0.holds(subject) }
        case .literal(let constant):
            Self.everything(subject).contains { value in
                if case .list(let texts) = value {
                    texts.contains { Self.holds(.string($0), "=", constant) }
                } else {
                    Self.holds(value, "=", constant)
                }
            }
        case .leaf(let field, let comparator, let constant):
            Self.holds(field, comparator, constant, subject)
        }
    }

    private static func everything(_ subject: ModelSubject) -> [PlainValue] {
        func inside(_ value: PlainValue) -> [PlainValue] {
            switch value {
            case .object(let fields): fields.values.flatMap(inside)
            case .objects(let objects): objects.flatMap { $0.values.flatMap(inside) }
            default: [value]
            }
        }
        var values = Array(subject.person.attributes.values)
        if !subject.person.customID.isEmpty { values.append(.string(subject.person.customID)) }
        if let event = subject.event {
            if !event.label.isEmpty { values.append(.string(event.label)) }
            values += [.list(event.tags)] + event.attributes.values.flatMap(inside)
        }
        return values
    }

    private static func holds(
        _ field: ModelField, _ comparator: String, _ constant: ModelConstant,
        _ subject: ModelSubject
    ) -> Bool {
        let person = subject.person
        func time(_ value: Int64?) -> Bool {
            value.map { self.holds(.time($0), comparator, constant) } ?? false
        }
        func text(_ value: String?) -> Bool {
            value.map { self.holds(.string($0), comparator, constant) } ?? false
        }
        func isEqual(_ value: String) -> Bool { (value == constant.text) == (comparator == "=") }
        switch field {
        case .state: return isEqual(person.customID.isEmpty ? "ANONYMOUS" : "IDENTIFIED")
        case .customID: return text(person.customID.isEmpty ? nil : person.customID)
        case .time("created_at"): return time(person.createdAt)
        case .time("updated_at"): return time(person.updatedAt)
        case .time: return time(person.lastSeenAt)
        case .attribute(let name):
            return person.attributes[name].map { self.holds($0, comparator, constant) } ?? false
        case .count(let name):
            return self.holds(
                .integer(person.counter(name)?.count ?? 0), comparator, constant)
        case .first(let name): return time(person.counter(name)?.first)
        case .last(let name): return time(person.counter(name)?.last)
        case .subscription(let key):
            return isEqual((person.subscriptions[key] ?? .unset).filterName)
        case .suppressed: return isEqual(person.isEmailSuppressed ? "true" : "false")
        case .installations:
            return self.holds(
                .list(person.installation.isEmpty ? [] : [person.installation]), comparator,
                constant, isEmptyAbsent: true)
        case .event(let path):
            return subject.event.map {
                self.holds(.object($0.attributes), path[...], comparator, constant)
            } ?? false
        case .label:
            return text(subject.event.flatMap { $0.label.isEmpty ? nil : $0.label })
        case .tags:
            return self.holds(
                .list(subject.event?.tags ?? []), comparator, constant, isEmptyAbsent: true)
        }
    }

    private static func holds(
        _ value: PlainValue, _ path: ArraySlice<String>, _ comparator: String,
        _ constant: ModelConstant
    ) -> Bool {
        guard let name = path.first else { return self.holds(value, comparator, constant) }
        switch value {
        case .object(let fields):
            guard let field = fields[name] else { return false }
            return self.holds(field, path.dropFirst(), comparator, constant)
        case .objects(let objects):
            return comparator == ":"
                && objects.contains { self.holds(.object($0), path, comparator, constant) }
        default: return false
        }
    }

    // MARK: One value

    private static func holds(
        _ value: PlainValue, _ comparator: String, _ constant: ModelConstant,
        isEmptyAbsent: Bool = false
    ) -> Bool {
        if case .star = constant, comparator == ":" { return value != .list([]) || !isEmptyAbsent }
        let equality = comparator == ":" ? "==" : comparator
        switch (value, constant) {
        case (.string(let text), .text(let other)), (.url(let text), .text(let other)),
            (.string(let text), .word(let other)), (.url(let text), .word(let other)),
            (.string(let text), .time(let other, _)), (.url(let text), .time(let other, _)):
            return self.compare(text, equality, other)
        case (.string(let text), .star), (.url(let text), .star):
            return self.compare(text, equality, "*")
        case (.integer(let integer), .number(let other)):
            return self.compare(WideNumber(integer), equality, self.number(other))
        case (.number(let number), .number(let other)):
            return self.compare(WideNumber(number), equality, self.number(other))
        case (.boolean(let boolean), .boolean(let other)):
            return (boolean == other) == (comparator != "!=")
        case (.time(let time), .time(_, let other)): return self.compare(time, equality, other)
        case (.list(let texts), .text(let other)), (.list(let texts), .word(let other)),
            (.list(let texts), .time(let other, _)):
            return comparator == ":"
                && texts.contains { Array($0.unicodeScalars) == Array(other.unicodeScalars) }
        default: return false
        }
    }

    private static func number(_ text: String) -> WideNumber {
        Int64(text).map { WideNumber($0) } ?? WideNumber(Double(text) ?? 0)
    }

    private static func compare<Value: Comparable>(
        _ value: Value, _ comparator: String, _ other: Value
    ) -> Bool {
        switch comparator {
        case "=", "==": value == other
        case "!=": value != other
        case "<": value < other
        case "<=": value <= other
        case ">": value > other
        default: value >= other
        }
    }

    private static func compare(_ value: String, _ comparator: String, _ other: String) -> Bool {
        let (left, right) = (value.unicodeScalars.map(\.value), other.unicodeScalars.map(\.value))
        switch comparator {
        case "==": return left == right
        case "=": return self.isLike(left, right)
        case "!=": return !self.isLike(left, right)
        case "<": return left.lexicographicallyPrecedes(right)
        case "<=": return !right.lexicographicallyPrecedes(left)
        case ">": return right.lexicographicallyPrecedes(left)
        default: return !left.lexicographicallyPrecedes(right)
        }
    }

    /// Every cut of the value is tried.
    private static func isLike(_ value: [UInt32], _ pattern: [UInt32]) -> Bool {
        var pattern = pattern
        let star = UInt32(UInt8(ascii: "*"))
        let isOpenAtStart = pattern.first == star
        if isOpenAtStart { pattern.removeFirst() }
        let isOpenAtEnd = pattern.last == star
        if isOpenAtEnd { pattern.removeLast() }
        for start in 0 ... value.count where isOpenAtStart || start == 0 {
            for end in start ... value.count where isOpenAtEnd || end == value.count {
                if Array(value[start ..< end]) == pattern { return true }
            }
        }
        return false
    }
}

extension ModelFilter {
    /// Its text, with the parentheses that it needs, and at times more.
    func text(_ random: inout SeededRandom) -> String {
        switch self {
        case .literal(let constant): return constant.text
        case .leaf(let field, let comparator, let constant):
            let blank = random.chance(30) ? "" : " "
            let name = random.chance(20) ? field.text.uppercased() : field.text
            return name + blank + comparator + (random.chance(30) ? "" : " ") + constant.text
        case .not(let item):
            let inner = item.simple(&random)
            return random.chance(50) ? "-\(inner)" : "NOT \(inner)"
        case .and(let items):
            let texts = items.map { item in
                if case .and = item { return item.simple(&random) }
                return random.chance(20) ? item.simple(&random) : item.text(&random)
            }
            return texts.dropFirst().reduce(texts[0]) {
                $0 + (random.chance(50) ? " AND " : "  ") + $1
            }
        case .or(let items):
            return items.map { item in
                if case .not = item, random.chance(50) { return item.text(&random) }
                return item.simple(&random)
            }.joined(separator: " OR ")
        }
    }

    private func simple(_ random: inout SeededRandom) -> String {
        switch self {
        case .leaf, .literal: random.chance(10) ? "( \(self.text(&random)) )" : self.text(&random)
        case .not, .and, .or: "(\(self.text(&random)))"
        }
    }
}
