import Bytes
import Profiles
import Testing

@testable import Messages

/// Requests of the RPCs beside Track: a valid one is decoded, an invalid one is told everything
/// that is wrong with it.
@Suite struct RequestDecoderTests {
    private let decoder = MessageDecoder()
    private static let person = Wire.field(1, "default") + Wire.field(2, Wire.field(2, "ann"))

    /// Paths of the violations; `nil`: the request is valid.
    private func violations<Request>(
        _ wire: [UInt8], _ decode: (MessageDecoder, UnsafeRawBufferPointer) -> Decoded<Request>
    ) -> [String]? {
        wire.withUnsafeBytes { bytes in
            switch decode(self.decoder, bytes) {
            case .message: nil
            case .invalid(let violations, _): violations.list.map(\.path)
            case .malformed(let found): ["malformed: \(found)"]
            case .tooLarge: ["too large"]
            case .unsupported(let field): ["unsupported: \(field)"]
            }
        }
    }

    /// The record of a write, for project 7.
    private func record(
        _ wire: [UInt8],
        _ decode: (MessageDecoder, UnsafeRawBufferPointer) -> Decoded<DecodedWrite>
    ) -> [UInt8] {
        wire.withUnsafeBytes { bytes in
            guard case .message(let write) = decode(self.decoder, bytes) else { return [] }
            var buffer = ByteBuffer()
            self.decoder.appendRecord(of: write, project: ProjectID(rawValue: 7), to: &buffer)
            return Array(buffer.bytes)
        }
    }

    private static let noWindows = AdvisoryWindows(
        nowMicroseconds: 0, lateMicroseconds: 0, historicalMicroseconds: 0, aheadMicroseconds: 0)

    private static func batch(
        _ decoder: MessageDecoder, _ bytes: UnsafeRawBufferPointer
    ) -> Decoded<DecodedWrite> {
        decoder.decodeBatch(bytes) { _ in Self.noWindows }
    }

    // MARK: Identify

    @Test func anIdentifyIsWrittenAsItsRecord() throws {
        // installation_id is field 3, custom_id 4, attributes 6.
        let wire = Wire.field(1, "default") + Wire.field(3, "phone") + Wire.field(4, "ann")
        let bytes = self.record(wire) { $0.decodeIdentify($1) }
        try bytes.withUnsafeBytes { raw in
            let record = try #require(RecordView(raw))
            #expect(record.kind == RecordKind.identify.rawValue && record.operations == 1)
            var reader = ByteReader(record.payload)
            let header = try #require(IdentifyHeader(from: &reader))
            #expect(header.project == ProjectID(rawValue: 7))
            #expect(String(decoding: header.installationID, as: UTF8.self) == "phone")
            #expect(String(decoding: header.customID, as: UTF8.self) == "ann")
        }
    }

    @Test func anIdentifyWithoutAnyoneIsInvalid() {
        let decode: (MessageDecoder, UnsafeRawBufferPointer) -> Decoded<DecodedWrite> = {
            $0.decodeIdentify($1)
        }
        #expect(self.violations(Wire.field(1, "default"), decode) == ["installation_id"])
        let bad = Wire.field(1, "Bad name") + Wire.field(4, "null")
        #expect(self.violations(bad, decode) == ["project", "custom_id"])
        #expect(self.violations([0xFF], decode)?.first?.hasPrefix("malformed") == true)
    }

    // MARK: BatchWrite

    private static let innerTrack =
        Wire.field(3, Wire.field(2, "ann")) + Wire.field(4, Wire.event())

    @Test func everyWriteOfABatchHasTheProject() throws {
        let wire =
            Wire.field(1, "default") + Self.operation(Self.innerTrack)
            + Self.operation(Self.innerTrack)
        let bytes = self.record(wire, Self.batch)
        try bytes.withUnsafeBytes { raw in
            let record = try #require(RecordView(raw))
            #expect(record.kind == RecordKind.batch.rawValue && record.operations == 2)
            var reader = ByteReader(record.payload)
            let header = try #require(BatchHeader(from: &reader))
            #expect(header.project == ProjectID(rawValue: 7) && header.itemCount == 2)
            for _ in 0 ..< 2 {
                let payloadBytes = Int(reader.read(UInt32.self))
                #expect(reader.read(UInt8.self) == RecordKind.track.rawValue)
                _ = reader.read(count: 3)
                var item = ByteReader(reader.read(count: payloadBytes))
                #expect(try #require(TrackHeader(from: &item)).project == ProjectID(rawValue: 7))
            }
            #expect(reader.remaining < 8)
        }
    }

