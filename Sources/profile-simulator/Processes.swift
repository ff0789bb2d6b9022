import Foundation

/// Processes of this program.
enum Processes {
    private static let hashing = "SWIFT_DETERMINISTIC_HASHING"

    /// Starts the program again, in the same process, with hashing that follows from no random
    /// number.
    static func fixHashing() {
        guard getenv(self.hashing) == nil else { return }
        setenv(self.hashing, "1", 1)
        // SAFETY: the texts are never freed, since their reader takes the place of this program. A
        // null pointer ends the list.
        var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        // Comes back only if it fails.
        execv(self.path, &arguments)
        perror("execv \(self.path)")
        exit(1)
    }

    /// Of this program's file.
    static let path: String = {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
            ?? CommandLine.arguments[0]
    }()

    /// Starts this program with other arguments; what it prints can be read.
    static func start(_ arguments: [String]) throws -> (process: Process, output: FileHandle) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: self.path)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        return (process, pipe.fileHandleForReading)
    }
}
