import Foundation
import IOLinux
import ProfileClient

// profile-bench import: how fast a server takes an import.

/// Runs the mode and ends the process.
@MainActor func runImport() -> Never {
    var load = ImportLoad(ServerAddress(port: 50_051))
    let flags = BenchFlags(LinuxProcess.arguments.dropFirst()) { flag, value, number in
        switch flag {
        case "--people" where number > 0 && number <= 1_000_000_000: load.people = number
        case "--events" where number > 0 && number <= 10_000_000_000: load.events = number
        case "--chunk" where number > 0 && number <= 10_000: load.chunkOperations = number
        case "--name" where !value.isEmpty && value.utf8.count <= 60: load.name = value
        default: return false
        }
        return true
    }
    load.address = flags.address
    load.project = flags.project
    load.key = flags.readKey()
    do throws(RPCFailure) {
        let (people, events) = try load.run()
        if flags.wantsJSON {
            let json = JSONValue.object(of: [
                ("people", importJSON(people)), ("events", importJSON(events)),
            ])
            output.write("\(json)\n")
        } else {
            output.write(importText("people", people) + importText("events", events))
        }
        finish(people.rejected + events.rejected == 0 ? 0 : 1)
    } catch {
        fail("\(load.address): \(error.message)", code: 3)
    }
}

private func perSecond(_ report: ImportLoad.Report) -> Int {
    Int(Double(report.operations) / max(report.seconds, 1e-3))
}

private func importText(_ name: String, _ report: ImportLoad.Report) -> String {
    "\(report.operations) \(name), \(report.bytes) bytes, in "
        + String(format: "%.2f s, ", report.seconds) + "\(perSecond(report)) a second; "
        + "\(report.applied) applied, \(report.unchanged) unchanged, \(report.rejected) rejected\n"
}

private func importJSON(_ report: ImportLoad.Report) -> JSONValue {
    .object(of: [
        ("operations", .number(String(report.operations))),
        ("applied", .number(String(report.applied))),
        ("unchanged", .number(String(report.unchanged))),
        ("rejected", .number(String(report.rejected))),
        ("bytes", .number(String(report.bytes))),
        ("seconds", .number(String(format: "%.3f", report.seconds))),
        ("per_second", .number(String(perSecond(report)))),
    ])
}
