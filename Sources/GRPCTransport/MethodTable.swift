import Bytes

/// The served paths, found without a `String`: open addressing over an unkeyed hash of the server's
/// own names.
final class MethodTable {
    let methods: [RPCMethodDescriptor]
    private let paths: [[UInt8]]
    private let slots: [Int16]
    /// Found last: what comes next is most often the same.
    private var last = 0
    private static let key = SipHashKey(k0: 0, k1: 0)

    init(_ methods: [RPCMethodDescriptor]) {
        self.methods = methods
        self.paths = methods.map { Array($0.path.utf8) }
        var size = 8
        while size < methods.count * 2 { size *= 2 }
        var slots = [Int16](repeating: -1, count: size)
        for (index, path) in self.paths.enumerated() {
            var slot = path.withUnsafeBytes { Self.hash($0) } & (size - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (size - 1) }
            slots[slot] = Int16(index)
        }
        self.slots = slots
    }

    /// The index of the method at `path`, compared byte for byte (G12); `nil` if there is none.
    func index(of path: UnsafeRawBufferPointer) -> Int? {
        if self.isPath(self.last, path) { return self.last }
        var slot = Self.hash(path) & (self.slots.count - 1)
        while self.slots[slot] >= 0 {
            let index = Int(self.slots[slot])
            if self.isPath(index, path) {
                self.last = index
                return index
            }
            slot = (slot + 1) & (self.slots.count - 1)
        }
        return nil
    }

    private func isPath(_ index: Int, _ path: UnsafeRawBufferPointer) -> Bool {
        // SAFETY: both are borrowed for this call, by the array and by the caller; as many bytes
        // are compared as both have.
        self.paths[index].withUnsafeBytes {
            $0.count == path.count && $0.hasSameBytes(as: path, count: path.count)
        }
    }

    private static func hash(_ path: UnsafeRawBufferPointer) -> Int {
        Int(truncatingIfNeeded: SipHash.hash64(path, key: Self.key) >> 1)
    }
}
