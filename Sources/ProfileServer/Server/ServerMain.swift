import CNGHTTP2
import CProtobufC
import IOCore
import IOLinux
import IOTLS
import ProfileService
import Profiles

/// What `profiled` does with its arguments.
package enum ServerMain {
    /// Longest wait for whoever reads why the process ends, in milliseconds.
    private static let readerMilliseconds: Int32 = 1_000

    /// Runs the process; never returns while it serves.
    ///
    /// Hardens the process and takes secrets out of its environment; the first thing that it does,
    /// before anything copies the environment.
    ///
    /// - Returns: The text of the operators' keys; `nil`: the environment has none.
    package static func begin() -> [UInt8]? {
        LinuxProcess.forbidDumps()
        return LinuxSecretVariable.take(OperatorKeyFile.variable)
    }

    /// - Parameters:
    ///   - operatorKeys: What `begin` returned; overwritten.
    ///   - environment: Of the process.
    /// - Returns: The exit code.
    package static func run(
        operatorKeys: consuming [UInt8]?, environment: [String: String]
    ) -> ExitCode {
        LinuxProcess.holdStandardDescriptors()
        var keySource = OperatorKeySource.none
        if var text = operatorKeys {
            operatorKeys = nil
            do throws(OperatorKeyError) {
                keySource = .environment(try OperatorKeyFile.takeKeys(from: &text))
            } catch {
                return Self.fail(
                    "environment: \(OperatorKeyFile.variable): \(error)", .configuration)
            }
        }
        let invocation: Configuration.Invocation
        do throws(ConfigurationError) {
            invocation = try Configuration.resolve(
                arguments: LinuxProcess.arguments, environment: environment,
                cores: LinuxProcess.cores,
                memoryBytes: LinuxProcess.memoryBytes,
                hasOperatorKeyVariable: keySource.isConfigured,
                readFile: { path, bytesMax throws(IOError) in
                    try LinuxInput.read(path, bytesMax: bytesMax)
                })
        } catch {
            return Self.fail(error.description, .configuration)
        }
        let version = Self.version
        switch invocation {
        case .printHelp(let text), .printConfiguration(let text): return Self.print(text)
        case .checkConfiguration(let configuration, let text):
            return Self.check(configuration, text)
        case .printVersion: return Self.print(version.text + "\n")
        case .serve(let configuration):
            if let path = configuration.operatorKeyFile { keySource = .file(path: path) }
            do throws(SupervisorRequest.Invalid) {
                let request = try SupervisorRequest.read(
                    from: environment, processID: LinuxProcess.identifier)
                return Self.serve(configuration, version, keySource, request)
            } catch {
                return Self.fail(error.description, .configuration)
            }
        }
    }

    /// Rejects files that a start would reject: operators change them together with the settings
    /// that name them. The audit log is not created for that, the keys are read as a start does.
    private static func check(_ configuration: Configuration, _ text: String) -> ExitCode {
        if let path = configuration.operatorKeyFile {
            do throws(OperatorKeySource.Failure) {
                _ = try OperatorKeySource.file(path: path).read()
            } catch {
                return Self.fail(error.description, .configuration)
            }
        }
        if let path = configuration.auditLog {
            do throws(IOError) { try LinuxAppendFile.check(path) } catch {
                return Self.fail("audit log \(error.explanation)", .configuration)
            }
        }
        if let path = configuration.accessLog, path != Configuration.standardErrorName {
            do throws(IOError) { try LinuxAppendFile.check(path) } catch {
                return Self.fail("access log \(error.explanation)", .configuration)
            }
        }
        do throws(ServerFileFailure) {
            try ServerNetworks.check(configuration.tls)
            _ = try CertificateKeyFile.read(configuration.tls)
        } catch {
            return Self.fail(error.description, .configuration)
        }
        return Self.print(text)
    }

    private static func serve(
        _ configuration: Configuration, _ version: BuildVersion, _ keySource: OperatorKeySource,
        _ supervisorRequest: SupervisorRequest?
    ) -> ExitCode {
        LinuxProcess.harden()
        let keys: [OperatorKey]?
        do throws(OperatorKeySource.Failure) { keys = try keySource.read() } catch {
            return Self.fail(error.description, .configuration)
        }
        let supervision: Supervision?
        do throws(IOError) {
            supervision = try supervisorRequest.map { request throws(IOError) in
                Supervision(
                    socket: try LinuxNotifySocket(path: request.socketPath),
                    watchdogMicroseconds: request.watchdogMicroseconds)
            }
        } catch {
            return Self.fail("socket of the service manager: \(error.explanation)", .unexpected)
        }
        // Before the first thread: all of them inherit it.
        LinuxSignals.block()
        let server: Server
        do throws(ServerFileFailure) {
            server = try Server(
                configuration: configuration, version: version, keySource: keySource,
                operatorKeys: keys, supervision: supervision)
        } catch {
            return Self.fail(error.description, .configuration)
        }
        return server.run()
    }

    private static var version: BuildVersion {
        // SAFETY: both libraries return static data, which is copied.
        BuildVersion(
            rules: Store.rulesVersion, formats: BuildVersion.writtenFormats,
            nghttp2: String(cString: nghttp2_version(0).pointee.version_str),
            protobufC: String(cString: protobuf_c_version()),
            tlsLibrary: TLSSupport.loadedVersion)
    }

    /// Prints what a flag asked for; a text that nobody got in full is a failure.
    private static func print(_ text: String) -> ExitCode {
        guard LinuxOutput.standardOutput.write(text) != .written else { return .success }
        return Self.fail("standard output cannot be written", .unexpected)
    }

    private static func fail(_ text: String, _ code: ExitCode) -> ExitCode {
        _ = LinuxOutput.standardError.write(
            "profiled: \(text)\n", waitingAtMost: Self.readerMilliseconds)
        return code
    }
}
