import Bytes
import CMessages
import Profiles

// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena. The filter owns
// copies, since a watcher outlives the message; the project borrows from the arena until the next
// `decode`. Counts (`n_...`) bound every array.

/// A valid WatchRequest.
package struct DecodedWatch: DecodedRequest {
    /// Lies in the arena.
    package var project: UnsafeRawBufferPointer
    /// Inclusive; 0: what comes after the call.
    package var fromLSN: UInt64
    package var filter: ChangeFilter
}

extension MessageDecoder {
    /// Decodes and validates a WatchRequest.
    package func decodeWatch(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedWatch> {
        self.decode(message, as: WireSchema.shared.watchRequest) { request in
            self.checkProject(request.pointee.project)
            var filter = ChangeFilter()
            self.readKinds(request.pointee, into: &filter)
            filter.eventNames = self.loweredNames(
                request.pointee.event_names, count: request.pointee.n_event_names,
                max: ChangeFilter.itemsMax, "event_names"
            ).map { Array($0) }
            filter.attributes = self.loweredNames(
                request.pointee.attributes, count: request.pointee.n_attributes,
                max: ChangeFilter.itemsMax, "attributes"
            ).map { Array($0) }
            self.readChannels(request.pointee, into: &filter)
            filter.identifiers = self.identifiers(request.pointee)
            filter.includesHistorical = request.pointee.include_historical != 0
            return DecodedWatch(
                project: ValuePacker.text(request.pointee.project),
                fromLSN: request.pointee.from_lsn, filter: filter)
        }
    }

    /// Whether a filter has no more items than it may have.
    private func isWithinLimit(_ count: Int, _ field: StaticString) -> Bool {
        guard count > ChangeFilter.itemsMax else { return true }
        self.packer.add(
            "\(count) items, at most \(ChangeFilter.itemsMax) are allowed", at: field)
        return false
    }

    private func readKinds(
        _ request: Profiles__V1__WatchRequest, into filter: inout ChangeFilter
    ) {
        guard self.isWithinLimit(request.n_kinds, "kinds") else { return }
        for index in 0 ..< request.n_kinds {
            if let kind = ChangeKind(contract: request.kinds[index]) {
                filter.insert(kind)
            } else {
                self.packer.add("not a kind of the contract", at: "kinds", index: index)
            }
        }
    }

    private func readChannels(
        _ request: Profiles__V1__WatchRequest, into filter: inout ChangeFilter
    ) {
        guard self.isWithinLimit(request.n_channels, "channels") else { return }
        for index in 0 ..< request.n_channels {
            if let channel = Channel(
                rawValue: UInt8(clamping: request.channels[index].rawValue))
            {
                filter.insert(channel)
            } else {
                self.packer.add("not a channel of the contract", at: "channels", index: index)
            }
        }
    }

    private func identifiers(_ request: Profiles__V1__WatchRequest) -> [OwnedIdentifier] {
        guard self.isWithinLimit(request.n_identifiers, "identifiers") else { return [] }
        var identifiers: [OwnedIdentifier] = []
        self.packer.path.push("identifiers")
        for index in 0 ..< request.n_identifiers {
            self.packer.path.push(index: index)
            identifiers.append(OwnedIdentifier(self.identifierHere(request.identifiers[index])))
            self.packer.path.pop()
        }
        self.packer.path.pop()
        return identifiers
    }
}

extension ChangeKind {
    /// `nil`: not a kind of the contract.
    init?(contract value: Profiles__V1__ChangeKind) {
        let number = UInt64(value.rawValue)
        guard let kind = Self.allCases.first(where: { $0.contractNumber == number }) else {
            return nil
        }
        self = kind
    }

    /// The number in the contract.
    var contractNumber: UInt64 {
        switch self {
        case .created: 1
        case .attributesChanged: 2
        case .eventStored: 3
        case .subscriptionChanged: 4
        case .installationMoved: 5
        case .merged: 6
        case .unmerged: 7
        case .erased: 8
        case .suppressionChanged: 9
        case .identified: 10
        }
    }
}
