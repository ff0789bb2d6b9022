import Foundation
import IOLinux
import ProfileClient

// The load generator: closed or open loop, a mix of methods over many people, one line of output
// per second, a histogram at the end.

let usage = """
    profile-bench: load generator for profiled

    profile-bench watch FLAGS: Watch calls that count what comes and check that lsns ascend

      --from LSN           first lsn of each watcher (0: what comes from now on)
      --until LSN          ends when every watcher has come so far
      --watchers N         open watchers (1), 100 on a connection
      --follow IDS         watcher n follows person n of so many (default: everyone)
      --seconds, --address, --port, --project, --key-file, --json as below

    profile-bench export FLAGS: ExportProject calls that count the parts that come

      --exports N          exports at the same time (1), 100 on a connection
      --seconds, --address, --port, --project, --key-file, --json as below

    profile-bench import FLAGS: one ImportProfiles: people, then events spread over them

      --people N           people with three attributes (100000)
      --events N           events with three attributes (1000000)
      --chunk N            operations of a message, at most 10000 (10000)
      --name NAME          begins the chunk ids (load): the same again does nothing
      --address, --port, --project, --key-file, --json as below

    profile-bench stream FLAGS: TrackStream calls that count durable events

      --connections N      connections (1)
      --streams N          streams on each connection (8)
      --batch N            events of a message, at most 15 (1)
      --in-flight N        messages of a stream without a response (100)
      --events N           total number of events (1000000, unless --seconds is given)
      --ids N              number of people (100000)
      --pid N              also prints the CPU time of this process, the server, per event
      --seconds, --address, --port, --project, --key-file, --json as below

    profile-bench FLAGS: calls

      --address HOST:PORT  address of the service (127.0.0.1:50051)
      --port N             short for --address 127.0.0.1:N
      --tls                encrypts; --ca FILE, --cert FILE, --cert-key FILE and
                           --server-name NAME are those of profilectl, and all modes have them
      --connections N      connections (8)
      --streams N          concurrent calls per connection (100)
      --requests N         total number of calls (400000, unless --seconds is given)
      --seconds N          duration, also a part of a second
      --pid N              also prints the CPU time of this process, the server, per call
      --rate N             calls per second at fixed times (default: as fast as possible);
                           latency counts from when a call was due
      --mix LIST           such as track=80,get=20 (track=100), of:
                           track get identify profile small events subscribe sendable
                           project
      --method NAME        only Track or only GetProfile
      --ids N              number of people (100000)
      --order NAME         shuffled: each person once before any comes again, always in the same
                           order (the default); random: anybody
      --values N           first value of the attributes that profile sets (1000)
      --value-seed N       values of one to nine digits instead, of each person others, and others
                           with each N
      --project NAME       project (default)
      --projects N         spread the people over project-00000 and so on, which
                           --mix project --requests N creates
      --key-file FILE      its first line is the key to call with (PROFILES_KEY_FILE, or the key
                           itself in PROFILES_KEY)
      --keys-file FILE     keys, one a line: each connection calls with one of them
      --json               one JSON object instead of text
      --help, --version    print this text, or the version

    Exit codes: 0 every call returned OK (or NOT_FOUND: a read before the first write),
    1 some calls failed, 2 usage, 3 cannot connect, 6 the output could not be written.

    """

StandardStreams.prepare()
let output = ConsoleOutput(descriptor: 1)
let errors = ConsoleOutput(descriptor: 2)

@MainActor func fail(_ text: String, code: Int32 = 2) -> Never {
    errors.write("profile-bench: \(text)\n")
    exit(code)
}

/// Ends the process with a code that tells whether all of the output was written.
@MainActor func finish(_ code: Int32) -> Never {
    output.close()
    if let message = OutputExitCode.message(failure: output.failure) {
        errors.write("profile-bench: \(message)\n")
    }
    exit(OutputExitCode.code(code, failure: output.failure))
}

func milliseconds(_ nanoseconds: UInt64) -> String {
    String(format: "%.2f", Double(nanoseconds) / 1e6)
}

let shares: [(name: String, share: Double)] = [
    ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1),
]

func latencyText(_ latencies: LatencyHistogram) -> String {
    shares.map { "\($0.name) \(milliseconds(latencies.percentile($0.share)))" }.joined(
        separator: ", ")
}

func latencyJSON(_ latencies: LatencyHistogram) -> JSONValue {
    .object(
        of: shares.map {
            ($0.name, .number(String(format: "%.3f", Double(latencies.percentile($0.share)) / 1e6)))
        })
}

