import Bytes
import CMessages
import CProtobufC
import Profiles

/// An event that the wire check rejected, as it was sent; valid during one `decode…`.
struct RejectedEvent {
    var index: Int
    // SAFETY: borrowed from the message being decoded, and used before the decoder returns.
    var bytes: UnsafeRawBufferPointer
    var violations: Violations

    init(_ item: WireItem, of message: UnsafeRawBufferPointer) {
        self.index = item.index
        self.bytes = UnsafeRawBufferPointer(rebasing: message[item.content])
        self.violations = item.violations
    }
}

/// The decoder of one loop: wire check, protobuf-c into the arena, validation.
///
/// A request leaves `decode…` valid, or with everything that is wrong with it. The payload of a
/// write is packed on the way, because packing and validating visit the same fields; the project's
/// number is filled in when the record is written. Used by one thread. Budget: no system allocation
/// per call in the steady state; violations allocate.
package final class MessageDecoder {
    let arena = DecodeArena()
    var packer = ValuePacker()
    var plainTracks = PlainTrackReader()
    /// A field list being packed, before its length is known.
    var scratch = ByteBuffer(capacity: 4 << 10)
    /// The payload of the write that was decoded last, unless it is a plain Track.
    var payload = ByteBuffer(capacity: 4 << 10)
    /// Where the project's number goes in `payload`.
    var projectOffsets: [Int] = []
    /// A field that a request uses and this release does not carry out, such as `update_mask`.
    var unsupportedField: StaticString?
    /// While the writes of a batch are decoded: the batch's project, which they may repeat.
    var batchProject: UnsafeRawBufferPointer?
    /// The operation of an import that is being decoded; its project is `batchProject` too.
    var imported: ImportedOperation?
    /// A batch or a chunk of an import, cut into its writes.
    var splitter = WireSplitter()
    /// The events of the Track being decoded that the wire check rejected; empty ones are decoded
    /// in their places.
    var rejectedEvents: [RejectedEvent] = []
    /// The part of a message that the wire check did not reject.
    private var goodPart = ByteBuffer(capacity: 0)

    package init() {}

    /// Checks, unpacks and validates one message; the arena is reset first.
    ///
    /// - Parameters:
    ///   - itemCount: What the accounting counts of a message that is protobuf.
    ///   - validate: Notes violations at the packer's path; what it returns counts without any.
    @inline(__always)
    func decode<Message, Request>(
        _ message: UnsafeRawBufferPointer, as root: WireRoot<Message>,
        itemCount: (UnsafeMutablePointer<Message>) -> Int = { _ in 0 },
        validate: (UnsafeMutablePointer<Message>) -> Request
    ) -> Decoded<Request> {
        self.arena.reset()
        switch self.unpack(message, as: root) {
        case .message(let unpacked):
            let request = unpacked
            self.packer.path.removeAll()
            self.packer.violations.removeAll()
            self.unsupportedField = nil
            let valid = validate(request)
            guard self.packer.violations.isEmpty else {
                return .invalid(self.packer.violations, items: itemCount(request))
            }
            if let field = self.unsupportedField { return .unsupported(field: field) }
            return .message(valid)
        case .invalid(let violations, let items): return .invalid(violations, items: items)
        case .malformed(let found): return .malformed(found)
        case .tooLarge: return .tooLarge
        case .unsupported(let field): return .unsupported(field: field)
        }
    }

    /// Checks one message and unpacks it into the arena.
    ///
    /// - Returns: Of a Track that has invalid events, the rest of it: see `rejectedEvents`.
    @inline(__always)
    func unpack<Message>(
        _ message: UnsafeRawBufferPointer, as root: WireRoot<Message>
    ) -> Decoded<UnsafeMutablePointer<Message>> {
        self.unpack(message, as: root.index, root.descriptor).map {
            // SAFETY: `root.descriptor` is that of `Message`; the arena keeps it until its reset.
            $0.assumingMemoryBound(to: Message.self)
        }
    }

    private func unpack(
        _ message: UnsafeRawBufferPointer, as root: Int,
        _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>
    ) -> Decoded<UnsafeMutableRawPointer> {
        if !self.rejectedEvents.isEmpty { self.rejectedEvents.removeAll() }
        var message = message
        if !WireFastPath.isGood(message, root: root) {
            switch WireCheck.check(message, root: root) {
            case .good: break
            case .malformed(let found): return .malformed(found)
            case .invalid(let findings):
                guard findings.violations.isEmpty else {
                    return .invalid(
                        findings.all, items: WireItemCounter.count(in: message, root: root))
                }
                self.rejectedEvents = findings.items.map { RejectedEvent($0, of: message) }
                self.goodPart = ByteBuffer(capacity: message.count)
                findings.appendGoodPart(of: message, to: &self.goodPart)
                message = self.goodPart.bytes
            }
        }
        // SAFETY: protobuf-c reads `message` during the call only and copies what it keeps into the
        // arena.
        let bytes = message.baseAddress?.assumingMemoryBound(to: UInt8.self)
        if let unpacked = protobuf_c_message_unpack(
            descriptor, self.arena.allocator, message.count, bytes)
        {
            return .message(UnsafeMutableRawPointer(unpacked))
        }
        return self.arena.hasOverflowed ? .tooLarge : .malformed("not this message")
    }

    // MARK: Parts that several requests have; violations are noted at the packer's path

    func checkProject(_ project: UnsafePointer<CChar>?) {
        if let outer = self.batchProject {
            let inner = ValuePacker.text(project)
            if !inner.isEmpty, !inner.elementsEqual(outer) {
                self.packer.add(
                    self.imported == nil
                        ? "another project than the batch's" : "another project than the import's",
                    at: "project")
            }
            return
        }
        guard !TextRules.isProject(ValuePacker.text(project)) else { return }
        self.packer.add("not a project name, ^[a-z0-9][a-z0-9_-]{0,62}$", at: "project")
    }

    /// A `request_id`; empty if it is missing. A write inside of a batch may have none of its own.
    func requestID(_ string: UnsafePointer<CChar>?) -> UnsafeRawBufferPointer {
        let text = self.id(string, "request_id")
        if self.batchProject != nil, !text.isEmpty {
            self.packer.add(
                self.imported == nil
                    ? "not allowed inside of a batch, which has its own"
                    : "not allowed in an import, whose messages have a chunk_id", at: "request_id")
        }
        return text
    }

    /// An `expected_revision`; `nil` if it is missing. An operation of an import may have none.
    func expectedRevision(
        _ value: UnsafeMutablePointer<Google__Protobuf__UInt64Value>?
    ) -> UInt64? {
        if self.imported != nil, value != nil {
            self.packer.add("not allowed in an import", at: "expected_revision")
        }
        return value?.pointee.value
    }

    /// A `request_id` or `event_id`; empty if it is missing.
    func id(_ string: UnsafePointer<CChar>?, _ field: StaticString) -> UnsafeRawBufferPointer {
        let text = ValuePacker.text(string)
        if text.count > TextRules.idBytesMax {
            self.packer.add(
                "\(text.count) bytes, at most \(TextRules.idBytesMax) are allowed", at: field)
        }
        return text
    }

    func time(_ time: UnsafeMutablePointer<Google__Protobuf__Timestamp>?, _ field: StaticString)
        -> Int64?
    {
        guard let time else { return nil }
        let microseconds = TimeRules.microseconds(time.pointee)
        if microseconds == nil { self.packer.add(TimeRules.allowed, at: field) }
        return microseconds
    }

    func source(_ source: UnsafeMutablePointer<Profiles__V1__Source>?) -> (
        platform: UInt8, name: UnsafeRawBufferPointer
    ) {
        guard let source else { return (0, UnsafeRawBufferPointer(start: nil, count: 0)) }
        let platform = Platform(rawValue: UInt8(clamping: source.pointee.platform.rawValue))
        if platform == nil {
            self.packer.add("not a platform of the contract", at: "source.platform")
        }
        let name = ValuePacker.text(source.pointee.name)
        if !name.isEmpty,
            let error = TextRules.stringError(
                name, scalarsMax: TextRules.sourceNameScalarsMax, oneLine: true)
        {
            self.packer.add(error, at: "source.name")
        }
        return (platform?.rawValue ?? 0, name)
    }

    /// An identifier; a profile id in its 16-byte form, which lies in the arena.
    func identifier(_ identifier: UnsafeMutablePointer<Profiles__V1__Identifier>?) -> IdentifierView
    {
        self.packer.path.push("identifier")
        defer { self.packer.path.pop() }
        return self.identifierHere(identifier)
    }

    /// As above; the packer's path is that of the identifier.
    func identifierHere(_ identifier: UnsafeMutablePointer<Profiles__V1__Identifier>?)
        -> IdentifierView
    {
        let none = IdentifierView(
            kind: .customID, bytes: UnsafeRawBufferPointer(start: nil, count: 0))
        guard let identifier = identifier?.pointee else {
            self.packer.add("missing")
            return none
        }
        switch identifier.id_case {
        case PROFILES__V1__IDENTIFIER__ID_PROFILE_ID:
            guard let id = ProfileID(text: ValuePacker.text(identifier.profile_id)) else {
                self.packer.add("not a profile id, 26 characters of a ULID", at: "profile_id")
                return none
            }
            let binary = self.arena.memory(ProfileID.binaryBytes)
            binary.storeBytes(of: id.high.bigEndian, as: UInt64.self)
            binary.storeBytes(of: id.low.bigEndian, toByteOffset: 8, as: UInt64.self)
            return IdentifierView(
                kind: .profileID,
                bytes: UnsafeRawBufferPointer(start: binary, count: ProfileID.binaryBytes))
        case PROFILES__V1__IDENTIFIER__ID_CUSTOM_ID:
            return self.identifier(.customID, identifier.custom_id, "custom_id")
        case PROFILES__V1__IDENTIFIER__ID_INSTALLATION_ID:
            return self.identifier(.installationID, identifier.installation_id, "installation_id")
        default:
            self.packer.add("no identifier is set")
            return none
        }
    }

    private func identifier(
        _ kind: IdentifierKind, _ string: UnsafePointer<CChar>?, _ field: StaticString
    ) -> IdentifierView {
        let text = ValuePacker.text(string)
        if let error = TextRules.identifierError(text) { self.packer.add(error, at: field) }
        return IdentifierView(kind: kind, bytes: text)
    }
}
