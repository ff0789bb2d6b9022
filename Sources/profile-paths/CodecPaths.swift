import Bytes
import Messages
import Profiles

/// Requests into records, results into responses.
enum CodecPaths {
    static func decodePlainTrack() -> (Int) -> Void {
        self.decode(PathRequests.track(0))
    }

    static func decodeNestedTrack() -> (Int) -> Void {
        self.decode(PathRequests.nestedTrack(0))
    }

    private static func decode(_ request: [UInt8]) -> (Int) -> Void {
        let (paths, message) = (PathStore(people: 1), PathBytes(request))
        return { _ in paths.writeRecord(of: paths.decodeTrack(message.bytes)) }
    }

    static func encodeTrackResponse() -> (Int) -> Void {
        let (paths, message) = (PathStore(people: 1), PathBytes(PathRequests.track(0)))
        paths.apply(paths.decodeTrack(message.bytes))
        let response = PathOutput()
        return { _ in
            response.buffer.removeAll()
            var reader = ByteReader(paths.results.bytes)
            let header = paths.result(&reader)
            let outcomes = paths.encoder.encodeTrackResponse(
                header, body: &reader, sequence: 0, into: &response.buffer)
            precondition(outcomes.stored == 1, "the event is stored")
        }
    }
}