    /// `operations` with one Track.
    private static func operation(_ track: [UInt8]) -> [UInt8] {
        Wire.field(Self.operationsField, Wire.field(Self.trackField, track))
    }

    private static let operationsField: UInt64 = 3
    private static let trackField: UInt64 = 2

    @Test func anInvalidWriteRejectsTheBatchAndIsAnItemOfABestEffortOne() throws {
        let bad = Wire.field(3, Wire.field(2, "ann")) + Wire.field(4, Wire.event("a b"))
        let wire = Wire.field(1, "default") + Self.operation(Self.innerTrack) + Self.operation(bad)
        #expect(
            self.violations(wire, Self.batch) == ["operations[1].track.events[0].name"])
        let bytes = self.record(wire + Wire.field(4, 1), Self.batch)
        try bytes.withUnsafeBytes { raw in
            let record = try #require(RecordView(raw))
            #expect(record.operations == 2)
            var reader = ByteReader(record.payload)
            _ = try #require(BatchHeader(from: &reader))
            for kind in [RecordKind.track.rawValue, 0] {
                let payloadBytes = Int(reader.read(UInt32.self))
                #expect(reader.read(UInt8.self) == kind)
                _ = reader.read(count: 3 + payloadBytes)
            }
        }
    }

    @Test func anEmptyBatchIsInvalid() {
        #expect(self.violations(Wire.field(1, "default"), Self.batch) == ["operations"])
    }

    // MARK: Erase, reads, consent, projects

    @Test func anErasureNeedsAnIdentifier() {
        let decode: (MessageDecoder, UnsafeRawBufferPointer) -> Decoded<DecodedErase> = {
            $0.decodeErase($1)
        }
        #expect(self.violations(Wire.field(1, "default"), decode) == ["identifier"])
    }

    @Test func aGetProfileListsEveryUnknownPath() {
        let decode: (MessageDecoder, UnsafeRawBufferPointer) -> Decoded<DecodedGetProfile> = {
            $0.decodeGetProfile($1)
        }
        #expect(self.violations(Self.person, decode) == nil)
        #expect(self.violations(Wire.field(1, "default"), decode) == ["identifier"])
        let mask = Wire.field(1, "custom_id") + Wire.field(1, "nobody") + Wire.field(1, "x.y")
        #expect(
            self.violations(Self.person + Wire.field(3, mask), decode)
                == ["read_mask.paths[1]", "read_mask.paths[2]"])
    }

    @Test func aListingOfEventsIsBounded() {
        let decode: (MessageDecoder, UnsafeRawBufferPointer) -> Decoded<DecodedListEvents> = {
            $0.decodeListEvents($1)
        }
        #expect(self.violations(Self.person, decode) == nil)
        let names = Wire.field(3, "ok") + Wire.field(3, "a b")
        #expect(self.violations(Self.person + names, decode) == ["names[1]"])
    }

    @Test func aLookupNeedsAnAddress() {
        let decode: (MessageDecoder, UnsafeRawBufferPointer) -> Decoded<DecodedLookupProfiles> = {
            $0.decodeLookupProfiles($1)
        }
        #expect(self.violations(Wire.field(1, "default"), decode) == ["address"])
    }

    @Test func aTokenRequestNeedsItsToken() {
        let decode: (MessageDecoder, UnsafeRawBufferPointer) -> Decoded<DecodedTokenRequest> = {
            $0.decodeConfirmSubscription($1)
        }
        #expect(self.violations(Wire.field(1, "default"), decode) == ["token"])
    }

    @Test func aSubscriptionNeedsChanges() {
        #expect(
            self.violations(Self.person) { $0.decodeUpdateSubscription($1) }?.contains("changes")
                == true)
    }

    @Test func anUpdateMaskNamesOptions() {
        let project = Wire.field(1, "default")
        let options = Wire.field(2, Wire.field(5, 30))
        let decode: (MessageDecoder, UnsafeRawBufferPointer) -> Decoded<DecodedUpdateProject> = {
            $0.decodeUpdateProject($1, limits: StoreLimits())
        }
        func mask(_ paths: String...) -> [UInt8] {
            Wire.field(4, paths.reduce([]) { $0 + Wire.field(1, $1) })
        }
        func fields(_ message: [UInt8]) -> ProjectOptionFields? {
            message.withUnsafeBytes {
                guard case .message(let request) = decode(MessageDecoder(), $0) else { return nil }
                return request.fields
            }
        }
        #expect(fields(project + options) == .all)
        #expect(fields(project + options + mask()) == .all)
        #expect(fields(project + options + mask("event_retention_days")) == .eventRetention)
        #expect(fields(project + mask("options.merge_policy")) == .mergePolicy)
        #expect(
            fields(project + mask("double_opt_in", "late_window_seconds"))
                == [.doubleOptIn, .lateWindow])
        #expect(self.violations(project, decode) == ["options"])
        #expect(
            self.violations(
                project + mask("event_retention_days", "limits", "", "options.", "options"), decode)
                == (1 ... 4).map { "update_mask.paths[\($0)]" })
    }

    /// What the mask leaves out is not looked at.
    @Test func anOptionOutsideOfTheMaskMayBeInvalid() {
        let options = Wire.field(2, Wire.field(1, 9) + Wire.field(5, 1_000))
        let message = Wire.field(1, "default") + options
        func violations(_ path: String) -> [String]? {
            self.violations(message + Wire.field(4, Wire.field(1, path))) {
                $0.decodeUpdateProject($1, limits: StoreLimits())
            }
        }
        #expect(violations("topic_default_unsubscribed") == nil)
        #expect(violations("merge_policy") == ["options.merge_policy"])
        #expect(violations("event_retention_days") == ["options.event_retention_days"])
    }

    /// All that the error lists, each by its index; no more texts are made than that.
    @Test func elementsThatTheContractDoesNotHaveAreNamed() {
        func create(_ channels: [UInt8]) -> [String]? {
            self.violations(
                Wire.field(1, "shop") + Wire.field(2, Wire.field(2, channels))
            ) { $0.decodeCreateProject($1, limits: StoreLimits()) }
        }
        #expect(create([1, 2, 3]) == nil)
        #expect(create([9, 1, 7]) == ["options.double_opt_in[0]", "options.double_opt_in[2]"])
        func createKey(_ scopes: [UInt8]) -> [String]? {
            self.violations(Wire.field(1, "shop") + Wire.field(2, scopes)) {
                $0.decodeCreateKey($1, now: 0)
            }
        }
        #expect(createKey([1, 2]) == nil)
        #expect(createKey([0, 1, 9]) == ["scopes[0]", "scopes[2]"])
        let many = createKey([UInt8](repeating: 9, count: 20_000))
        #expect(many == (0 ..< Violations.listedMax).map { "scopes[\($0)]" })
    }

    @Test func requestsOfProjectsAreValidated() {
        let name = Wire.field(1, "shop-eu")
        let bad = Wire.field(1, "Shop")
        let long = Wire.field(3, String(repeating: "r", count: 101))
        func create(_ message: [UInt8]) -> [String]? {
            self.violations(message) { $0.decodeCreateProject($1, limits: StoreLimits()) }
        }
        #expect(create(name) == nil)
        #expect(
            create(bad + long + Wire.field(2, Wire.field(6, 1_001)))
                == ["project", "request_id", "options.events_per_profile_max"])
        #expect(self.violations(bad) { $0.decodeDeleteProject($1) } == ["project"])
        #expect(self.violations(name + Wire.field(3, 1)) { $0.decodeDeleteProject($1) } == nil)
        #expect(self.violations(bad) { $0.decodeGetStats($1) } == ["project"])
        #expect(
            self.violations(Wire.field(1, 1_001)) { $0.decodeListProjects($1) } == ["page_size"])
        #expect(self.violations(Wire.field(1, 1_000)) { $0.decodeListProjects($1) } == nil)
    }

    @Test func aBackupNeedsAnAbsolutePath() {
        #expect(self.violations(Wire.field(1, "tmp")) { $0.decodeBackup($1) } == ["destination"])
        #expect(self.violations(Wire.field(1, "/tmp/b")) { $0.decodeBackup($1) } == nil)
    }

    @Test(
        arguments: [
            ([], ""), (Wire.field(1, "profiles.v1.Admin"), "profiles.v1.Admin"),
            (Wire.field(9, "x") + Wire.field(8, 1), ""), ([0x0A, 5, 1], nil), ([0x0B], nil),
        ] as [([UInt8], String?)])
    func aHealthCheckNamesItsService(wire: [UInt8], service: String?) {
        #expect(wire.withUnsafeBytes { MessageDecoder.decodeHealthCheck($0) } == service)
    }
}
