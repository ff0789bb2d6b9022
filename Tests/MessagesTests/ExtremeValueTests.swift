import Bytes
import Profiles
import Testing

@testable import Messages

/// Random messages of every request with the extreme values of every kind of field: they are
/// accepted or rejected, and no arithmetic on them traps.
@Suite struct ExtremeValueTests {
    private struct Messages: SeededNumbers {
        var state: UInt64

        private static let numbers: [UInt64] = [
            0, 1, 2, 99, 101, 999, 1_001, 31_535_999, 31_536_000, 253_402_300_799, 253_402_300_800,
            UInt64(UInt8.max), UInt64(UInt32.max), 1 << 32, UInt64(Int32.max), 1 << 53,
            UInt64(Int64.max), 1 << 63, UInt64.max, UInt64(bitPattern: Int64(Int32.min)),
            1_700_000_000, 999_999_999, 1_000_000_000,
        ]
        private static let doubles: [Double] = [
            0, -0.0, .nan, .infinity, -.infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude,
            -1.5, 9_007_199_254_740_992,
        ]
        private static let texts = [
            "", "default", "a", "visit", "a b", "null", "email_address", "é", "\n", "a@b.example",
            "+33612345678", "fr", "Europe/Paris", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "https://a.example",
            "profile_id", String(repeating: "x", count: 101), String(repeating: "é", count: 513),
            String(repeating: "9", count: 26), "/backup",
        ]

        private let schema = WireSchema.shared

        private mutating func pick<Element>(_ elements: [Element]) -> Element {
            elements[self.below(elements.count)]
        }

        /// A message with about three quarters of its fields.
        mutating func message(_ index: Int, depth: Int = 0) -> [UInt8] {
            let message = self.schema.messages[index]
            var bytes: [UInt8] = []
            var oneofs: Set<UInt8> = []
            for position in 0 ..< message.fieldCount where self.below(4) > 0 {
                let field = self.schema.fields[message.firstField + position]
                guard field.oneof == 0 || oneofs.insert(field.oneof).inserted else { continue }
                let count = field.isRepeated ? self.below(4) : 1
                for _ in 0 ..< count { bytes += self.field(field, depth: depth) }
            }
            return bytes
        }

        private mutating func field(_ field: WireField, depth: Int) -> [UInt8] {
            let number = UInt64(field.number)
            switch field.kind {
            case .varint: return Wire.field(number, self.pick(Self.numbers))
            case .fixed64:
                let value = self.pick(Self.doubles).bitPattern.littleEndian
                return Wire.varint(number << 3 | 1) + withUnsafeBytes(of: value) { Array($0) }
            case .fixed32: return Wire.varint(number << 3 | 5) + [0xFF, 0xFF, 0xFF, 0xFF]
            case .string, .bytes: return Wire.field(number, self.pick(Self.texts))
            case .message where depth > 12: return []
            case .message:
                return Wire.field(number, self.message(field.message, depth: depth + 1))
            }
        }
    }

    private typealias Decode = (MessageDecoder, UnsafeRawBufferPointer, inout ByteBuffer) -> Bool

    /// Decodes, and writes the record of what is accepted; false: it was rejected.
    private static func write(
        _ decode: @escaping (MessageDecoder, UnsafeRawBufferPointer) -> Decoded<DecodedWrite>
    ) -> Decode {
        { decoder, bytes, buffer in
            guard case .message(let write) = decode(decoder, bytes) else { return false }
            decoder.appendRecord(of: write, project: ProjectID(rawValue: 7), to: &buffer)
            return true
        }
    }

    private static func read<Request>(
        _ decode: @escaping (MessageDecoder, UnsafeRawBufferPointer) -> Decoded<Request>
    ) -> Decode {
        { decoder, bytes, _ in
            if case .message = decode(decoder, bytes) { true } else { false }
        }
    }

    /// Windows as a directory with the largest limits has them.
    private static func windows(_ project: UnsafeRawBufferPointer) -> AdvisoryWindows {
        let longest = TimeRules.microseconds(ofSeconds: .max)
        return AdvisoryWindows(
            nowMicroseconds: 1_700_000_000_000_000, lateMicroseconds: longest,
            historicalMicroseconds: longest, aheadMicroseconds: longest)
    }

    private typealias Case = (root: Int, name: String, decode: Decode)

    private static var decoders: [Case] { Self.writes + Self.reads + Self.admin }

    private static var writes: [Case] {
        let schema = WireSchema.shared
        return [
            (
                schema.trackRequest.index, "Track",
                Self.write { $0.decodeTrack($1, windows: Self.windows) }
            ),
            (
                schema.trackRequest.index, "Track through protobuf-c",
                Self.write { $0.decodeAnyTrack($1, windows: Self.windows) }
            ),
            (
                schema.batchWriteRequest.index, "BatchWrite",
                Self.write { $0.decodeBatch($1, windows: Self.windows) }
            ),
            (schema.identifyRequest.index, "Identify", Self.write { $0.decodeIdentify($1) }),
            (
                schema.updateSubscriptionRequest.index, "UpdateSubscription",
                Self.write { $0.decodeUpdateSubscription($1) }
            ),
        ]
    }

