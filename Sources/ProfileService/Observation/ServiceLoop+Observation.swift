import Bytes
import GRPCTransport
import IOCore
import Profiles

// What is told of calls that have ended. Nothing of this runs while nobody is to be told.

extension ServiceLoop {
    package func ended(_ call: EndedCall) {
        let isStream = call.method.map(self.isStream) ?? false
        let isLogged = self.observation?.isLogged(call.nanoseconds, isStream: isStream) ?? false
        let spans = call.trace?.isSampled == true ? self.observation?.observers.spans : nil
        guard isLogged || spans != nil else { return }
        let key = self.callers.grant(of: call.token) { $0.caller }
        let record = CallRecord(
            timeMicroseconds: self.transport.nowWallMicroseconds, nanoseconds: call.nanoseconds,
            method: call.method, code: call.code, requestBytes: call.requestBytes,
            responseBytes: call.responseBytes,
            project: call.tag > 0
                ? ProjectID(rawValue: UInt32(truncatingIfNeeded: call.tag))
                : key?.project ?? ProjectID(rawValue: 0),
            keyName: key?.keyName, peer: call.peer,
            phases: isStream ? nil : self.observation?.phases, trace: call.trace)
        if isLogged { self.observation?.observers.log?.record(record) }
        spans?.record(record)
    }

    private func isStream(_ method: Int) -> Bool {
        if case .stream = self.table[method].handling { true } else { false }
    }

    package func traceSeed() -> UInt64 { Self.seed(from: self.random) }

    static func seed(from random: any RandomSource) -> UInt64 {
        var bytes = ByteBuffer(capacity: 8)
        random.fill(bytes.appendUninitialized(8))
        var reader = ByteReader(bytes.bytes)
        return reader.read(UInt64.self)
    }

    /// Notes which project a call is of.
    func noteObserved(_ project: ProjectID, of token: CallToken) {
        self.transport.note(tag: UInt64(project.rawValue), of: token)
    }
}
