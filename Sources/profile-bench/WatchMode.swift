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
    guard load.lastLSN != nil || flags.seconds != nil else {
        fail("watch needs --until or --seconds")
    }
    load.run(flags, "changes") { $0.descents == 0 && $0.statuses.isEmpty }
}

extension WatchLoad {
    /// Runs the load, writes its report and ends the process.
    ///
    /// - Parameters:
    ///   - unit: What a message with content is called.
    ///   - isSuccess: Whether the program ends with 0.
    @MainActor func run(
        _ flags: BenchFlags, _ unit: String, isSuccess: (Report) -> Bool
    ) -> Never {
        var load = self
        (load.address, load.project, load.seconds) = (flags.address, flags.project, flags.seconds)
        load.key = flags.readKey()
        do throws(ClientError) {
            let report = try load.run()
            output.write(
                flags.wantsJSON ? "\(report.json(unit))\n" : report.text(unit))
            finish(isSuccess(report) ? 0 : 1)
        } catch {
            fail("cannot reach \(load.address): \(error)", code: 3)
        }
    }
}

extension WatchLoad.Report {
    fileprivate var perSecond: Int { Int(Double(self.changes) / max(self.seconds, 1e-6)) }

    fileprivate func text(_ unit: String) -> String {
        let seconds = String(format: "%.2f s, CPU %.2f s", self.seconds, self.cpuSeconds)
        let statuses = self.statuses.sorted { $0.key < $1.key }
            .map { "; \($0.value) ended with \(RPCFailure.name(of: $0.key))" }.joined()
        return
            "\(self.changes) \(unit) and \(self.heartbeats) heartbeats, \(self.bytes) bytes, in "
            + "\(seconds), \(self.perSecond) a second; through lsn \(self.throughLSN)"
            + (self.descents > 0 ? "; \(self.descents) out of order" : "") + statuses + "\n"
    }

    fileprivate func json(_ unit: String) -> JSONValue {
        .object(of: [
            (unit, .number(String(self.changes))),
            ("heartbeats", .number(String(self.heartbeats))),
            ("bytes", .number(String(self.bytes))),
            ("seconds", .number(String(format: "%.3f", self.seconds))),
            ("cpu_seconds", .number(String(format: "%.3f", self.cpuSeconds))),
            ("per_second", .number(String(self.perSecond))),
            ("through_lsn", .number(String(self.throughLSN))),
            ("descents", .number(String(self.descents))),
            (
                "statuses",
                .object(
                    of: self.statuses.sorted { $0.key < $1.key }.map {
                        (RPCFailure.name(of: $0.key), .number(String($0.value)))
                    })
            ),
        ])
    }
}
