import Bytes
import CMessages
import Profiles

// SAFETY: responses are made in the encoder's arena and serialised before its reset; arrays of the
// arena have as many elements as were asked for.

extension MessageEncoder {
    /// Appends the CreateTriggerResponse of a result that was carried out: the trigger as it was
    /// made.
    package func encodeCreateTriggerResponse(
        _ header: ResultHeader, body: inout ByteReader, into output: inout ByteBuffer
    ) {
        guard let result = TriggerResultBody(from: &body, lsn: header.lsn) else {
            preconditionFailure("a result of this process is whole")
        }
        self.arena.reset()
        let response = self.arena.make(profiles__v1__create_trigger_response__init)
        response.pointee.trigger = self.trigger(result.trigger)
        response.pointee.lsn = header.lsn
        response.pointee.replayed = header.isReplayed ? 1 : 0
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    /// Appends the ListTriggersResponse.
    package func encodeListTriggersResponse(
        _ triggers: [TriggerInfo], into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__list_triggers_response__init)
        response.pointee.n_triggers = triggers.count
        response.pointee.triggers = self.arena.pointers(triggers.count)
        for (index, trigger) in triggers.enumerated() {
            response.pointee.triggers[index] = self.trigger(trigger)
        }
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    /// Appends the DeleteTriggerResponse of a result that was carried out.
    package func encodeDeleteTriggerResponse(
        _ header: ResultHeader, into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__delete_trigger_response__init)
        response.pointee.lsn = header.lsn
        response.pointee.replayed = header.isReplayed ? 1 : 0
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    private func trigger(_ trigger: TriggerInfo) -> UnsafeMutablePointer<Profiles__V1__Trigger> {
        let (definition, message) = (
            trigger.definition, self.arena.make(profiles__v1__trigger__init)
        )
        message.pointee.trigger_id = self.profileIDText(trigger.id)
        message.pointee.event_name = self.text(definition.eventName)
        message.pointee.guard_channel = Profiles__V1__Channel(UInt32(definition.guardChannel))
        message.pointee.guard_topic = self.text(definition.guardTopic)
        message.pointee.cap = definition.cap
        message.pointee.cap_period_seconds = definition.capPeriodSeconds
        message.pointee.filter = self.text(definition.filter)
        message.pointee.display_name = self.text(definition.displayName)
        message.pointee.delay_seconds = definition.delaySeconds
        message.pointee.unless_event_name = self.text(definition.unlessEventName)
        message.pointee.ack_deadline_seconds = definition.ackDeadlineSeconds
        message.pointee.created_at = self.timestamp(trigger.createdAt)
        message.pointee.pending = UInt64(trigger.pending)
        message.pointee.lost = trigger.lost
        return message
    }

    private func text(_ bytes: [UInt8]) -> UnsafeMutablePointer<CChar> {
        bytes.withUnsafeBytes { self.arena.string($0) }
    }
}
