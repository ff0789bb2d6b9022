import Foundation
import IOLinux
import ProfileClient

// profile-bench export: how fast a server exports a project.

/// Runs the mode and ends the process.
@MainActor func runExport() -> Never {
    var load = WatchLoad(ServerAddress(port: 50_051))
    load.isExport = true
    let flags = BenchFlags(LinuxProcess.arguments.dropFirst()) { flag, _, number in
        switch flag {
        case "--exports" where number > 0 && number <= 10_000: load.watchers = number
        default: return false
        }
        return true
    }
    load.run(flags, "parts") { report in
        let isWhole = report.descents == 0 && report.statuses == [0: load.watchers]
        return isWhole || flags.seconds != nil
    }
}
