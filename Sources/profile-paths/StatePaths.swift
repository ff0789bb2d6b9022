import Bytes
import Messages
import Profiles

/// What changes and reads the state.
enum StatePaths {
    /// The record alone, over all people.
    static func applyTrack() -> (Int) -> Void {
        let paths = PathStore()
        let records = (0 ..< PathStore.people).map { person in
            let message = PathBytes(PathRequests.track(person))
            paths.writeRecord(of: paths.decodeTrack(message.bytes))
            return PathBytes(paths.record.bytes)
        }
        return { index in
            paths.apply(records[index % PathStore.people].bytes)
            var reader = ByteReader(paths.results.bytes)
            _ = paths.result(&reader)
        }
    }

    /// Request, read and response, over all people.
    static func getProfile() -> (Int) -> Void {
        let (paths, requests) = (PathStore(), self.requests(PathRequests.getProfile))
        let response = PathOutput()
        return { index in
            let request = paths.decoder.decodeGetProfile(
                requests[index % PathStore.people].bytes
            ).whole
            let (image, appliedLSN) = paths.readImage(request.identifier)
            response.buffer.removeAll()
            paths.encoder.encodeGetProfileResponse(
                image, of: request, isRedirected: false, appliedLSN: appliedLSN,
                into: &response.buffer)
        }
    }

    /// Request, record, apply and response with the profile, over all people.
    static func identify() -> (Int) -> Void {
        let (paths, requests) = (PathStore(), self.requests(PathRequests.identify))
        let people = (0 ..< PathStore.people).map {
            PathBytes(Array(PathRequests.customID($0).utf8))
        }
        let response = PathOutput()
        return { index in
            let person = index % PathStore.people
            paths.apply(paths.decoder.decodeIdentify(requests[person].bytes).whole)
            var reader = ByteReader(paths.results.bytes)
            let header = paths.result(&reader)
            let (image, _) = paths.readImage(
                IdentifierView(kind: .customID, bytes: people[person].bytes))
            response.buffer.removeAll()
            _ = paths.encoder.encodeIdentifyResponse(
                header, body: &reader, image: image, into: &response.buffer)
        }
    }

    /// Request, record, apply and response, over all people: ledgers stay short.
    static func updateSubscription() -> (Int) -> Void {
        let (paths, requests) = (PathStore(), self.requests(PathRequests.updateSubscription))
        let response = PathOutput()
        return { index in
            paths.apply(
                paths.decoder.decodeUpdateSubscription(requests[index % PathStore.people].bytes)
                    .whole)
            var reader = ByteReader(paths.results.bytes)
            let header = paths.result(&reader)
            response.buffer.removeAll()
            _ = paths.encoder.encodeUpdateSubscriptionResponse(
                header, body: &reader, into: &response.buffer)
        }
    }

    /// A filter of three comparisons, which everybody matches; each time all people are passed.
    static func filterProfile() -> (Int) -> Void {
        let (paths, copies) = (PathStore(), PathOutput())
        guard
            let filter = try? CompiledFilter(
                "attributes.plan = \"gold\" AND visits >= 3 AND events.purchase.count >= 1",
                .profile)
        else { preconditionFailure("the filter is not one") }
        return { index in
            guard index % PathStore.people == 0 else { return }
            var scan = paths.store.makeScan(PathStore.project, filter, time: paths.now)
            var matches = 0
            while !scan.isAtEnd {
                matches += paths.store.countNext(&scan, copies: &copies.buffer)
            }
            precondition(matches == PathStore.people, "everybody matches")
        }
    }

    /// Each time a snapshot of all people is taken.
    static func snapshotProfile() -> (Int) -> Void {
        let paths = PathStore()
        return { index in
            guard index % PathStore.people == 0 else { return }
            var bytes = 0
            paths.store.beginSnapshot()
            while !paths.store.isSnapshotComplete {
                // As much as the applier does between two frames.
                paths.store.advanceSnapshot(bytes: 64 << 10)
                while let block = paths.store.takeSnapshotBlock() { bytes += block.bytes.count }
            }
            paths.store.endSnapshot()
            precondition(bytes > PathStore.people * 100, "the snapshot has everybody")
        }
    }

    private static func requests(_ requests: PathRequests) -> [PathBytes] {
        (0 ..< PathStore.people).map { PathBytes(requests($0)) }
    }
}
