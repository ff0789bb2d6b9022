import Foundation
import IOSimulation
import Testing

/// The kept inputs of every fuzz target, and simple mutations of them.
@Suite struct CorpusTests {
    private static func inputs(of target: FuzzTarget) throws -> [(name: String, bytes: [UInt8])] {
        let folder = try #require(
            Bundle.module.url(forResource: "Corpus/\(target.rawValue)", withExtension: nil))
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map {
            ($0, Array(try Data(contentsOf: folder.appendingPathComponent($0))))
        }
    }

    private static func run(_ bytes: [UInt8], _ target: FuzzTarget) {
        // Copied to memory of exactly its size, so that a sanitizer sees a read beyond it.
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: bytes)
        // SAFETY: the copy is freed after the call, which keeps nothing of it.
        target.run(UnsafeRawBufferPointer(copy))
    }

    @Test(arguments: FuzzTarget.allCases)
    func keptInputsAreRead(target: FuzzTarget) throws {
        let inputs = try Self.inputs(of: target)
        #expect(!inputs.isEmpty, "\(target) has no corpus")
        Self.run([], target)
        for input in inputs { Self.run(input.bytes, target) }
    }

    @Test(arguments: FuzzTarget.allCases)
    func mutationsOfKeptInputsAreRead(target: FuzzTarget) throws {
        var random = SeededRandom(seed: 20_260_131)
        for input in try Self.inputs(of: target) where !input.bytes.isEmpty {
            for _ in 0 ..< 5 {
                var bytes = input.bytes
                for _ in 0 ... random.below(3) {
                    bytes[random.below(bytes.count)] = UInt8(random.below(256))
                }
                Self.run(Array(bytes.prefix(1 + random.below(bytes.count))), target)
                Self.run(bytes, target)
            }
        }
    }
}
