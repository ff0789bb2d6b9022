import Bytes
import Profiles

/// What decoding a request gives: a valid request, or why it is rejected.
package enum Decoded<Request> {
    case message(Request)
    /// Protobuf, but not allowed; with the items that it held as far as they are known.
    case invalid(Violations, items: Int)
    /// Not protobuf, or not this message.
    case malformed(String)
    /// It needs more memory than one call may have.
    case tooLarge
    /// It uses a field of the contract that this release does not carry out.
    case unsupported(field: StaticString)

    /// The same with another form of the request.
    @inline(__always)
    func map<Other>(_ transform: (Request) -> Other) -> Decoded<Other> {
        switch self {
        case .message(let request): .message(transform(request))
        case .invalid(let violations, let items): .invalid(violations, items: items)
        case .malformed(let found): .malformed(found)
        case .tooLarge: .tooLarge
        case .unsupported(let field): .unsupported(field: field)
        }
    }
}

/// What the door of the service must know of every decoded request.
package protocol DecodedRequest {
    /// Whether the request names a project; a few of the operators' do not.
    static var namesProject: Bool { get }
    /// Whether field 1 of the request is a project's name, also of one that need not exist yet.
    static var hasProjectField: Bool { get }
    /// Whether an operator may leave the project empty, for what belongs to none.
    static var mayNameNoProject: Bool { get }
    /// Whether the request is served while its project is being deleted.
    static var isServedWhileDeleting: Bool { get }
    /// The project's name, as sent.
    var project: UnsafeRawBufferPointer { get }
    /// What the response must know at least; 0: anything.
    var minLSN: UInt64 { get }
    /// What the accounting counts: events, attribute writes, subscription changes.
    var itemCount: Int { get }
}

extension DecodedRequest {
    package static var namesProject: Bool { true }
    package static var hasProjectField: Bool { self.namesProject }
    package static var mayNameNoProject: Bool { false }
    package static var isServedWhileDeleting: Bool { false }
    package var minLSN: UInt64 { 0 }
    package var itemCount: Int { 0 }
}

/// A request of operators that names no project.
package struct OperatorRequest: DecodedRequest {
    package static var namesProject: Bool { false }
    package var project: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }
    /// Of a Backup: an absolute path.
    package var destination = ""
}

/// A decoded and valid write, whose payload the decoder holds until it is used again.
package struct DecodedWrite: DecodedRequest {
    package let project: UnsafeRawBufferPointer
    package let kind: RecordKind
    /// How many lsns the record takes.
    package let operations: Int
    package let itemCount: Int
    /// Echoed on streams; 0 if it is missing.
    package var sequence: UInt64 = 0
    /// What the quota of a key counts: 1, or the writes of a batch.
    package var updates = 1
    /// The payload is that of `PlainTrackReader`.
    var isPlain = false
}

extension ProjectID {
    /// Stands in a payload until the project is known.
    static let unresolved = ProjectID(rawValue: 0)
}

// The payload of a write: packed while the request is validated, copied into the record afterwards.
extension MessageDecoder {
    /// Begins the payload of a write.
    func beginPayload() {
        self.payload.removeAll()
        self.projectOffsets.removeAll(keepingCapacity: true)
    }

    /// Notes that a project's number is appended next.
    func markProject() { self.projectOffsets.append(self.payload.count) }

    /// Appends the payload of the write that was decoded last.
    ///
    /// - Complexity: O(bytes of the payload).
    package func writePayload(
        of write: DecodedWrite, project: ProjectID, into buffer: inout ByteBuffer
    ) {
        let start = buffer.count
        if write.isPlain {
            buffer.append(self.plainTracks.payload.bytes)
            // The first field of the payload (`TrackHeader`).
            return buffer.patch(project.rawValue, at: start)
        }
        buffer.append(self.payload.bytes)
        for offset in self.projectOffsets { buffer.patch(project.rawValue, at: start + offset) }
    }
}
