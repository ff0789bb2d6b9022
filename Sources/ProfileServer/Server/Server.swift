// The composition root: the one place in production where the seams get their Linux sides, and where threads begin and end.

import GRPCTransport
import IOCore
import IOLinux
import ProfileService
import Profiles
import Storage

/// One running `profiled`: listens first, so that probes see it replaying, then recovers, then serves until it is told to end.
package final class Server {
    private let configuration: Configuration
    private let log: Log
    private let clock: LinuxClock
    private let threads = LinuxThreadStarter()
    private let health = HealthRegistry(services: Server.healthServices)
    private let state = ServingState()
    private let accounting = ItemAccounting()
    private var loops: [RPCLoop] = []
    private var handlers: [ServiceLoop] = []
    private var mailboxes: [CompletionMailbox] = []
    private var loopThreads: [any RunningThread] = []

    /// Names that `grpc.health.v1` knows; the empty one is the process.
    static let healthServices = ["", "profiles.v1.Profiles", "profiles.v1.Admin"]

    package init(configuration: Configuration, log: Log, clock: LinuxClock) {
        self.configuration = configuration
        self.log = log
        self.clock = clock
    }
}
