import Foundation
import ProfileClient

/// The process whose CPU time a load reports: the server, on this machine.
struct MeasuredServer {
    private let cpu: ProcessCPU
    private let before: Double

    /// Begins to measure; ends the process if the text is not the number of a process.
    @MainActor init(_ pid: String) {
        guard let number = Int32(pid), number > 0, let cpu = ProcessCPU(pid: number),
            let before = cpu.microseconds
        else { fail("--pid \(pid): there is no such process") }
        self.cpu = cpu
        self.before = before
    }

    /// CPU time since the beginning, in microseconds, divided by the number of calls or events;
    /// ends this process if the server has ended.
    @MainActor func microseconds(perEach count: Int) -> Double {
        guard let now = self.cpu.microseconds else { fail("the server has ended", code: 3) }
        return (now - self.before) / Double(max(count, 1))
    }

    static func text(_ microseconds: Double) -> String { String(format: "%.3f", microseconds) }
}