    private static var reads: [Case] {
        let schema = WireSchema.shared
        return [
            (schema.getProfileRequest.index, "GetProfile", Self.read { $0.decodeGetProfile($1) }),
            (
                schema.batchGetProfilesRequest.index, "BatchGetProfiles",
                Self.read { $0.decodeBatchGetProfiles($1) }
            ),
            (schema.listEventsRequest.index, "ListEvents", Self.read { $0.decodeListEvents($1) }),
            (schema.watchRequest.index, "Watch", Self.read { $0.decodeWatch($1) }),
            (
                schema.lookupProfilesRequest.index, "LookupProfiles",
                Self.read { $0.decodeLookupProfiles($1) }
            ),
            (
                schema.confirmSubscriptionRequest.index, "ConfirmSubscription",
                Self.read { $0.decodeConfirmSubscription($1) }
            ),
            (
                schema.redeemUnsubscribeTokenRequest.index, "RedeemUnsubscribeToken",
                Self.read { $0.decodeRedeemUnsubscribeToken($1) }
            ),
            (
                schema.addSuppressionRequest.index, "AddSuppression",
                Self.read { $0.decodeAddSuppression($1) }
            ),
            (
                schema.removeSuppressionRequest.index, "RemoveSuppression",
                Self.read { $0.decodeRemoveSuppression($1) }
            ),
            (
                schema.checkSendableRequest.index, "CheckSendable",
                Self.read { $0.decodeCheckSendable($1) }
            ),
            (
                schema.createUnsubscribeTokenRequest.index, "CreateUnsubscribeToken",
                Self.read { $0.decodeCreateUnsubscribeToken($1) }
            ),
            (
                schema.listConsentHistoryRequest.index, "ListConsentHistory",
                Self.read { $0.decodeListConsentHistory($1) }
            ),
            (
                schema.verifyConsentLedgerRequest.index, "VerifyConsentLedger",
                Self.read { $0.decodeVerifyConsentLedger($1) }
            ),
            (schema.eraseProfileRequest.index, "EraseProfile", Self.read { $0.decodeErase($1) }),
        ]
    }

    private static var admin: [Case] {
        let schema = WireSchema.shared
        return [
            (
                schema.createProjectRequest.index, "CreateProject",
                Self.read { $0.decodeCreateProject($1, limits: StoreLimits()) }
            ),
            (
                schema.deleteProjectRequest.index, "DeleteProject",
                Self.read { $0.decodeDeleteProject($1) }
            ),
            (schema.getStatsRequest.index, "GetStats", Self.read { $0.decodeGetStats($1) }),
            (schema.getProjectRequest.index, "GetProject", Self.read { $0.decodeGetProject($1) }),
            (
                schema.listProjectsRequest.index, "ListProjects",
                Self.read { $0.decodeListProjects($1) }
            ),
            (
                schema.updateProjectRequest.index, "UpdateProject",
                Self.read { $0.decodeUpdateProject($1, limits: StoreLimits()) }
            ),
            (
                schema.createSnapshotRequest.index, "CreateSnapshot",
                Self.read { $0.decodeCreateSnapshot($1) }
            ),
            (schema.backupRequest.index, "Backup", Self.read { $0.decodeBackup($1) }),
        ]
    }

    @Test(arguments: ExtremeValueTests.decoders.indices)
    func noRequestTraps(index: Int) {
        let (root, name, decode) = Self.decoders[index]
        let decoder = MessageDecoder()
        var messages = Messages(state: UInt64(index) + 1)
        var record = ByteBuffer()
        for _ in 0 ..< 1_500 {
            var bytes = messages.message(root)
            // Every other one with a byte changed.
            if !bytes.isEmpty, messages.below(2) == 0 {
                bytes[messages.below(bytes.count)] = UInt8(messages.below(256))
            }
            record.removeAll()
            bytes.withUnsafeBytes { raw in
                guard decode(decoder, raw, &record), record.count > 0 else { return }
                #expect(RecordView(record.bytes) != nil, "\(name) makes a whole record")
            }
        }
    }

    // MARK: What is sent

    private static let times: [Int64] = [
        .min, .min + 1, -1, 0, 1, .max, .max - 1, TimeRules.timestampMin - 1,
        TimeRules.timestampMin, TimeRules.timestampMax, TimeRules.timestampMax + 1, -999_999,
        -1_000_000, -1_000_001,
    ]

    @Test(arguments: ExtremeValueTests.times)
    func everyTimestampThatIsSentIsLegal(microseconds: Int64) {
        let (seconds, nanoseconds) = TimeRules.parts(microseconds)
        #expect(-62_135_596_800 ... 253_402_300_799 ~= seconds && 0 ... 999_999_999 ~= nanoseconds)
        let legal = min(max(microseconds, TimeRules.timestampMin), TimeRules.timestampMax)
        #expect(seconds * 1_000_000 + Int64(nanoseconds) / 1_000 == legal)
        let encoder = MessageEncoder()
        withExtendedLifetime(encoder) {
            let encoded = encoder.timestamp(microseconds).pointee
            #expect(encoded.seconds == seconds && encoded.nanos == nanoseconds)
        }
        #expect(UTCText.text(microseconds).count == "2026-01-31T12:00:00Z".count)
    }

    @Test func secondsOfAnyLimitAddUpWithoutOverflow() {
        for seconds in [0, 1, 1 << 40, 1 << 41, UInt64.max] {
            let microseconds = TimeRules.microseconds(ofSeconds: seconds)
            #expect(!TimeRules.timestampMax.addingReportingOverflow(microseconds).overflow)
            #expect(!TimeRules.timestampMin.subtractingReportingOverflow(microseconds).overflow)
        }
    }
}
