import IOCore
import IOLinux
import IOTLS
import ProfileService

/// Where the server's sockets come from: encrypted as configured, with certificates that can be
/// read again.
struct ServerNetworks: Sendable {
    /// For gRPC.
    let calls: any Network
    /// For probes and metrics.
    let admin: any Network
    /// `nil`: nothing is encrypted.
    let metrics: TLSMetrics?
    private let settings: TLSSettings
    private let log: Log
    #if TLS
        private let callContexts: TLSContexts?
        private let adminContexts: TLSContexts?
    #endif

    /// Warned of at each reading if a certificate ends sooner than this, in seconds: two weeks.
    private static let shortValiditySeconds: Int64 = 14 * 86_400

    #if TLS
        /// - Throws: `ServerFileFailure` about the first file that is not usable.
        init(_ settings: TLSSettings, log: Log) throws(ServerFileFailure) {
            self.settings = settings
            self.log = log
            let base = LinuxNetwork()
            guard settings.isOn else {
                (self.calls, self.admin, self.metrics) = (base, base, nil)
                (self.callContexts, self.adminContexts) = (nil, nil)
                return
            }
            let loaded = try Self.load(settings)
            let metrics = TLSMetrics()
            self.metrics = metrics
            func contexts(_ context: TLSContext) -> TLSContexts {
                TLSContexts(context, metrics: metrics) { peer, reason in
                    log.debug(
                        "TLS handshake failed", LogField("peer", peer), LogField("reason", reason))
                }
            }
            let calls = contexts(loaded.calls)
            self.callContexts = calls
            self.calls = TLSNetwork(base, calls)
            if let context = loaded.admin {
                let admin = contexts(context)
                self.adminContexts = admin
                self.admin = TLSNetwork(base, admin)
            } else {
                self.adminContexts = nil
                self.admin = base
            }
            self.report(loaded.calls, "TLS certificate read")
        }

        private struct Loaded {
            let calls: TLSContext
            /// `nil`: the admin listener is not encrypted.
            let admin: TLSContext?
        }

        private static func load(_ settings: TLSSettings) throws(ServerFileFailure) -> Loaded {
            var files = try TLSFiles(settings)
            defer { files.wipeKey() }
            do throws(TLSError) {
                let calls = try TLSContext(files.identity(hasClients: true), for: .http2)
                guard settings.admin != .off else { return Loaded(calls: calls, admin: nil) }
                let admin = try TLSContext(
                    files.identity(hasClients: settings.admin == .mutual), for: .http1)
                return Loaded(calls: calls, admin: admin)
            } catch {
                throw ServerFileFailure(description: "TLS: \(error)")
            }
        }

        /// Reads the certificates again. Files that are not usable leave those before in force.
        func reload() {
            guard let callContexts = self.callContexts else { return }
            do throws(ServerFileFailure) {
                let loaded = try Self.load(self.settings)
                callContexts.replace(loaded.calls)
                if let admin = loaded.admin { self.adminContexts?.replace(admin) }
                self.report(loaded.calls, "TLS certificate read again: new connections get it")
            } catch {
                self.log.error(
                    "TLS certificate not read again: the one before stays in force",
                    LogField("reason", error.description))
            }
        }

        private func report(_ context: TLSContext, _ message: StaticString) {
            let now = LinuxClock().wallMicroseconds() / 1_000_000
            let validSeconds = context.validUntilSeconds - now
            self.metrics?.certificateRead(validUntilSeconds: context.validUntilSeconds)
            let field = LogField("valid_seconds", Int(validSeconds))
            self.log.info(message, field)
            if validSeconds < Self.shortValiditySeconds {
                self.log.warning(
                    validSeconds > 0
                        ? "TLS certificate ends soon" : "TLS certificate has ended", field)
            }
        }

        /// Whether the files would make a server.
        static func check(_ settings: TLSSettings) throws(ServerFileFailure) {
            if settings.isOn { _ = try self.load(settings) }
        }
    #else
        init(_ settings: TLSSettings, log: Log) throws(ServerFileFailure) {
            precondition(!settings.isOn, "a configuration with TLS is rejected")
            let base = LinuxNetwork()
            (self.calls, self.admin, self.metrics) = (base, base, nil)
            (self.settings, self.log) = (settings, log)
        }

        func reload() {}

        static func check(_ settings: TLSSettings) throws(ServerFileFailure) {}
    #endif

    var isEncrypted: Bool { self.metrics != nil }
}
