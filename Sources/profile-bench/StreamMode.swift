import Foundation
import IOLinux
import ProfileClient

// profile-bench stream: durable events a second through TrackStream, one or several in a message.

/// Runs the mode and ends the process.
@MainActor func runStream() -> Never {
    var load = TrackStreamLoad(ServerAddress(port: 50_051))
    var events: Int?
    var pid: String?
    let flags = BenchFlags(LinuxProcess.arguments.dropFirst()) { flag, value, number in
        switch flag {
        case "--connections" where number > 0 && number <= 10_000: load.connections = number
        case "--streams" where number > 0 && number <= 100: load.streams = number
        case "--batch" where number > 0 && number <= TrackStreamLoad.eventsPerMessageMax:
            load.eventsPerMessage = number
        case "--in-flight" where number > 0 && number <= 10_000: load.messagesInFlight = number
        case "--events" where number > 0 && number <= 10_000_000_000: events = number
        case "--ids" where number > 0 && number <= 1_000_000_000: load.ids = number
        case "--pid": pid = value
        default: return false
        }
        return true
    }
    (load.address, load.project, load.seconds) = (flags.address, flags.project, flags.seconds)
    load.key = flags.readKey()
    load.events = events ?? (load.seconds == nil ? 1_000_000 : nil)
    let server = pid.map { MeasuredServer($0) }
    do throws(ClientError) {
        let report = try load.run()
        let cpu = server?.microseconds(perEach: report.stored)
        output.write(
            flags.wantsJSON ? "\(report.json(serverCPU: cpu))\n" : report.text(serverCPU: cpu))
        let isWhole = report.others == 0 && report.failures == 0
        finish(isWhole && report.statuses.allSatisfy { $0.key == 0 } ? 0 : 1)
    } catch {
        fail("cannot reach \(load.address): \(error)", code: 3)
    }
}

extension TrackStreamLoad.Report {
    private var perSecond: Int { Int(Double(self.stored) / max(self.seconds, 1e-6)) }

    private var statusCounts: [(name: String, count: Int)] {
        self.statuses.sorted { $0.key < $1.key }
            .map { ($0.key < 0 ? "none" : RPCFailure.name(of: $0.key), $0.value) }
    }

    /// - Parameter serverCPU: In microseconds an event.
    fileprivate func text(serverCPU: Double?) -> String {
        let seconds = String(format: "%.2f", self.seconds)
        let statuses = self.statusCounts.map { "\($0.name): \($0.count)" }.joined(separator: ", ")
        var text =
            "\(self.stored) durable events in \(seconds) s, \(self.perSecond) a second; "
            + "\(self.messages) messages, \(self.failures) failed; "
            + "\(self.others) events not stored; streams: \(statuses)\n"
        if let serverCPU {
            text += "CPU of the server: \(MeasuredServer.text(serverCPU)) µs an event\n"
        }
        return text + "latency in ms: \(latencyText(self.latencies))\n"
    }

    fileprivate func json(serverCPU: Double?) -> JSONValue {
        .object(of: [
            ("events", .number(String(self.stored))),
            ("not_stored", .number(String(self.others))),
            ("messages", .number(String(self.messages))),
            ("failures", .number(String(self.failures))),
            ("seconds", .number(String(format: "%.3f", self.seconds))),
            ("per_second", .number(String(self.perSecond))),
            ("server_cpu_us", serverCPU.map { .number(MeasuredServer.text($0)) }),
            (
                "statuses",
                .object(of: self.statusCounts.map { ($0.name, .number(String($0.count))) })
            ),
            ("latency_ms", latencyJSON(self.latencies)),
        ])
    }
}
