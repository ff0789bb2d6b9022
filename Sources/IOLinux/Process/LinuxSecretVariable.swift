import Glibc

/// Takes secrets out of the environment of the process.
package enum LinuxSecretVariable {
    /// Takes a variable's value and removes the variable, from the memory that
    /// /proc/PID/environ shows too. Call it before anything copies the environment, and while the
    /// process has one thread.
    ///
    /// - Returns: The value, which the caller overwrites; `nil`: there is no such variable.
    package static func take(_ name: String) -> [UInt8]? {
        guard let value = getenv(name) else { return nil }
        let count = strlen(value)
        // SAFETY: the environment's memory lives as long as the process, and may be written; the
        // value ends before its zero, which stays.
        let memory = UnsafeMutableRawBufferPointer(start: value, count: count)
        let taken = Array(memory)
        memory.initializeMemory(as: UInt8.self, repeating: UInt8(ascii: "*"))
        unsetenv(name)
        return taken
    }
}
