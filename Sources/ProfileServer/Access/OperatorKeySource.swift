import IOCore
import IOLinux
import ProfileService

/// Where the operators' keys come from, in a running process.
enum OperatorKeySource: Sendable {
    /// No call needs a key.
    case none
    /// They were taken out of the environment, once.
    case environment([OperatorKey])
    case file(path: String)

    /// Whether calls need a key.
    var isConfigured: Bool {
        if case .none = self { false } else { true }
    }

    /// Why the keys cannot be had, for an operator.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// The keys as they are now; `nil`: none are configured.
    ///
    /// - Parameter allowsNone: A file without keys is one with zero keys, not an error.
    /// - Throws: `Failure`, whose text has nothing of a key.
    func read(allowsNone: Bool = false) throws(Failure) -> [OperatorKey]? {
        switch self {
        case .none: return nil
        case .environment(let keys): return keys
        case .file(let path): return try Self.read(path, allowsNone: allowsNone)
        }
    }

    private static func read(
        _ path: String, allowsNone: Bool
    ) throws(Failure) -> [OperatorKey] {
        var text: [UInt8]
        do throws(LinuxSecretFile.Failure) {
            text = try LinuxSecretFile.read(path, bytesMax: OperatorKeyFile.bytesMax + 1)
        } catch {
            throw Failure(description: "operator key file \(path): \(error)")
        }
        do throws(OperatorKeyError) { return try OperatorKeyFile.takeKeys(from: &text) } catch {
            if allowsNone, error == .empty { return [] }
            throw Failure(description: "operator key file \(path): \(error)")
        }
    }
}
