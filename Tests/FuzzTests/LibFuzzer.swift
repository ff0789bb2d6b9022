import Glibc

// The interface of libFuzzer (https://llvm.org/docs/LibFuzzer.html). In the test bundle nothing
// calls it.

/// Named by the environment, since libFuzzer takes the arguments.
private let selected = getenv("FUZZ_TARGET").flatMap { FuzzTarget(rawValue: String(cString: $0)) }

@_cdecl("LLVMFuzzerTestOneInput")
func fuzzOneInput(_ bytes: UnsafeRawPointer?, _ count: Int) -> Int32 {
    guard let selected else {
        let names = FuzzTarget.allCases.map(\.rawValue).joined(separator: ", ")
        print("FUZZ_TARGET must be one of \(names)")
        exit(2)
    }
    selected.run(UnsafeRawBufferPointer(start: bytes, count: count))
    return 0
}
