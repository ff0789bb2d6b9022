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

#if PROFILES_FUZZ
    @_silgen_name("LLVMFuzzerRunDriver")
    private func runDriver(
        _ count: UnsafeMutablePointer<Int32>,
        _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
        _ target: @convention(c) (UnsafeRawPointer?, Int) -> Int32
    ) -> Int32

    /// The name under which the package manager expects the main function.
    @_cdecl("profiles_fuzz_main")
    func fuzzMain(
        _ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
    ) -> Int32 {
        var count = count
        var arguments = arguments
        return runDriver(&count, &arguments) { fuzzOneInput($0, $1) }
    }
#endif
