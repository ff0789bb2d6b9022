import Foundation
import IOLinux
import ProfileClient

/// What the flags say that all modes have.
struct BenchFlags {
    var address = ServerAddress(port: 50_051)
    var project = "default"
    var seconds: Double?
    var wantsJSON = false
    private var keyFile: String?
    private var tls = ClientTLS.Flags()

    /// Reads flags; ends the process if one of them is wrong.
    ///
    /// - Parameter own: Takes a flag of the mode with its value, and the value as a number (0:
    ///   no number); false: it has no such flag, or not with this value.
    @MainActor init(
        _ arguments: ArraySlice<String>,
        own: @MainActor (_ flag: String, _ value: String, _ number: Int) -> Bool
    ) {
        var arguments = arguments
        while let flag = arguments.popFirst() {
            switch flag {
            case "--help", "-h":
                output.write(usage)
                finish(0)
            case "--version":
                output.write("profile-bench \(ClientVersion.program)\n")
                finish(0)
            case "--json": self.wantsJSON = true
            case "--tls": self.tls.isOn = true
            default:
                guard let value = arguments.popFirst() else {
                    fail("\(flag) needs a value; --help lists the flags")
                }
                let number = Int(value) ?? 0
                guard self.read(flag, value, number) || own(flag, value, number) else {
                    fail("\(flag) \(value) is invalid; --help lists the flags")
                }
            }
        }
        do throws(ClientTLS.Invalid) {
            self.address = try self.tls.applied(
                to: self.address, environment: ProcessInfo.processInfo.environment)
        } catch {
            fail(error.reason)
        }
    }

    @MainActor private mutating func read(_ flag: String, _ value: String, _ number: Int) -> Bool {
        switch flag {
        case "--port" where number > 0 && number < 65_536:
            self.address = ServerAddress(port: UInt16(number))
        case "--address":
            do throws(ServerAddress.Invalid) {
                self.address = try ServerAddress.parse(value)
            } catch {
                fail("--address \(value): \(error.reason)")
            }
        case "--seconds":
            guard let seconds = Double(value), seconds > 0, seconds <= 1e9 else { return false }
            self.seconds = seconds
        case "--project": self.project = value
        case "--key-file": self.keyFile = value
        case "--ca": self.tls.authority = value
        case "--cert": self.tls.certificate = value
        case "--cert-key": self.tls.key = value
        case "--server-name": self.tls.serverName = value
        default: return false
        }
        return true
    }

    /// The key to call with, of the file or the environment; ends the process if it cannot be read.
    @MainActor func readKey() -> String? {
        do throws(ClientKey.Invalid) {
            return try ClientKey.find(
                file: self.keyFile, environment: ProcessInfo.processInfo.environment)
        } catch {
            fail(error.reason)
        }
    }
}
