import Foundation
import IOLinux
import ProfileClient

// profile-bench watch: how fast a server serves its feed.

/// Runs the mode and ends the process.
@MainActor func runWatch() -> Never {
    var load = WatchLoad(ServerAddress(port: 50_051))
    let flags = BenchFlags(LinuxProcess.arguments.dropFirst()) { flag, value, number in
        switch flag {
        case "--from" where UInt64(value) != nil: load.firstLSN = UInt64(value) ?? 0
        case "--until" where UInt64(value) != nil: load.lastLSN = UInt64(value)
        case "--watchers" where number > 0 && number <= 100_000: load.watchers = number
        case "--follow" where number > 0 && number <= 1_000_000_000: load.ids = number
        default: return false
        }
        return true
    }
    load.address = flags.address
    load.project = flags.project
    load.seconds = flags.seconds
    load.key = flags.readKey()
    guard load.lastLSN != nil || load.seconds != nil else {
        fail("watch needs --until or --seconds")
    }
    do throws(ClientError) {
        let report = try load.run()
        output.write(flags.wantsJSON ? "\(watchJSON(report))\n" : watchText(report))
        finish(report.descents == 0 && report.statuses.isEmpty ? 0 : 1)
    } catch {
        fail("cannot reach \(load.address): \(error)", code: 3)
    }
}

private func perSecond(_ report: WatchLoad.Report) -> Int {
    Int(Double(report.changes) / max(report.seconds, 1e-6))
}

private func watchText(_ report: WatchLoad.Report) -> String {
    let seconds = String(format: "%.2f s, CPU %.2f s", report.seconds, report.cpuSeconds)
    let statuses = report.statuses.sorted { $0.key < $1.key }
        .map { "; \($0.value) ended with \(RPCFailure.name(of: $0.key))" }.joined()
    return
        "\(report.changes) changes and \(report.heartbeats) heartbeats, \(report.bytes) bytes, in "
        + "\(seconds), \(perSecond(report)) a second; through lsn \(report.throughLSN)"
        + (report.descents > 0 ? "; \(report.descents) out of order" : "") + statuses + "\n"
}

private func watchJSON(_ report: WatchLoad.Report) -> JSONValue {
    .object(of: [
        ("changes", .number(String(report.changes))),
        ("heartbeats", .number(String(report.heartbeats))),
        ("bytes", .number(String(report.bytes))),
        ("seconds", .number(String(format: "%.3f", report.seconds))),
        ("cpu_seconds", .number(String(format: "%.3f", report.cpuSeconds))),
        ("per_second", .number(String(perSecond(report)))),
        ("through_lsn", .number(String(report.throughLSN))),
        ("descents", .number(String(report.descents))),
        (
            "statuses",
            .object(
                of: report.statuses.sorted { $0.key < $1.key }.map {
                    (RPCFailure.name(of: $0.key), .number(String($0.value)))
                })
        ),
    ])
}
