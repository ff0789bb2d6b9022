// Secrets are overwritten as soon as they are no longer needed, so that a core dump, a swapped page
// or a later allocation of the same memory does not contain them.
//
// SAFETY: the owner provides the memory, and every store is within its count. Safe code cannot do
// it: an assignment to a value that is not read again may be removed by the optimiser.

extension UnsafeMutableRawBufferPointer {
    /// Overwrites the bytes with zeros, even if nothing reads them afterwards.
    ///
    /// - Complexity: O(bytes), and one call.
    public func wipe() {
        guard let base = self.baseAddress else { return }
        base.initializeMemory(as: UInt8.self, repeating: 0, count: self.count)
        Self.mayRead(base)
    }

    /// Stands for a reader of the memory: the stores before it are not dead. Neither inlined nor
    /// looked into by the optimiser.
    @inline(never) @_optimize(none)
    private static func mayRead(_ base: UnsafeMutableRawPointer) {}
}

extension ByteBuffer {
    /// Overwrites the whole storage with zeros and empties the buffer; for buffers that held a
    /// secret. What the buffer outgrew before is not covered: reserve what a secret needs first.
    public mutating func wipe() {
        UnsafeMutableRawBufferPointer(start: self.base, count: self.capacity).wipe()
        self.removeAll()
    }
}
