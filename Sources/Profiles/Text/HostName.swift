/// Host names as they are compared: the form that the domain name system resolves.
///
/// Source: UTS #46, non-transitional (`faß.de` is not `fass.de`), without its checks of validity:
/// what is no valid name is still compared, letter by letter.
enum HostName {
    private static let runs = RunTable(HostNameTable.runs)
    private static let texts = DigitTable(HostNameTable.texts, width: 12)
    private static let targets = DigitTable(HostNameTable.targets, width: 3)

    /// Appends a name in lower case, with every label that is not ASCII as an A-label (`xn--...`).
    ///
    /// The A-label is the canonical one of the two spellings, as only every valid name has one: an
    /// `xn--` label that is not valid stays as it is.
    static func append(_ scalars: ArraySlice<UInt32>, to bytes: inout [UInt8]) {
        var mapped: [UInt32] = []
        for scalar in scalars { self.map(scalar, into: &mapped) }
        let labels = CanonicalText.composed(mapped).split(
            separator: 0x2E, omittingEmptySubsequences: false)
        for (index, label) in labels.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ".")) }
            if label.allSatisfy({ $0 < 0x80 }) {
                bytes += label.map { UInt8($0) }
            } else {
                bytes += Array("xn--".utf8)
                Punycode.append(label, to: &bytes)
            }
        }
    }

    private static func map(_ scalar: UInt32, into mapped: inout [UInt32]) {
        if scalar >= 0x80 {
            if let target = self.runs.target(scalar) { return mapped.append(target) }
            if let record = self.texts.last(4, atMost: scalar),
                scalar <= self.texts.value(record, 4 ..< 8)
            {
                let offset = Int(self.texts.value(record, 8 ..< 11))
                for target in 0 ..< Int(self.texts.value(record, 11 ..< 12)) {
                    mapped.append(self.targets.value(offset + target, 0 ..< 3))
                }
                return
            }
        }
        LowerCase.append(scalar, to: &mapped)
    }
}

/// Lower case by tables of a fixed version.
enum LowerCase {
    private static let runs = RunTable(LowerCaseTable.runs)

    /// Appends the lower case of a scalar, decomposed.
    static func append(_ scalar: UInt32, to lower: inout [UInt32]) {
        let start = lower.count
        CanonicalText.decompose(scalar, into: &lower)
        for index in start ..< lower.count {
            lower[index] = self.runs.target(lower[index]) ?? lower[index]
        }
    }
}

/// The encoding of labels that are not ASCII.
///
/// Source: RFC 3492, sections 5 and 6.
enum Punycode {
    private static let base = 36
    private static let thresholdMin = 1
    private static let thresholdMax = 26
    private static let skew = 38
    private static let damp = 700
    private static let initialBias = 72
    private static let initialScalar = 0x80

    /// Appends the encoding of a label, without the prefix.
    ///
    /// - Complexity: O(scalars squared); a label is a part of an address of at most 254 scalars, so
    ///   that no number overflows.
    static func append(_ label: ArraySlice<UInt32>, to bytes: inout [UInt8]) {
        let basic = label.filter { $0 < Self.initialScalar }
        bytes += basic.map { UInt8($0) }
        if !basic.isEmpty { bytes.append(UInt8(ascii: "-")) }
        var next = Self.initialScalar
        var delta = 0
        var bias = Self.initialBias
        var handled = basic.count
        while handled < label.count {
            let scalar = label.reduce(Int.max) { Int($1) >= next ? min($0, Int($1)) : $0 }
            delta += (scalar - next) * (handled + 1)
            next = scalar
            for value in label {
                if value < next { delta += 1 }
                guard value == next else { continue }
                self.append(delta, bias, to: &bytes)
                bias = self.adapted(delta, handled + 1, isFirst: handled == basic.count)
                delta = 0
                handled += 1
            }
            delta += 1
            next += 1
        }
    }

    private static func append(_ delta: Int, _ bias: Int, to bytes: inout [UInt8]) {
        var rest = delta
        var position = Self.base
        while true {
            let threshold = min(max(position - bias, Self.thresholdMin), Self.thresholdMax)
            guard rest >= threshold else { break }
            bytes.append(self.digit(threshold + (rest - threshold) % (Self.base - threshold)))
            rest = (rest - threshold) / (Self.base - threshold)
            position += Self.base
        }
        bytes.append(self.digit(rest))
    }

    private static func digit(_ value: Int) -> UInt8 {
        UInt8(value < 26 ? Int(UInt8(ascii: "a")) + value : Int(UInt8(ascii: "0")) + value - 26)
    }

    private static func adapted(_ delta: Int, _ count: Int, isFirst: Bool) -> Int {
        var delta = isFirst ? delta / Self.damp : delta / 2
        delta += delta / count
        var bias = 0
        while delta > (Self.base - Self.thresholdMin) * Self.thresholdMax / 2 {
            delta /= Self.base - Self.thresholdMin
            bias += Self.base
        }
        return bias + (Self.base - Self.thresholdMin + 1) * delta / (delta + Self.skew)
    }
}
