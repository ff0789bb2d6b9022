import Bytes
import IOLinux
import IOTLS

/// The contents of the files that settings name.
struct TLSFiles {
    /// In bytes: a chain of ten certificates of 6 KiB, and as large a file of authorities as one
    /// can look through.
    private static let bytesMax = 1 << 20
    /// In bytes: an RSA key of 16,384 bits has 12 KiB.
    private static let keyBytesMax = 32 << 10

    private let certificates: [UInt8]
    private var key: [UInt8]
    private let clientAuthorities: [UInt8]?
    private let verifyDepth: Int

    init(_ settings: TLSSettings) throws(ServerFileFailure) {
        guard let certificateFile = settings.certificateFile, let keyFile = settings.keyFile else {
            preconditionFailure("settings without both are rejected")
        }
        self.certificates = try Self.read(certificateFile)
        if let path = settings.clientAuthorityFile {
            self.clientAuthorities = try Self.read(path)
        } else {
            self.clientAuthorities = nil
        }
        self.verifyDepth = settings.verifyDepth
        do throws(LinuxSecretFile.Failure) {
            self.key = try LinuxSecretFile.read(keyFile, bytesMax: Self.keyBytesMax)
        } catch {
            throw ServerFileFailure(description: "TLS: private key \(keyFile): \(error)")
        }
    }

    /// Overwrites the private key: OpenSSL has its own copy.
    mutating func wipeKey() {
        // SAFETY: the array owns the bytes for the call.
        self.key.withUnsafeMutableBytes { $0.wipe() }
    }

    /// - Parameter hasClients: Whether clients show certificates, if an authority is configured.
    func identity(hasClients: Bool) -> TLSIdentity {
        TLSIdentity(
            certificates: self.certificates, key: self.key,
            clientAuthorities: hasClients ? self.clientAuthorities : nil,
            verifyDepth: self.verifyDepth)
    }

    private static func read(_ path: String) throws(ServerFileFailure) -> [UInt8] {
        do throws(LinuxSecretFile.Failure) {
            return try LinuxSecretFile.readPublic(path, bytesMax: self.bytesMax)
        } catch {
            throw ServerFileFailure(description: "TLS: \(path): \(error)")
        }
    }
}
