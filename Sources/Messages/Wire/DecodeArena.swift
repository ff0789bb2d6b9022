import CProtobufC

/// Where protobuf-c puts what it decodes and what is encoded from: one run of memory per loop,
/// forgotten whole after each call.
///
/// Bounded: over `WireLimits.arenaBytesMax` an allocation fails, protobuf-c stops, and
/// `hasOverflowed` tells why. Used by one thread. Budget: no system allocation for messages that
/// fit the kept block.
package final class DecodeArena {
    /// Kept between calls, in bytes: 15 events with all their attributes fit.
    private static let keptBytes = 256 << 10
    /// Smallest block added for a larger message, in bytes.
    private static let blockBytesMin = 1 << 20
    private static let alignment = 16

    /// Where the next bytes come from, behind a plain pointer: protobuf-c asks some fifteen times
    /// for a Track.
    private struct Run {
        var next: UnsafeMutableRawPointer
        /// Bytes behind `next`, a multiple of the alignment.
        var left: Int
        // SAFETY: the arena owns this `Run` and frees it in `deinit`, so it outlives the reference.
        let arena: Unmanaged<DecodeArena>

        /// `bytes` bytes of the present block; `nil` if it has not as many.
        @inline(__always)
        mutating func take(_ bytes: Int) -> UnsafeMutableRawPointer? {
            guard UInt(bitPattern: bytes) <= UInt(bitPattern: self.left) else { return nil }
            let rounded = (bytes &+ (DecodeArena.alignment &- 1)) & ~(DecodeArena.alignment &- 1)
            defer {
                self.next += rounded
                self.left &-= rounded
            }
            return self.next
        }
    }

    private let kept: UnsafeMutableRawPointer
    private let run: UnsafeMutablePointer<Run>
    private var extra: [UnsafeMutableRawPointer] = []
    private var totalBytes = 0
    /// More was wanted than is allowed.
    package private(set) var hasOverflowed = false
    /// To be given to protobuf-c; valid as long as the arena.
    let allocator: UnsafeMutablePointer<ProtobufCAllocator>

    package init() {
        self.kept = .allocate(byteCount: Self.keptBytes, alignment: Self.alignment)
        self.run = .allocate(capacity: 1)
        self.allocator = .allocate(capacity: 1)
        // SAFETY: the allocator is used only by calls that get it from this arena and end before it
        // does; `free` is a no-op because everything is forgotten at once.
        self.allocator.initialize(
            to: ProtobufCAllocator(
                alloc: { data, size in
                    let run = data!.assumingMemoryBound(to: Run.self)
                    if let bytes = run.pointee.take(size) { return bytes }
                    return run.pointee.arena._withUnsafeGuaranteedRef {
                        $0.allocateInNewBlock(size)
                    }
                },
                free: { _, _ in }, allocator_data: self.run))
        // SAFETY: `run` is freed in `deinit`: the reference never outlives the arena.
        self.run.initialize(
            to: Run(next: self.kept, left: Self.keptBytes, arena: Unmanaged.passUnretained(self)))
    }

    deinit {
        self.reset()
        self.kept.deallocate()
        self.run.deallocate()
        self.allocator.deallocate()
    }

    /// Forgets everything; pointers into it are dead.
    package func reset() {
        self.begin(self.kept, bytes: Self.keptBytes)
        guard !self.extra.isEmpty || self.hasOverflowed else { return }
        for block in self.extra { block.deallocate() }
        self.extra.removeAll(keepingCapacity: true)
        self.totalBytes = 0
        self.hasOverflowed = false
    }

    /// `bytes` bytes, aligned to 16; `nil` over the bound.
    @inline(__always)
    func allocate(_ bytes: Int) -> UnsafeMutableRawPointer? {
        self.run.pointee.take(bytes) ?? self.allocateInNewBlock(bytes)
    }

    /// What of the arena is in use, to be given to `rewind`.
    struct Mark {
        fileprivate var next: UnsafeMutableRawPointer
        fileprivate var left: Int
        fileprivate var blockCount: Int
        fileprivate var totalBytes: Int
    }

    var mark: Mark {
        Mark(
            next: self.run.pointee.next, left: self.run.pointee.left, blockCount: self.extra.count,
            totalBytes: self.totalBytes)
    }

    /// Forgets everything that was allocated since the mark; pointers into it are dead.
    ///
    /// - Precondition: The arena was not reset or rewound further since then.
    func rewind(to mark: Mark) {
        self.run.pointee.next = mark.next
        self.run.pointee.left = mark.left
        self.hasOverflowed = false
        guard self.extra.count > mark.blockCount else { return }
        for block in self.extra[mark.blockCount...] { block.deallocate() }
        self.extra.removeLast(self.extra.count - mark.blockCount)
        self.totalBytes = mark.totalBytes
    }

    private func begin(_ block: UnsafeMutableRawPointer, bytes: Int) {
        self.run.pointee.next = block
        self.run.pointee.left = bytes & ~(Self.alignment - 1)
    }

    /// A message that has outgrown the kept block: larger blocks from the system, up to the bound.
    private func allocateInNewBlock(_ bytes: Int) -> UnsafeMutableRawPointer? {
        let size = max(bytes + Self.alignment, Self.blockBytesMin)
        guard bytes >= 0, self.totalBytes + size <= WireLimits.arenaBytesMax else {
            self.hasOverflowed = true
            return nil
        }
        return self.addBlock(size, for: bytes)
    }

    private func addBlock(_ size: Int, for bytes: Int) -> UnsafeMutableRawPointer? {
        self.totalBytes += size
        let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: Self.alignment)
        self.extra.append(block)
        self.begin(block, bytes: size)
        return self.allocate(bytes)
    }

    // MARK: For encoding: a response is bounded by what is stored, not by the arena. Few pass it,
    // and none may end the process.

    /// One C message, initialised by protobuf-c's own initialiser.
    func make<Message>(_ initialize: (UnsafeMutablePointer<Message>) -> Void)
        -> UnsafeMutablePointer<Message>
    {
        // SAFETY: the run has `stride` bytes for one message, aligned to 16, until `reset`.
        let pointer = self.memory(MemoryLayout<Message>.stride).bindMemory(
            to: Message.self, capacity: 1)
        initialize(pointer)
        return pointer
    }

    /// An array of `count` pointers, uninitialised.
    func pointers<Element>(_ count: Int) -> UnsafeMutablePointer<UnsafeMutablePointer<Element>?> {
        // SAFETY: `count` pointers fit the run's bytes, aligned to 16, until `reset`.
        self.memory(count * MemoryLayout<UnsafeMutableRawPointer>.stride)
            .bindMemory(to: UnsafeMutablePointer<Element>?.self, capacity: count)
    }

    /// A NUL-terminated copy of text that holds no NUL.
    func string(_ text: UnsafeRawBufferPointer) -> UnsafeMutablePointer<CChar> {
        // SAFETY: `text.count` bytes and the NUL fit the target, which lives until `reset`.
        let target = self.memory(text.count + 1)
        if let base = text.baseAddress { target.copyMemory(from: base, byteCount: text.count) }
        target.storeBytes(of: 0, toByteOffset: text.count, as: UInt8.self)
        return target.bindMemory(to: CChar.self, capacity: text.count + 1)
    }

    /// A NUL-terminated copy of text that holds no NUL.
    func string(_ text: String) -> UnsafeMutablePointer<CChar> {
        var text = text
        return text.withUTF8 { self.string(UnsafeRawBufferPointer($0)) }
    }

    func memory(_ bytes: Int) -> UnsafeMutableRawPointer {
        if let pointer = self.allocate(bytes) { return pointer }
        guard
            let pointer = self.addBlock(max(bytes + Self.alignment, Self.blockBytesMin), for: bytes)
        else {
            preconditionFailure("a new block holds what it was made for")
        }
        return pointer
    }
}
