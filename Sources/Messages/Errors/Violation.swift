import Bytes

/// One thing that is wrong with a request: where, and what is allowed. Quotes no values.
package struct Violation: Equatable, Sendable {
    /// Such as `events[3].attributes.amount`.
    package var path: String
    package var description: String

    package init(path: String, description: String) {
        self.path = path
        self.description = description
    }

    /// The same inside of something else, such as `operations[3].track`.
    func below(_ path: String) -> Violation {
        guard !path.isEmpty else { return self }
        return Violation(
            path: self.path.isEmpty ? path : "\(path).\(self.path)", description: self.description)
    }
}

/// The violations of one request; made on error paths only.
package struct Violations: Equatable, Sendable {
    /// Violations that are listed; further ones are counted. With paths and texts of about 60 bytes
    /// they fit in response trailers.
    package static let listedMax = 40

    package private(set) var list: [Violation] = []
    /// Found beyond those in the list.
    package private(set) var unlisted = 0
    /// Of the first item of the call (an event, a write, a change) that is invalid.
    package var index: Int?
    /// Of those found, the ones of filters.
    private var ofFilters = 0

    package init() {}

    /// Whether nothing but filters is wrong.
    var areOfFilters: Bool { self.ofFilters > 0 && self.ofFilters == self.count }

    /// Adds a violation of a filter.
    mutating func addOfFilter(_ violation: Violation) {
        self.ofFilters += 1
        self.add(violation)
    }

    /// All that were found.
    var count: Int { self.list.count + self.unlisted }

    package var isEmpty: Bool { self.list.isEmpty }

    /// Whether one more would be listed, and not only counted.
    var listsMore: Bool { self.list.count < Self.listedMax }

    /// Counts a violation when no more are listed.
    mutating func addUnlisted() { self.unlisted += 1 }

    package mutating func add(_ violation: Violation) {
        if self.list.count < Self.listedMax {
            self.list.append(violation)
        } else {
            self.unlisted += 1
        }
    }

    /// Adds all violations of a part.
    mutating func add(_ other: Violations) {
        for violation in other.list { self.add(violation) }
        self.unlisted += other.unlisted
    }

    /// The same violations of something inside of something else, such as `operations[3]`.
    func below(_ path: String) -> Violations {
        var below = self
        below.list = self.list.map { $0.below(path) }
        return below
    }

    package mutating func removeAll() {
        // Nearly always: without a look at the list's storage.
        guard !self.isEmpty else { return }
        self.list.removeAll(keepingCapacity: true)
        self.unlisted = 0
        self.index = nil
        self.ofFilters = 0
    }
}

// The form in which the violations of a rejected event or write are kept in records and results.
extension Violations {
    /// Violations kept with one rejected item or event.
    static let packedMax = 8

    /// Appends the first ones.
    ///
    /// Layout: `count: varint | (path, description: prefixed) each`.
    func append(to buffer: inout ByteBuffer) {
        let packed = self.list.prefix(Self.packedMax)
        buffer.appendVarint(UInt64(packed.count))
        for violation in packed {
            for var text in [violation.path, violation.description] {
                text.withUTF8 { buffer.appendPrefixed(UnsafeRawBufferPointer($0)) }
            }
        }
    }

    /// Reads what `append` wrote; no bytes are no violations.
    init(packed bytes: UnsafeRawBufferPointer) {
        self.init()
        var reader = ByteReader(bytes)
        for _ in 0 ..< (bytes.isEmpty ? 0 : reader.readVarint()) {
            let path = String(decoding: reader.readPrefixed(), as: UTF8.self)
            self.add(
                Violation(
                    path: path, description: String(decoding: reader.readPrefixed(), as: UTF8.self))
            )
        }
    }
}
