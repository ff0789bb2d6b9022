// Runs whole nodes in a simulated world, seed after seed, and says what promise a seed breaks.
// docs/testing.md, "Simulation".

import Foundation

// The order of Swift's dictionaries differs from process to process. A trace must not, so that a
// failure found in one process is repeated in another.
Processes.fixHashing()

do throws(UsageError) {
    exit(try Command.parse(Array(CommandLine.arguments.dropFirst())).run())
} catch {
    FileHandle.standardError.write(Data("\(error.text)\n\n\(Command.usage)\n".utf8))
    exit(2)
}
