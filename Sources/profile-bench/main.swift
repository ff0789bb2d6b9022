import Foundation
import ProfileClient

// The load generator: a closed loop of Track or GetProfile calls over many people.

let usage = """
    profile-bench: load for a profiled on 127.0.0.1

      --port N            port of the service (50051)
      --connections N     connections (8)
      --streams N         calls under way on each (100)
      --requests N        calls in all (400000)
      --ids N             people (100000)
      --method NAME       Track or GetProfile (Track)

    """

var load = Load(port: 50051)
var arguments = CommandLine.arguments.dropFirst()
while let flag = arguments.popFirst() {
    guard let value = arguments.popFirst() else {
        print(usage)
        exit(flag == "--help" ? 0 : 2)
    }
    let number = Int(value) ?? 0
    switch flag {
    case "--port" where number > 0 && number < 65_536: load.port = UInt16(number)
    case "--connections" where number > 0: load.connections = number
    case "--streams" where number > 0: load.streams = number
    case "--requests" where number > 0: load.requests = number
    case "--ids" where number > 0: load.ids = number
    case "--method" where value == "Track" || value == "GetProfile": load.method = value
    default:
        print("profile-bench: \(flag) \(value) is not understood\n\n" + usage)
        exit(2)
    }
}
do {
    let report = try load.run()
    let statuses = report.statuses.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
    print("\(report.requests) requests in \(String(format: "%.2f", report.seconds)) s,"
        + " \(Int(Double(report.requests) / report.seconds)) a second; status \(statuses.joined(separator: ", "))")
    print("latency in ms: p50 \(String(format: "%.2f", report.percentile(0.5))),"
        + " p99 \(String(format: "%.2f", report.percentile(0.99))),"
        + " p99.9 \(String(format: "%.2f", report.percentile(0.999)))")
    exit(report.statuses.keys.allSatisfy { $0 == 0 } ? 0 : 1)
} catch {
    print("profile-bench: \(error)")
    exit(1)
}
