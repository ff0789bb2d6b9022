import Bytes
import GRPCTransport
import Messages
import Profiles

// CountProfiles and ListProfiles: left with the `ScanWorker`, whose response comes back through the
// loop's mailbox.
extension ServiceLoop {
    func countProfiles(
        _ request: DecodedCountProfiles, _ context: RequestContext, deadlineNanoseconds: UInt64
    ) {
        let now = self.transport.nowWallMicroseconds
        self.open(
            ScanCall(
                .count, context, request.filter, peer: self.peer(of: context.token),
                from: ProfilePosition(position: 0, time: now), now: now,
                deadlineNanoseconds: deadlineNanoseconds), context)
    }

    func listProfiles(
        _ request: DecodedListProfiles, _ context: RequestContext, deadlineNanoseconds: UInt64
    ) {
        let now = self.transport.nowWallMicroseconds
        var start = ProfilePosition(position: 0, time: now)
        if !request.pageToken.isEmpty {
            guard
                let given = context.partition.store.verifyPage(
                    request.pageToken, project: context.project, filter: request.filter)
            else { return self.rejectPageToken(context.token) }
            start = given
        }
        self.open(
            ScanCall(
                .page(size: request.pageSize, mask: request.mask), context, request.filter,
                peer: self.peer(of: context.token), from: start, now: now,
                deadlineNanoseconds: deadlineNanoseconds), context)
    }

    private func open(_ scan: ScanCall, _ context: RequestContext) {
        guard let scans = context.partition.scans else {
            return self.reject(context.token, .withoutFiles)
        }
        if let failure = scans.calls.open(scan) { return self.reject(context.token, failure) }
        self.liveCalls.add(ScannedCall(self, scan, scans))
    }
}

/// A call whose scan is under way.
final class ScannedCall: LiveCall {
    var token: CallToken { self.scan.token }
    // SAFETY: the loop owns its live calls, and closes them before it ends.
    private unowned(unsafe) let loop: ServiceLoop
    private let scan: ScanCall
    private let scans: ScanCoordinator

    init(_ loop: ServiceLoop, _ scan: ScanCall, _ scans: ScanCoordinator) {
        self.loop = loop
        self.scan = scan
        self.scans = scans
    }

    func sourceIsReady() {
        guard let outcome = self.scan.takeOutcome() else { return }
        self.loop.close(self.token)
        switch outcome {
        case .failed(let failure): self.loop.reject(self.token, failure)
        case .response(let response):
            self.loop.transport.respond(to: self.token) { $0.append(response.bytes.bytes) }
        }
        self.leave()
    }

    func drain() {
        self.loop.close(self.token)
        self.loop.reject(self.token, .rejected(.draining))
        self.leave()
    }

    func cancelled() { self.leave() }

    /// The worker shall forget the scan.
    private func leave() { self.scans.calls.signal(self.scan) }
}
