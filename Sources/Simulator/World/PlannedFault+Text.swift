extension PlannedFault: CustomStringConvertible {
    /// `STEP:NAME`, arguments in brackets, and the node if it is not the first:
    /// `812:kill,1033:diskFull(4096,200)@1`.
    package var description: String {
        let (name, arguments) = self.fault.parts
        let list =
            arguments.isEmpty ? "" : "(\(arguments.map(String.init).joined(separator: ",")))"
        return "\(self.step):\(name)\(list)\(self.node == 0 ? "" : "@\(self.node)")"
    }

    /// The fault of a text form; `nil` if it is invalid.
    package init?(_ text: some StringProtocol) {
        guard let colon = text.firstIndex(of: ":"), let step = Int(text[..<colon]), step >= 0 else {
            return nil
        }
        var rest = String(text[text.index(after: colon)...])
        var node = 0
        if let at = rest.lastIndex(of: "@") {
            guard let number = Int(rest[rest.index(after: at)...]), number >= 0 else { return nil }
            node = number
            rest = String(rest[..<at])
        }
        var arguments: [Int] = []
        if let open = rest.firstIndex(of: "(") {
            guard rest.last == ")" else { return nil }
            let list = rest[rest.index(after: open)...].dropLast()
            let numbers = list.split(separator: ",", omittingEmptySubsequences: false)
            arguments = numbers.compactMap { Int($0) }
            guard arguments.count == numbers.count else { return nil }
            rest = String(rest[..<open])
        }
        guard let fault = Fault(name: rest, arguments: arguments) else { return nil }
        self.init(step: step, node: node, fault)
    }

    /// The faults of a text form, separated by commas; `nil` if one of them is invalid.
    package static func list(_ text: String) -> [PlannedFault]? {
        var faults: [PlannedFault] = []
        for part in Self.split(text) {
            guard let fault = PlannedFault(part) else { return nil }
            faults.append(fault)
        }
        return faults
    }

    /// At the commas that are not between brackets.
    private static func split(_ text: String) -> [Substring] {
        var depth = 0
        return text.split { character in
            if character == "(" { depth += 1 }
            if character == ")" { depth -= 1 }
            return character == "," && depth == 0
        }
    }
}
