import ProfileClient
import TestSupport

/// Asks a healed world for one fresh write: it must be responded, and a read must show it.
final class Probe: SimulatedActor {
    /// Calls before the first success, at most: a node may still say that it is starting, or that
    /// its disk is full, which it looks at once a second. With the rest between them 40 s.
    private static let attemptsMax = 2_000

    let name = "probe"
    private var asked = 1
    private var responded = 0
    private var attempts = 0
    private var client: WireClient?
    private var call: WireCall?
    /// No call before this time, in monotonic nanoseconds.
    private var restUntil: UInt64 = 0

    /// It is idle only once every question was responded, so a run ends no sooner.
    var isIdle: Bool { self.responded == self.asked }

    /// Asks for one more write.
    func ask() { self.asked += 1 }

    func turn(_ world: World) -> Bool {
        guard world.isHealing, !self.isIdle else { return false }
        if let call = self.call { return self.look(at: call, world) }
        guard world.isWhole, world.nowNanoseconds >= self.restUntil else { return false }
        if self.client?.isClosed ?? true { self.client = world.connect() }
        guard let client = self.client else { return false }
        self.attempts += 1
        guard self.attempts <= Self.attemptsMax else {
            world.fail(Violation("liveness", "a healed node rejects a write for ever"))
            return true
        }
        let request =
            #"{"project":"default","custom_id":"probe","#
            + #""attributes":{"set":{"n":\#(self.asked)}}}"#
        do {
            let value = try JSONParser.parse(request.utf8)
            self.call = try client.call(.profiles("Identify"), value)
        } catch {
            preconditionFailure("the request of the probe is right")
        }
        return true
    }

    private func look(at call: WireCall, _ world: World) -> Bool {
        guard call.hasEnded else { return false }
        self.call = nil
        self.restUntil = world.nowNanoseconds + ClientTimes.retryNanoseconds
        if call.status == 0 {
            self.responded += 1
            self.client?.close()
            self.client = nil
        } else if let status = call.status, ![8, 14].contains(status) {
            world.fail(
                Violation("liveness", "a healed node rejects a write: \(status) \(call.message)"))
        }
        return true
    }
}
