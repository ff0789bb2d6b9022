// Secrets are overwritten as soon as they are no longer needed, so that a core dump, a swapped page
// or a later allocation of the same memory does not contain them.
//
// SAFETY: the owner provides the memory, and every store is within its count. Safe code cannot do
// it: an assignment to a value that is not read again may be removed by the optimiser.

extension UnsafeMutableRawBufferPointer {
    /// Overwrites the bytes with zeros, even if nothing reads them afterwards.
    ///
    /// Compiled without optimisation, and never inlined: the optimiser must not conclude that the
    /// stores are dead.
    ///
    /// - Complexity: O(bytes), one store each.
    @inline(never) @_optimize(none)
    public func wipe() {
        for index in 0 ..< self.count { self[index] = 0 }
    }
}

extension ByteBuffer {
    /// Overwrites the whole storage with zeros and empties the buffer; for buffers that held a
    /// secret. What the buffer outgrew before is not covered: reserve what a secret needs first.
    public mutating func wipe() {
        UnsafeMutableRawBufferPointer(start: self.base, count: self.capacity).wipe()
        self.removeAll()
    }
}
