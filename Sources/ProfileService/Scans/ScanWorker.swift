import Bytes
import GRPCTransport
import IOCore
import Messages
import Profiles

/// Carries out the counts and lists of a node, a slice of each in turn: loops never wait for one,
/// and the log for the lock of one shard only, for the time of `ScanSlice.workPerLock`.
///
/// Used by one thread, which its coordinator wakes.
package final class ScanWorker: Steppable {
    /// A scan under way.
    private final class Run {
        let call: ScanCall
        var scan: ProfileScan
        /// Of the start.
        let lsn: UInt64
        /// When a page ends although it is not full, monotonic.
        let pageEndNanoseconds: UInt64
        var matches = 0
        var page = ByteBuffer()

        init(_ call: ScanCall, _ scan: ProfileScan, lsn: UInt64, now: UInt64) {
            self.call = call
            self.scan = scan
            self.lsn = lsn
            // Half of the time is left to those in front of it, and to the way back.
            let deadline = call.deadlineNanoseconds
            self.pageEndNanoseconds =
                deadline == .max ? .max : now + (max(deadline, now) - now) / 2
        }
    }

    private let coordinator: ScanCoordinator
    private let limits: ScanLimits
    private let store: Store
    private let clock: any Clock
    private let encoder = MessageEncoder()
    /// Copies and images of a slice.
    private var copies = ByteBuffer(capacity: 64 << 10)
    private var images = ByteBuffer(capacity: 64 << 10)
    /// First come, first served, but those of a project behind those of others.
    private var waiting: [ScanCall] = []
    private var running: [Run] = []

    package init(_ coordinator: ScanCoordinator, store: Store, clock: any Clock) {
        self.coordinator = coordinator
        self.limits = coordinator.limits
        self.store = store
        self.clock = clock
    }

    package func step() -> NextStep {
        let requests = self.coordinator.calls.takeRequests()
        // Nobody waits: the loops have ended before.
        if requests.isStopping { return .ended }
        let now = self.clock.monotonicNanoseconds()
        for call in requests.opened { self.begin(call, now) }
        for call in requests.signalled { self.forget(call) }
        var kept: [Run] = []
        for run in self.running where !self.proceed(run, now) { kept.append(run) }
        self.running = kept
        self.promote(now)
        self.copies.shrink(toCapacity: 1 << 20)
        self.images.shrink(toCapacity: 1 << 20)
        return self.running.isEmpty ? .whenWoken : .now
    }

    // MARK: Scans that come and go

    private func begin(_ call: ScanCall, _ now: UInt64) {
        let scan = self.makeScan(call)
        if scan.usesIndex { return self.run(call, scan, now) }
        if case .count = call.question, let failure = self.rejectionOfCount(call, now) {
            self.coordinator.metrics.noteTooDear()
            return self.end(call, .failed(failure))
        }
        self.waiting.append(call)
    }

    private func makeScan(_ call: ScanCall) -> ProfileScan {
        self.store.makeScan(
            call.project, call.filter, time: call.start.time, from: call.start.position)
    }

    private func run(_ call: ScanCall, _ scan: ProfileScan, _ now: UInt64) {
        self.running.append(Run(call, scan, lsn: self.store.appliedLSN, now: now))
    }

    /// The call has ended, after or before its scan.
    private func forget(_ call: ScanCall) {
        self.waiting.removeAll { $0 === call }
        self.running.removeAll { $0.call === call }
        self.coordinator.calls.forget(call)
    }

    /// Lets as many scans run as may, first those of projects with the fewest that run.
    private func promote(_ now: UInt64) {
        while self.running.count < self.limits.scansAtOnceMax, !self.waiting.isEmpty {
            var (first, fewest) = (0, Int.max)
            for (index, call) in self.waiting.enumerated() {
                let count = self.running.count { $0.call.project == call.project }
                if count < fewest { (first, fewest) = (index, count) }
            }
            let call = self.waiting.remove(at: first)
            self.run(call, self.makeScan(call), now)
        }
    }

    /// Why a count is rejected before it runs; `nil`: it may end in time.
    private func rejectionOfCount(_ call: ScanCall, _ now: UInt64) -> CallFailure? {
        let estimate = ScanEstimate(
            slots: self.store.slotCount,
            profiles: self.store.statistics(of: call.project)?.profiles ?? 0,
            comparisons: call.filter.comparisonCount, self.limits)
        let left = max(call.deadlineNanoseconds, now) - now
        let allowed = min(left, self.limits.countNanosecondsMax)
        return estimate.nanoseconds <= allowed
            ? nil : CallFailure.tooDear(estimate, allowedNanoseconds: allowed)
    }

    private func end(_ call: ScanCall, _ outcome: ScanCall.Outcome) {
        self.coordinator.metrics.noteEnd()
        call.end(outcome)
        self.coordinator.calls.announce(call)
    }

    // MARK: Slices

    /// Carries out the next slice.
    ///
    /// - Returns: Whether the scan has ended.
    private func proceed(_ run: Run, _ now: UInt64) -> Bool {
        let call = run.call
        guard self.isServed(call.project) else {
            self.end(call, .failed(.rejected(.projectDeleted)))
            return true
        }
        let before = run.scan.work
        defer { self.coordinator.metrics.add(work: run.scan.work - before) }
        switch call.question {
        case .count:
            run.matches += self.store.countNext(&run.scan, copies: &self.copies)
            guard run.scan.isAtEnd else { return false }
            self.encoder.encodeCountProfilesResponse(
                count: UInt64(run.matches), lsn: run.lsn, into: &run.page)
        case .page(let size, let mask):
            self.readNext(run, size, mask)
            guard run.scan.isAtEnd || self.isComplete(run, size, now) else { return false }
            self.encodeEnd(of: run, size)
        }
        self.respond(to: run)
        return true
    }

    /// A project may be deleted while its profiles are scanned, and be gone soon after.
    private func isServed(_ project: ProjectID) -> Bool {
        !self.store.isDeleted(project) && self.store.statistics(of: project) != nil
    }

    private func readNext(_ run: Run, _ size: Int, _ mask: ReadMask) {
        self.images.removeAll()
        let found = self.store.readNext(
            &run.scan, limit: size - run.matches, now: run.call.now, copies: &self.copies,
            into: &self.images)
        self.encoder.encodeListedProfiles(
            found, in: self.images.bytes, mask: mask, into: &run.page)
        run.matches += found.profiles.count
    }

    private func isComplete(_ run: Run, _ size: Int, _ now: UInt64) -> Bool {
        run.matches == size || run.page.count >= self.limits.pageBytesMax
            || run.scan.work >= self.limits.pageWorkMax || now >= run.pageEndNanoseconds
    }

    private func encodeEnd(of run: Run, _ size: Int) {
        // A last page that is full needs no empty one behind it, if that is cheap to know.
        var rest = run.scan
        let isLast =
            self.store.countNext(&rest, copies: &self.copies) == 0 && rest.isAtEnd
        var token = ByteBuffer(capacity: 128)
        if !isLast {
            self.store.appendPageToken(
                project: run.call.project, filter: run.call.filter,
                position: ProfilePosition(
                    position: run.scan.position, time: run.call.start.time),
                to: &token)
        }
        self.encoder.encodeEndOfListedProfiles(
            nextPageToken: token.bytes, lsn: run.lsn, into: &run.page)
    }

    private func respond(to run: Run) {
        guard run.page.count <= MessageDecoder.responseBytesMax else {
            return self.end(
                run.call,
                .failed(
                    .limitExceeded(
                        "response_bytes_max", maximum: MessageDecoder.responseBytesMax)))
        }
        var bytes = ByteBuffer()
        swap(&bytes, &run.page)
        self.end(run.call, .response(EncodedResponse(bytes)))
    }
}

extension CallFailure {
    /// A count that cannot end in the time that it has.
    static func tooDear(_ estimate: ScanEstimate, allowedNanoseconds: UInt64) -> CallFailure {
        let (needed, allowed) = (estimate.nanoseconds / 1_000_000, allowedNanoseconds / 1_000_000)
        return .rejected(
            .limitExceeded,
            ErrorContext(
                metadata: [
                    ("limit", "count_milliseconds_max"), ("maximum", String(allowed)),
                    ("actual", String(needed)),
                ],
                message: "comparing \(estimate.profiles) profiles in \(estimate.comparisons)"
                    + " comparisons each takes \(needed) ms at best, \(allowed) ms are left; give"
                    + " the call more time, or the filter a custom ID, an installation or an"
                    + " address to begin with"))
    }
}
