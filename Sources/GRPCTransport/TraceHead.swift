import Bytes

/// What the headers of a request say of a trace; a part of `RequestHead`, and used again as that
/// is.
struct TraceHead: ~Copyable {
    /// A field was there that makes the call have a trace.
    private(set) var isPresent = false
    /// `nil`: there is no valid one, or several.
    private(set) var parent: TraceParent?
    /// The client wants to know its trace: `x-profiles-trace: 1`.
    private(set) var isAsked = false
    private var parents = 0
    private var state = ByteBuffer(capacity: 0)
    /// More came than `state` keeps.
    private var isStateTooLong = false

    /// Budget: one comparison for a request without these fields.
    @inline(__always)
    mutating func reset() {
        if self.isPresent || self.state.count > 0 || self.isStateTooLong { self.clear() }
    }

    @inline(never)
    private mutating func clear() {
        self.isPresent = false
        self.parent = nil
        self.isAsked = false
        self.parents = 0
        self.state.removeAll()
        self.isStateTooLong = false
    }

    @inline(never)
    mutating func add(parent value: UnsafeRawBufferPointer) {
        self.isPresent = true
        self.parents += 1
        // Which of several counts would be a guess.
        self.parent = self.parents == 1 ? TraceParent(value) : nil
    }

    /// Several fields are one list.
    @inline(never)
    mutating func add(state value: UnsafeRawBufferPointer) {
        let separatorBytes = self.state.count > 0 ? 1 : 0
        guard !self.isStateTooLong,
            self.state.count + separatorBytes + value.count <= TraceState.bytesMax
        else {
            self.isStateTooLong = true
            return
        }
        if separatorBytes > 0 { self.state.append("," as StaticString) }
        self.state.append(value)
    }

    @inline(never)
    mutating func add(question value: UnsafeRawBufferPointer) {
        guard value.equals("1") else { return }
        self.isPresent = true
        self.isAsked = true
    }

    /// The list to hand on; empty: there is no valid one, or nothing that it belongs to.
    var validState: String {
        guard self.parent != nil, !self.isStateTooLong, self.state.count > 0,
            TraceState.isValid(self.state.bytes)
        else { return "" }
        return String(decoding: self.state.bytes, as: UTF8.self)
    }
}