/// A bar of `#` for each power of two that has calls.
func histogramText(_ latencies: LatencyHistogram) -> String {
    let rows = latencies.rows
    let most = rows.map(\.count).max() ?? 1
    var text = ""
    for row in rows {
        let label = milliseconds(row.top)
        let pad = String(repeating: " ", count: max(0, 9 - label.count))
        let bar = String(
            repeating: "#", count: row.count == 0 ? 0 : max(1, Int(50 * row.count / most)))
        text += "  up to \(pad)\(label) ms |\(bar) \(row.count)\n"
    }
    return text
}

if LinuxProcess.arguments.first == "watch" { runWatch() }
if LinuxProcess.arguments.first == "export" { runExport() }
if LinuxProcess.arguments.first == "import" { runImport() }
if LinuxProcess.arguments.first == "stream" { runStream() }

var load = Load(ServerAddress(port: 50_051))
var requests: Int?
var server: MeasuredServer?
let flags = BenchFlags(LinuxProcess.arguments[...]) { flag, value, number in
    switch flag {
    case "--connections" where number > 0 && number <= 10_000: load.connections = number
    case "--streams" where number > 0 && number <= 10_000: load.streams = number
    case "--requests" where number > 0: requests = number
    case "--rate" where number > 0: load.rate = Double(number)
    case "--ids" where number > 0 && number <= 1_000_000_000: load.ids = number
    case "--values" where number > 0 && number <= 1_000_000_000: load.firstValue = number
    case "--value-seed" where number > 0 && number <= 1_000_000_000:
        load.valueSeed = UInt64(number)
    case "--order":
        guard let order = Load.Order(rawValue: value) else {
            fail("--order \(value): expected shuffled or random")
        }
        load.order = order
    case "--projects" where number > 0 && number <= 1_000_000: load.projects = number
    case "--pid": server = MeasuredServer(value)
    case "--keys-file":
        guard let text = try? String(contentsOfFile: value, encoding: .utf8) else {
            fail("--keys-file \(value) cannot be read")
        }
        load.keys = text.split(whereSeparator: \.isWhitespace).map(String.init)
    case "--method" where value == "Track": load.mix = [(.track, 1)]
    case "--method" where value == "GetProfile": load.mix = [(.get, 1)]
    case "--mix":
        guard let mix = LoadMethod.mix(value) else {
            fail("--mix \(value): expected a list such as track=80,get=20; --help has the names")
        }
        load.mix = mix
    default: return false
    }
    return true
}
load.address = flags.address
load.project = flags.project
load.seconds = flags.seconds
load.key = flags.readKey()
load.requests = requests ?? (load.seconds == nil ? 400_000 : nil)

do {
    var elapsed = 0.0
    let report = try load.run { second in
        elapsed += second.seconds
        guard !flags.wantsJSON else { return }
        let line =
            String(
                format: "%4.0f s %9.0f per second; ms: ", elapsed,
                Double(second.requests) / second.seconds)
            + latencyText(second.latencies)
            + (second.failures > 0 ? "; \(second.failures) failed" : "")
        errors.write(line + "\n")
    }
    let serverCPU = server?.microseconds(perEach: report.requests)
    let rate = Int(Double(report.requests) / max(report.seconds, 1e-6))
    let statuses = report.statuses.sorted { $0.key < $1.key }
    if flags.wantsJSON {
        let json = JSONValue.object(of: [
            ("requests", .number(String(report.requests))),
            ("seconds", .number(String(format: "%.3f", report.seconds))),
            ("per_second", .number(String(rate))),
            ("server_cpu_us", serverCPU.map { .number(MeasuredServer.text($0)) }),
            (
                "statuses",
                .object(
                    of: statuses.map {
                        (RPCFailure.name(of: $0.key), .number(String($0.value)))
                    })
            ),
            ("latency_ms", latencyJSON(report.latencies)),
            (
                "methods",
                .object(
                    of: report.methods.count < 2
                        ? []
                        : report.methods.map { ($0.method.rawValue, latencyJSON($0.latencies)) }
                )
            ),
        ])
        output.write("\(json)\n")
    } else {
        output.write(
            "\(report.requests) requests in \(String(format: "%.2f", report.seconds)) s, \(rate) a "
                + "second;"
                + " status \(statuses.map { "\($0.key): \($0.value)" }.joined(separator: ", "))\n")
        if let serverCPU {
            output.write("CPU of the server: \(MeasuredServer.text(serverCPU)) µs a call\n")
        }
        output.write("latency in ms: \(latencyText(report.latencies))\n")
        if report.methods.count > 1 {
            for method in report.methods {
                output.write(
                    "  \(method.method.rawValue): \(method.latencies.count) calls, "
                        + "\(latencyText(method.latencies))\n"
                )
            }
        }
        output.write(histogramText(report.latencies))
    }
    finish(report.failures == 0 ? 0 : 1)
} catch {
    fail("cannot reach \(load.address): \(error)", code: 3)
}
