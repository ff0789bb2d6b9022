/// Where the number of a name stands in an encoded message, in decimal digits of a fixed count.
struct DigitsInPlace {
    private let offset: Int
    private let count: Int

    /// - Parameter name: Ends with the digits; `nil` if it is not in the message.
    init?(of name: String, in message: [UInt8]) {
        let mark = Array(name.utf8)
        guard let start = message.indices.first(where: { message[$0...].starts(with: mark) }) else {
            return nil
        }
        self.count = mark.reversed().prefix { UInt8(ascii: "0") ... UInt8(ascii: "9") ~= $0 }.count
        self.offset = start + mark.count - self.count
    }

    /// - Parameter start: Where the message begins in `bytes`.
    func write(_ number: Int, into bytes: inout [UInt8], at start: Int = 0) {
        var rest = number
        for index in stride(from: self.offset + self.count - 1, through: self.offset, by: -1) {
            bytes[start + index] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
        }
    }
}
