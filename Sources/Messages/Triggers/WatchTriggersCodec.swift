import Bytes
import CMessages
import Profiles

// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it until the next `decode`; responses are made in the encoder's arena and
// serialised before its reset. Counts (`n_...`) bound every array.

/// A valid WatchTriggersRequest; what it borrows lies in the arena.
package struct DecodedWatchTriggers: DecodedRequest {
    /// Empty: that of the stream.
    package var project: UnsafeRawBufferPointer
    /// Whether the request names a trigger.
    package var namesTrigger: Bool
    /// `nil`: no trigger can have the id that was sent, or none was.
    package var trigger: ProfileID?
    /// In the order of the request.
    package var acknowledged: [FiringID]
    /// Deliveries without an acknowledgement, 1 ... `inFlightLimit`.
    package var inFlightMax: Int
}

extension DecodedWatchTriggers {
    /// Deliveries of one stream without an acknowledgement, at most and by default.
    package static let inFlightLimit = 10_000
    package static let inFlightDefault = 100
    /// Acknowledgements of one message: all that one stream can have to make.
    package static let acknowledgementsMax = Self.inFlightLimit
}

extension MessageDecoder {
    /// Decodes and validates a WatchTriggersRequest.
    ///
    /// - Parameter isFirst: It must name a project and a trigger; later ones need not.
    package func decodeWatchTriggers(
        _ message: UnsafeRawBufferPointer, isFirst: Bool
    ) -> Decoded<DecodedWatchTriggers> {
        self.decode(message, as: WireSchema.shared.watchTriggersRequest) { request in
            let project = ValuePacker.text(request.pointee.project)
            if isFirst || project.count > 0 { self.checkProject(request.pointee.project) }
            let trigger = ValuePacker.text(request.pointee.trigger_id)
            if isFirst, trigger.isEmpty { self.packer.add("missing", at: "trigger_id") }
            let inFlight = Int(request.pointee.in_flight_max)
            if inFlight > DecodedWatchTriggers.inFlightLimit {
                self.packer.add(
                    "\(inFlight), at most \(DecodedWatchTriggers.inFlightLimit) are allowed",
                    at: "in_flight_max")
            }
            return DecodedWatchTriggers(
                project: project, namesTrigger: !trigger.isEmpty,
                trigger: ProfileID(text: trigger),
                acknowledged: self.acknowledged(request.pointee),
                inFlightMax: inFlight == 0 ? DecodedWatchTriggers.inFlightDefault : inFlight)
        }
    }

    private func acknowledged(_ request: Profiles__V1__WatchTriggersRequest) -> [FiringID] {
        let (count, maximum) = (
            request.n_acknowledged_firing_ids, DecodedWatchTriggers.acknowledgementsMax
        )
        guard count <= maximum else {
            self.packer.add(
                "\(count) ids, at most \(maximum) are allowed", at: "acknowledged_firing_ids")
            return []
        }
        var firings: [FiringID] = []
        firings.reserveCapacity(count)
        for index in 0 ..< count {
            if let firing = FiringID(text: ValuePacker.text(request.acknowledged_firing_ids[index]))
            {
                firings.append(firing)
            } else {
                self.packer.add(
                    "not the id of a firing", at: "acknowledged_firing_ids", index: index)
            }
        }
        return firings
    }
}

/// What a delivery says beside its event.
package struct FiringDelivery {
    package var trigger: ProfileID
    package var firing: FiringID
    /// Of the profile as it is now.
    package var profileID: ProfileID
    /// Empty: none.
    package var customID: UnsafeRawBufferPointer
    /// From 1.
    package var attempt: UInt32
    /// Firings of the trigger that were dropped, in all.
    package var lost: UInt64

    package init(
        trigger: ProfileID, firing: FiringID, profileID: ProfileID,
        customID: UnsafeRawBufferPointer, attempt: UInt32, lost: UInt64
    ) {
        self.trigger = trigger
        self.firing = firing
        self.profileID = profileID
        self.customID = customID
        self.attempt = attempt
        self.lost = lost
    }
}

extension MessageEncoder {
    /// Appends the WatchTriggersResponse of a delivery.
    ///
    /// - Parameter event: Its image (`StoredEventView`).
    package func encodeDelivery(
        _ delivery: FiringDelivery, event: UnsafeRawBufferPointer, into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__watch_triggers_response__init)
        var reader = ByteReader(event)
        response.pointee.lsn = delivery.firing.eventLSN
        response.pointee.trigger_id = self.profileIDText(delivery.trigger)
        response.pointee.profile_id = self.profileIDText(delivery.profileID)
        response.pointee.event = self.storedEvent(&reader)
        response.pointee.firing_id = self.profileIDText(delivery.firing.bits)
        response.pointee.custom_id = self.arena.string(delivery.customID)
        response.pointee.delivery_attempt = delivery.attempt
        response.pointee.lost = delivery.lost
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    /// Appends the WatchTriggersResponse of a heartbeat.
    package func encodeTriggerHeartbeat(
        _ trigger: ProfileID, lost: UInt64, into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__watch_triggers_response__init)
        response.pointee.trigger_id = self.profileIDText(trigger)
        response.pointee.heartbeat = 1
        response.pointee.lost = lost
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }
}
