import CNGHTTP2
import CProtobufC
import Glibc
import IOCore
import IOLinux
import Profiles

/// What `profiled` does with its arguments.
package enum ServerMain {
    /// Runs the process; never returns while it serves.
    ///
    /// - Returns: The exit code.
    package static func run(arguments: [String], environment: [String: String]) -> ExitCode {
        let invocation: Configuration.Invocation
        do throws(ConfigurationError) {
            invocation = try Configuration.resolve(
                arguments: arguments, environment: environment, cores: LinuxProcess.cores,
                memoryBytes: LinuxProcess.memoryBytes, readFile: Self.read)
        } catch {
            Self.print("profiled: \(error.description)\n", to: STDERR_FILENO)
            return .configuration
        }
        let version = Self.version
        switch invocation {
        case .printHelp(let text), .printConfiguration(let text), .checkConfiguration(let text):
            Self.print(text, to: STDOUT_FILENO)
        case .printVersion: Self.print(version.text + "\n", to: STDOUT_FILENO)
        case .serve(let configuration):
            LinuxProcess.harden()
            // Before the first thread: all of them inherit it.
            LinuxSignals.block()
            let clock = LinuxClock()
            let log = Log(level: configuration.logLevel, clock: clock, sink: Log.standardError)
            return Server(configuration: configuration, log: log, clock: clock, version: version)
                .run()
        }
        return .success
    }

    private static var version: BuildVersion {
        BuildVersion(
            rules: Store.rulesVersion, formats: BuildVersion.writtenFormats,
            nghttp2: String(cString: nghttp2_version(0).pointee.version_str),
            protobufC: String(cString: protobuf_c_version()))
    }

    private static func read(_ path: String, _ bytesMax: Int) throws(IOError) -> [UInt8] {
        let file = try LinuxFileSystem().open(path, .read)
        defer { file.close() }
        var bytes = [UInt8](repeating: 0, count: min(try file.size(), bytesMax))
        var failure: IOError?
        // SAFETY: the array owns the memory for this call, and the read is bounded by its count.
        let count = bytes.withUnsafeMutableBytes { target in
            do throws(IOError) { return try file.read(into: target, at: 0) } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        return Array(bytes.prefix(count))
    }

    private static func print(_ text: String, to descriptor: Int32) {
        var text = text
        text.withUTF8 { _ = write(descriptor, $0.baseAddress, $0.count) }
    }
}
