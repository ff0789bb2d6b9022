/// What a client may call a profile by; the raw values stand in the log and may never change.
package enum IdentifierKind: UInt8, Sendable {
    case profileID = 1
    case customID = 2
    case installationID = 3
}

/// An identifier as it was sent: its kind and its bytes, borrowed.
///
/// A `profileID` is the 16-byte binary form; the other two are UTF-8 of 1...1,024 bytes.
package struct IdentifierView {
    package var kind: IdentifierKind
    package var bytes: UnsafeRawBufferPointer

    package init(kind: IdentifierKind, bytes: UnsafeRawBufferPointer) {
        self.kind = kind
        self.bytes = bytes
    }
}

/// A project's number in the log and the store; the name is looked up once per call.
package struct ProjectID: Equatable, Hashable, Sendable, BitwiseCopyable {
    package var rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }
}

/// Where an update came from; the raw values are the contract's and stand in the log.
package enum Platform: UInt8, Sendable {
    case unspecified = 0
    case appIOS = 1
    case appAndroid = 2
    case web = 3
    case api = 4
    case imported = 5

    /// Raw values of the platforms that devices have: apps and websites.
    static let ofDevices: ClosedRange<UInt8> = Platform.appIOS.rawValue ... Platform.web.rawValue
}
