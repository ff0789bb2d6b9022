import GRPCTransport
import Profiles

/// Who calls: a key and what it allows.
package struct Caller: Equatable, Sendable, BitwiseCopyable {
    /// `nil`: no key, because none is configured.
    package var keyName: KeyName?
    /// The only project that the key is for; 0: every one.
    package var project: ProjectID
    package var scopes: AccessScopes

    package init(keyName: KeyName?, project: ProjectID, scopes: AccessScopes) {
        self.keyName = keyName
        self.project = project
        self.scopes = scopes
    }

    /// Without configured keys every caller is an operator.
    ///
    /// Source: the product's specification, "Scope and access".
    @inline(__always)
    package static var open: Caller {
        Caller(
            keyName: nil, project: ProjectID(rawValue: 0),
            scopes: AccessScopes(rawValue: Self.operatorBit))
    }
    /// Nobody: what a call is that was admitted without a key, as those of health are.
    static let nobody = Caller(keyName: nil, project: ProjectID(rawValue: 0), scopes: [])

    // The operations of option sets are calls into another module, through witnesses, at some 20
    // instructions each; these two are asked by every call.

    /// `AccessScopes.operator`.
    private static let operatorBit: UInt8 = 1 << 7

    /// Whether every project and scope is allowed.
    @inline(__always)
    package var isOperator: Bool { self.scopes.rawValue & Self.operatorBit != 0 }

    /// Whether the caller may do what needs one of `scopes`, which names operators too.
    @inline(__always)
    func allows(anyOf scopes: AccessScopes) -> Bool { self.scopes.rawValue & scopes.rawValue != 0 }
}

extension CallToken {
    /// As `==`, which is called through a witness.
    @inline(__always)
    func isSame(as other: CallToken) -> Bool {
        self.streamSlot == other.streamSlot && self.streamGeneration == other.streamGeneration
            && self.connectionSlot == other.connectionSlot
            && self.connectionGeneration == other.connectionGeneration && self.loop == other.loop
    }
}

extension RPCPermission {
    /// Scopes any one of which suffices; empty: no key is needed. Scopes do not include one
    /// another, but an operator's key has all of them.
    var scopes: AccessScopes {
        switch self {
        case .none: []
        case .read: [.read, .operator]
        case .write: [.write, .operator]
        case .erase: [.erase, .operator]
        case .export: [.export, .operator]
        case .admin: [.admin, .operator]
        case .operatorOnly: .operator
        }
    }
}

/// What admission needs to know of a row of `RPCTable`, without counting references to it.
struct MethodAdmission: BitwiseCopyable {
    /// Any one of which suffices; empty: no key is needed.
    var scopes: AccessScopes = []
    var isBuilt = false
    var isStream = false

    init() {}

    init(_ row: RPCDefinition) {
        self.scopes = row.permission.scopes
        switch row.handling {
        case .unary: (self.isBuilt, self.isStream) = (true, false)
        case .stream: (self.isBuilt, self.isStream) = (true, true)
        case .notBuilt: (self.isBuilt, self.isStream) = (false, false)
        }
    }
}
