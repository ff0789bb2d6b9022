/// What a run did: a hash of every step, and the last steps to read.
package struct Trace {
    /// Steps that are kept to be read.
    private static let tailMax = 400

    /// One thing that happened.
    private struct Entry {
        var step: Int
        var nanoseconds: UInt64
        var what: String
        var number: Int
    }

    /// Of everything so far. Two runs of one plan have the same.
    package private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    private var tail: [Entry] = []
    /// Of the oldest entry of `tail` once that is full.
    private var start = 0

    package init() {}

    /// Adds a number to the hash alone.
    package mutating func mix(_ number: Int) {
        self.hash = (self.hash ^ UInt64(truncatingIfNeeded: number)) &* 0x9FB2_1C65_1E98_DF25
        self.hash ^= self.hash >> 29
    }

    /// Adds what happened, with a number that tells more, such as bytes.
    ///
    /// - Parameter what: Not made for this call: steps are many.
    package mutating func note(_ what: String, _ number: Int, step: Int, at nanoseconds: UInt64) {
        for byte in what.utf8 { self.mix(Int(byte)) }
        self.mix(number)
        self.mix(Int(truncatingIfNeeded: nanoseconds))
        let entry = Entry(step: step, nanoseconds: nanoseconds, what: what, number: number)
        if self.tail.count < Self.tailMax {
            self.tail.append(entry)
        } else {
            self.tail[self.start] = entry
            self.start = (self.start + 1) % Self.tailMax
        }
    }

    /// Adds bytes to the hash, eight at a time.
    package mutating func mix(bytes: [UInt8]) {
        self.mix(bytes.count)
        var word: UInt64 = 0
        for (index, byte) in bytes.enumerated() {
            word = word << 8 | UInt64(byte)
            if index % 8 == 7 { self.mix(Int(truncatingIfNeeded: word)) }
        }
        self.mix(Int(truncatingIfNeeded: word))
    }

    /// The last steps, oldest first, one a line.
    package var lines: [String] {
        (self.tail[self.start...] + self.tail[..<self.start]).map {
            "\($0.step) \($0.nanoseconds / 1_000) us \($0.what) \($0.number)"
        }
    }
}
