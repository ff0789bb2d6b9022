// Carries out one hot path of the service so many times, and nothing beside it; Benchmarks/check.py
// counts the instructions and allocator calls. Used by measurements only.

import Glibc
import ProfileClient

let usage = "usage: profile-paths PATH COUNT | --list (COUNT: 1 to \(HotPath.countMax))\n"

func fail(_ text: String) -> Never {
    ConsoleOutput(descriptor: 2).write(text)
    exit(2)
}

let arguments = CommandLine.arguments.dropFirst()
if arguments == ["--list"] {
    HotPath.all.forEach { print($0.name) }
    exit(0)
}
guard arguments.count == 2, let count = Int(arguments.last ?? ""), 1 ... HotPath.countMax ~= count
else { fail(usage) }
guard let path = HotPath.all.first(where: { $0.name == arguments.first }) else {
    fail("profile-paths: unknown path \(arguments.first ?? ""); --list has the names\n")
}

let operation = path.prepare()
for index in 0 ..< count { operation(index) }

// Benchmarks/malloc-count writes its counts then.
if getenv("MALLOC_COUNT_FILE") != nil { raise(SIGUSR2) }
exit(0)
