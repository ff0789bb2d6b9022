import Glibc

/// The CPU time of a process of this machine, such as the server under a load.
package struct ProcessCPU {
    private let pid: Int32

    /// - Returns: `nil` if there is no such process.
    package init?(pid: Int32) {
        self.pid = pid
        guard self.microseconds != nil else { return nil }
    }

    /// User and system time of all its threads so far, in steps of a clock tick (10 ms); `nil` once
    /// it has ended.
    ///
    /// - Source: proc(5), fields 14 and 15 of `/proc/PID/stat`.
    package var microseconds: Double? {
        guard let file = fopen("/proc/\(self.pid)/stat", "r") else { return nil }
        defer { fclose(file) }
        var text = [CChar](repeating: 0, count: 1_024)
        guard fgets(&text, Int32(text.count), file) != nil else { return nil }
        return Self.ticks(String(decoding: text.map(UInt8.init(bitPattern:)), as: UTF8.self)).map {
            Double($0) * 1e6 / Double(sysconf(Int32(_SC_CLK_TCK)))
        }
    }

    /// Ticks of a line of `/proc/PID/stat`: the name, in parentheses, may have any character.
    static func ticks(_ stat: String) -> Int? {
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        // The state, field 3, is the first of them.
        guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else {
            return nil
        }
        return user + system
    }
}
