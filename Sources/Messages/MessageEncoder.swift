import Bytes
import CMessages
import CProtobufC
import Profiles

/// The encoder of one loop: responses from results and images, by hand where it pays and else
/// through protobuf-c.
///
/// It has an arena of its own, so that a request stays readable while its response is built. Used
/// by one thread. Budget: no system allocation per call in the steady state.
package final class MessageEncoder {
    let arena = DecodeArena()
    /// A part of a response, before its length is known.
    var scratch = ByteBuffer(capacity: 4 << 10)

    /// One of many profiles, before its length is known.
    var item = ByteBuffer(capacity: 4 << 10)

    package init() {}

    // MARK: Parts of responses

    func timestamp(_ microseconds: Int64) -> UnsafeMutablePointer<Google__Protobuf__Timestamp> {
        let time = self.arena.make(google__protobuf__timestamp__init)
        (time.pointee.seconds, time.pointee.nanos) = TimeRules.parts(microseconds)
        return time
    }

    func profileIDText(_ id: ProfileID) -> UnsafeMutablePointer<CChar> {
        // SAFETY: the arena gives `textBytes` and one for the NUL, until its reset.
        let text = self.arena.memory(ProfileID.textBytes + 1)
        id.writeText(into: UnsafeMutableRawBufferPointer(start: text, count: ProfileID.textBytes))
        text.storeBytes(of: 0, toByteOffset: ProfileID.textBytes, as: UInt8.self)
        return text.bindMemory(to: CChar.self, capacity: ProfileID.textBytes + 1)
    }

    func identifierText(_ identifier: IdentifierView) -> UnsafeMutablePointer<CChar> {
        identifier.kind == .profileID
            ? self.profileIDText(ProfileID(binary: identifier.bytes))
            : self.arena.string(identifier.bytes)
    }

    func identifierMessage(
        _ identifier: IdentifierView
    ) -> UnsafeMutablePointer<Profiles__V1__Identifier> {
        let message = self.arena.make(profiles__v1__identifier__init)
        switch identifier.kind {
        case .profileID: message.pointee.id_case = PROFILES__V1__IDENTIFIER__ID_PROFILE_ID
        case .customID: message.pointee.id_case = PROFILES__V1__IDENTIFIER__ID_CUSTOM_ID
        case .installationID: message.pointee.id_case = PROFILES__V1__IDENTIFIER__ID_INSTALLATION_ID
        }
        // The three members of the union are the same pointer.
        message.pointee.profile_id = self.identifierText(identifier)
        return message
    }

    /// Appends the serialised form of a C message.
    static func pack(_ message: UnsafeMutableRawPointer, into output: inout ByteBuffer) {
        // SAFETY: every C message begins with its `ProtobufCMessage`; the caller's arena keeps it.
        let base = message.assumingMemoryBound(to: ProtobufCMessage.self)
        let target = output.appendUninitialized(protobuf_c_message_get_packed_size(base))
        // SAFETY: the target has exactly the size that protobuf-c asked for; an empty message
        // writes nothing.
        if let bytes = target.baseAddress?.assumingMemoryBound(to: UInt8.self) {
            protobuf_c_message_pack(base, bytes)
        }
    }
}

/// How the items of one call ended.
package struct ItemOutcomes: Equatable, Sendable {
    package var stored = 0
    package var duplicate = 0
    package var stale = 0
    package var rejected = 0

    package init() {}

    /// Adds those of another call.
    package mutating func add(_ other: ItemOutcomes) {
        self.stored += other.stored
        self.duplicate += other.duplicate
        self.stale += other.stale
        self.rejected += other.rejected
    }

    /// Counts one; what a replayed response reports was kept before.
    mutating func count(_ outcome: EventOutcome, isReplay: Bool) {
        switch outcome {
        case .stored where !isReplay: self.stored += 1
        case .stored, .duplicate: self.duplicate += 1
        case .rejected: self.rejected += 1
        }
    }
}
