import Bytes
import CMessages
import Profiles

// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it until the next `decode`.

/// A valid CreateTriggerRequest; what it borrows lies in the arena.
package struct DecodedCreateTrigger: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var definition: TriggerDefinition
}

/// A valid ListTriggersRequest; what it borrows lies in the arena.
package struct DecodedListTriggers: DecodedRequest {
    package var project: UnsafeRawBufferPointer
}

/// A valid DeleteTriggerRequest; what it borrows lies in the arena.
package struct DecodedDeleteTrigger: DecodedRequest {
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    /// `nil`: no trigger can have the id that was sent.
    package var trigger: ProfileID?
}

extension MessageDecoder {
    /// Decodes and validates a CreateTriggerRequest. What the server makes of a trigger (its id,
    /// when it was made, what waits) is ignored, so that a listed one can be sent again.
    package func decodeCreateTrigger(_ message: UnsafeRawBufferPointer)
        -> Decoded<DecodedCreateTrigger>
    {
        self.decode(message, as: WireSchema.shared.createTriggerRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedCreateTrigger(
                project: ValuePacker.text(request.pointee.project),
                requestID: self.id(request.pointee.request_id, "request_id"),
                definition: self.definition(request.pointee.trigger))
        }
    }

    private func definition(_ trigger: UnsafeMutablePointer<Profiles__V1__Trigger>?)
        -> TriggerDefinition
    {
        guard let trigger = trigger?.pointee else {
            self.packer.add("missing", at: "trigger")
            return TriggerDefinition(eventName: [])
        }
        self.packer.path.push("trigger")
        defer { self.packer.path.pop() }
        var definition = TriggerDefinition(
            eventName: self.eventName(trigger.event_name, at: "event_name", isRequired: true))
        definition.unlessEventName = self.eventName(
            trigger.unless_event_name, at: "unless_event_name", isRequired: false)
        self.setGuard(trigger, in: &definition)
        self.setCap(trigger, in: &definition)
        self.setTimes(trigger, in: &definition)
        definition.displayName = [UInt8](self.displayName(trigger.display_name))
        definition.filter = self.filter(ofTrigger: trigger.filter)
        return definition
    }

    /// A name in lower case.
    private func eventName(
        _ string: UnsafePointer<CChar>?, at field: StaticString, isRequired: Bool
    ) -> [UInt8] {
        let text = ValuePacker.text(string)
        if text.isEmpty {
            if isRequired { self.packer.add("missing", at: field) }
        } else if !TextRules.isName(text) {
            self.packer.add(
                "\(text.count) bytes that do not match ^[a-zA-Z0-9_]{1,30}$", at: field)
        }
        return text.map { TextRules.lower($0) }
    }

    private func setGuard(
        _ trigger: Profiles__V1__Trigger, in definition: inout TriggerDefinition
    ) {
        let number = trigger.guard_channel.rawValue
        definition.guardTopic = [UInt8](self.topic(trigger.guard_topic, at: "guard_topic"))
        guard number != 0 else {
            if !definition.guardTopic.isEmpty {
                self.packer.add("a topic without guard_channel", at: "guard_topic")
            }
            return
        }
        guard let channel = Channel(rawValue: UInt8(clamping: number)) else {
            return self.packer.add("not a channel of the contract", at: "guard_channel")
        }
        definition.guardChannel = channel.rawValue
    }

    private func setCap(
        _ trigger: Profiles__V1__Trigger, in definition: inout TriggerDefinition
    ) {
        let (cap, period) = (trigger.cap, trigger.cap_period_seconds)
        if cap > TriggerLimits.capMax {
            self.packer.add("\(cap), at most \(TriggerLimits.capMax) is allowed", at: "cap")
        } else if cap == 0, period != 0 {
            self.packer.add("missing beside cap_period_seconds", at: "cap")
        }
        if period > TriggerLimits.capPeriodSecondsMax {
            self.packer.add(
                "\(period) seconds, at most \(TriggerLimits.capPeriodSecondsMax) are allowed",
                at: "cap_period_seconds")
        } else if period == 0, cap != 0 {
            self.packer.add("missing beside cap", at: "cap_period_seconds")
        }
        (definition.cap, definition.capPeriodSeconds) = (cap, period)
    }

    private func setTimes(
        _ trigger: Profiles__V1__Trigger, in definition: inout TriggerDefinition
    ) {
        definition.delaySeconds = trigger.delay_seconds
        if trigger.delay_seconds > TriggerLimits.delaySecondsMax {
            self.packer.add(
                "\(trigger.delay_seconds) seconds, at most \(TriggerLimits.delaySecondsMax) are"
                    + " allowed", at: "delay_seconds")
        }
        if trigger.delay_seconds == 0, !definition.unlessEventName.isEmpty {
            self.packer.add("an event to wait for without delay_seconds", at: "unless_event_name")
        }
        let seconds = trigger.ack_deadline_seconds
        guard seconds != 0 else { return }
        definition.ackDeadlineSeconds = seconds
        let allowed = TriggerLimits.ackDeadlineSeconds
        guard !allowed.contains(seconds) else { return }
        self.packer.add(
            "\(seconds) seconds, \(allowed.lowerBound) to \(allowed.upperBound) are allowed",
            at: "ack_deadline_seconds")
    }

    private func filter(ofTrigger string: UnsafePointer<CChar>?) -> [UInt8] {
        let text = ValuePacker.text(string)
        guard !text.isEmpty else { return [] }
        if case .rejected(let violation) = FilterViolations.compile(
            text, .trigger, at: self.packer.path.text("filter"))
        {
            self.packer.violations.addOfFilter(violation)
        }
        return [UInt8](text)
    }

    package func decodeListTriggers(_ message: UnsafeRawBufferPointer)
        -> Decoded<DecodedListTriggers>
    {
        self.decode(message, as: WireSchema.shared.listTriggersRequest) { request in
            self.checkProject(request.pointee.project)
            return DecodedListTriggers(project: ValuePacker.text(request.pointee.project))
        }
    }

    package func decodeDeleteTrigger(_ message: UnsafeRawBufferPointer)
        -> Decoded<DecodedDeleteTrigger>
    {
        self.decode(message, as: WireSchema.shared.deleteTriggerRequest) { request in
            self.checkProject(request.pointee.project)
            let id = ValuePacker.text(request.pointee.trigger_id)
            if id.isEmpty { self.packer.add("missing", at: "trigger_id") }
            return DecodedDeleteTrigger(
                project: ValuePacker.text(request.pointee.project),
                requestID: self.id(request.pointee.request_id, "request_id"),
                trigger: ProfileID(text: id))
        }
    }
}
