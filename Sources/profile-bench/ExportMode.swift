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
    load.address = flags.address
    load.project = flags.project
    load.seconds = flags.seconds
    load.key = flags.readKey()
    do throws(ClientError) {
        let report = try load.run()
        output.write(flags.wantsJSON ? "\(exportJSON(report))\n" : exportText(report))
        let isWhole = report.descents == 0 && report.statuses == [0: load.watchers]
        finish(isWhole || load.seconds != nil ? 0 : 1)
    } catch {
        fail("cannot reach \(load.address): \(error)", code: 3)
    }
}

private func perSecond(_ report: WatchLoad.Report) -> Int {
    Int(Double(report.changes) / max(report.seconds, 1e-6))
}

private func exportText(_ report: WatchLoad.Report) -> String {
    let statuses = report.statuses.sorted { $0.key < $1.key }
        .map { "; \($0.value) ended with \(RPCFailure.name(of: $0.key))" }.joined()
    return
        "\(report.changes) parts, \(report.bytes) bytes, in "
        + String(format: "%.2f s, CPU %.2f s", report.seconds, report.cpuSeconds)
        + ", \(perSecond(report)) a second\(statuses)\n"
}

private func exportJSON(_ report: WatchLoad.Report) -> JSONValue {
    .object(of: [
        ("parts", .number(String(report.changes))), ("bytes", .number(String(report.bytes))),
        ("seconds", .number(String(format: "%.3f", report.seconds))),
        ("cpu_seconds", .number(String(format: "%.3f", report.cpuSeconds))),
        ("per_second", .number(String(perSecond(report)))),
        (
            "statuses",
            .object(
                of: report.statuses.sorted { $0.key < $1.key }.map {
                    (RPCFailure.name(of: $0.key), .number(String($0.value)))
                })
        ),
    ])
}
