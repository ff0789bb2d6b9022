import Bytes
import Profiles

@testable import ProfileService

/// Records of several projects, as the service appends them.
enum ProjectRecords {
    private static var none: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: nil, count: 0)
    }

    static func with<Result>(_ text: String, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        Array(text.utf8).withUnsafeBytes(body)
    }

    private static func record(
        _ kind: RecordKind, operations: Int = 1, _ write: (inout ByteBuffer) -> Void
    ) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(kind, in: &buffer)
        write(&buffer)
        endRecord(at: start, operations: operations, in: &buffer)
        return Array(buffer.bytes)
    }

    static func create(_ name: String, days: UInt32 = 0, requestID: String = "") -> [UInt8] {
        var options = ProjectOptions()
        options.eventRetentionDays = days
        return Self.record(.createProject) { buffer in
            Self.with(name) { name in
                Self.with(requestID) {
                    CreateProjectCommand(requestID: $0, name: name, options: options)
                        .write(into: &buffer)
                }
            }
        }
    }

    static func update(_ project: UInt32, latestWins: Bool) -> [UInt8] {
        var options = ProjectOptions()
        options.latestWins = latestWins
        return Self.record(.updateProject) {
            ProjectCommand(
                project: ProjectID(rawValue: project), requestID: Self.none, options: options,
                fields: [.mergePolicy]
            ).write(into: &$0)
        }
    }

    static func delete(_ project: UInt32, delay: Int64, isUndo: Bool = false) -> [UInt8] {
        Self.record(.deleteProject) {
            DeleteProjectCommand(
                project: ProjectID(rawValue: project), requestID: Self.none, isUndo: isUndo,
                delay: delay
            ).write(into: &$0)
        }
    }

    static func track(
        _ project: UInt32, _ name: String, device: Bool = false, event: String,
        requestID: String = ""
    ) -> [UInt8] {
        Self.record(.track) { buffer in
            Self.with(name) { name in
                Self.with(requestID) { requestID in
                    TrackHeader(
                        project: ProjectID(rawValue: project), flags: [], platform: 3,
                        eventCount: 1,
                        identifier: IdentifierView(
                            kind: device ? .installationID : .customID, bytes: name),
                        requestID: requestID, sourceName: Self.none, sentAt: 0, expectedRevision: 0
                    ).write(into: &buffer)
                }
            }
            buffer.append(UInt8(0))
            buffer.appendVarint(0)
            Self.with(event) { buffer.appendPrefixed($0) }
            buffer.appendVarint(0)
            buffer.appendVarint(0)
            // The prefixed field list of no attributes.
            buffer.appendVarint(1)
            buffer.appendVarint(0)
        }
    }

    static func identify(_ project: UInt32, device: String, person: String, email: String = "")
        -> [UInt8]
    {
        Self.record(.identify) { buffer in
            Self.with(device) { device in
                Self.with(person) { person in
                    IdentifyHeader(
                        project: ProjectID(rawValue: project), flags: [], platform: 3,
                        installationID: device, customID: person, requestID: Self.none,
                        sourceName: Self.none, occurredAt: 0, sentAt: 0, expectedRevision: 0
                    ).write(into: &buffer)
                }
            }
            buffer.appendVarint(email.isEmpty ? 0 : 1)
            guard !email.isEmpty else { return }
            Self.with("email_address") { buffer.appendPrefixed($0) }
            buffer.append(PatchAction.set.rawValue)
            Self.with(email) { buffer.appendPacked(text: $0, isURL: false) }
        }
    }

    static func optOut(_ project: UInt32, _ person: String, topic: String) -> [UInt8] {
        Self.record(.updateSubscription) { buffer in
            Self.with(person) {
                SubscriptionHeader(
                    project: ProjectID(rawValue: project), source: .user, changeCount: 1,
                    identifier: IdentifierView(kind: .customID, bytes: $0), requestID: Self.none,
                    occurredAt: nil, sentAt: nil, expectedRevision: nil, evidence: nil
                ).write(into: &buffer)
            }
            Self.with(topic) {
                SubscriptionChangeView(channel: .email, topic: $0, state: .unsubscribed)
                    .write(into: &buffer)
            }
        }
    }

    static func suppress(_ project: UInt32, _ email: String, in store: Store) -> [UInt8] {
        Self.record(.addSuppression) { buffer in
            let address = Self.with(email) {
                store.addressHash(ProjectID(rawValue: project), .email, $0)
            }
            SuppressionCommand(
                project: ProjectID(rawValue: project), reason: .manual, address: address,
                requestID: Self.none
            ).write(into: &buffer)
        }
    }

    static func erase(_ project: UInt32, _ person: String, in store: Store) -> [UInt8] {
        Self.record(.erase) { buffer in
            Self.with(person) {
                store.withEraseCommand(
                    ProjectID(rawValue: project), IdentifierView(kind: .customID, bytes: $0),
                    requestID: Self.none, expectedRevision: nil
                ) { $0.write(into: &buffer) }
            }
        }
    }
}

extension ServiceFixture {
    /// Appends records, each in a frame of its own a millisecond later; returns their results'
    /// rejections.
    @discardableResult
    func append(_ records: [[UInt8]]) -> [Rejection?] {
        records.map { record in
            self.clock.advance(nanoseconds: 1_000_000)
            let batch = LogBatch(loop: 0)
            record.withUnsafeBytes { batch.records.append($0) }
            _ = self.pipeline.reserve(bytes: record.count)
            batch.slots.append(
                BatchSlot(
                    token: Self.token(0), recordOffset: 0, recordBytes: record.count,
                    operations: Int(record[6]) | Int(record[7]) << 8, items: 0))
            return self.commit([batch]).first.flatMap { Self.header($0, 0)?.rejection }
        }
    }

    /// A bit of everything in a project.
    func fill(_ project: UInt32, people: Int) {
        for number in 0 ..< people {
            self.append([
                ProjectRecords.track(project, "d\(number)", device: true, event: "e\(number % 3)"),
                ProjectRecords.identify(
                    project, device: "d\(number)", person: "p\(number)",
                    email: "p\(number)@example.com"),
                ProjectRecords.track(project, "x\(number)", device: true, event: "visit"),
                ProjectRecords.identify(project, device: "x\(number)", person: "p\(number)"),
                ProjectRecords.track(
                    project, "p\(number)", event: "e\(number % 5)", requestID: "r\(number)"),
                ProjectRecords.optOut(project, "p\(number)", topic: "news"),
                ProjectRecords.suppress(project, "p\(number)@example.com", in: self.store),
            ])
            if number % 4 == 3 {
                self.append([ProjectRecords.erase(project, "p\(number)", in: self.store)])
            }
        }
    }
}
