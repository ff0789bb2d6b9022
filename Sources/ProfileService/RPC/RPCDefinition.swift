import GRPCTransport
import Messages

/// One RPC of the contract: a row of `RPCTable`.
package struct RPCDefinition: Sendable {
    /// Full name of the service, such as `profiles.v1.Profiles`.
    package let service: String
    /// Such as `Track`.
    package let name: String
    package let kind: RPCKind
    /// What a key must allow; not looked at as long as no keys are configured.
    package let permission: RPCPermission
    /// The request, whose schema drives the wire check.
    package let request: RequestMessage
    let handling: RPCHandling

    init(
        _ service: String, _ name: String, _ kind: RPCKind, needs permission: RPCPermission,
        takes request: RequestMessage, _ handling: RPCHandling
    ) {
        self.service = service
        self.name = name
        self.kind = kind
        self.permission = permission
        self.request = request
        self.handling = handling
    }

    /// Whether this release carries it out; else it responds with `UNIMPLEMENTED`.
    package var isBuilt: Bool {
        if case .notBuilt = self.handling { false } else { true }
    }

    /// As the transport takes it.
    package var descriptor: RPCMethodDescriptor {
        let shape = self.handling.shape
        return RPCMethodDescriptor(
            path: "/\(self.service)/\(self.name)", streamsRequests: shape.streamsRequests,
            streamsResponses: shape.streamsResponses)
    }
}

/// What an RPC is to the server: which phases serve it.
package enum RPCKind: Sendable {
    /// Responds from the store and never waits for the log.
    case read
    /// Adds a command to the log.
    case write
    /// For operators.
    case admin
    /// Served in every phase, without a key.
    case health
    case reflection
}

/// What a key must allow for a call.
///
/// Source: Protos/profiles/v1/admin.proto, `Scope`; an operator's key allows everything.
package enum RPCPermission: Sendable {
    case none
    case read
    case write
    case erase
    case export
    case admin
    case operatorOnly
}

/// Which sides of an RPC are streams.
package enum RPCShape: Sendable {
    case unary
    case requestStream
    case responseStream
    case bidirectional

    package var streamsRequests: Bool { self == .requestStream || self == .bidirectional }
    package var streamsResponses: Bool { self == .responseStream || self == .bidirectional }
}

/// How an RPC is carried out.
///
/// The functions capture nothing: called through the table they cost a jump, and no reference is
/// counted.
enum RPCHandling: Sendable {
    /// Takes the only message of a call.
    typealias Handler =
        @Sendable (
            _ loop: ServiceLoop, _ message: UnsafeRawBufferPointer, _ call: RPCCall
        ) -> Void
    /// Opens a stream, which takes its messages itself.
    typealias Opener = @Sendable (_ loop: ServiceLoop, _ call: RPCCall) -> any LiveCall

    case unary(Handler)
    case stream(RPCShape, Opener)
    case notBuilt(RPCShape)

    var shape: RPCShape {
        switch self {
        case .unary: .unary
        case .stream(let shape, _), .notBuilt(let shape): shape
        }
    }
}
