import Glibc

/// How much of a long test is done: little in `swift test`, more in its `make` target.
enum Scale {
    /// The value of an environment variable, if it is a number over 0.
    static func of(_ name: String, otherwise short: Int) -> Int {
        guard let text = getenv(name), let value = Int(String(cString: text)), value > 0 else {
            return short
        }
        return value
    }
}
