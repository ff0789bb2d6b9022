import CMessages
import CProtobufC

/// The schema of one message, from the descriptors that protoc-c generates; it allows conversion
/// between JSON and the wire format without code per message.
// SAFETY: contains copies of generated constants, which nothing changes and whose pointers are
// valid for the life of the process.
package struct MessageSchema: @unchecked Sendable {
    private let descriptor: ProtobufCMessageDescriptor

    package init(_ descriptor: ProtobufCMessageDescriptor) {
        self.descriptor = descriptor
    }

    package static let status = MessageSchema(google__rpc__status__descriptor)
    package static let errorInfo = MessageSchema(google__rpc__error_info__descriptor)
    package static let badRequest = MessageSchema(google__rpc__bad_request__descriptor)

    /// The qualified name, such as `profiles.v1.Profile`.
    package var name: String { String(cString: self.descriptor.name) }

    var fields: [Field] {
        // SAFETY: a generated constant of `n_fields` elements.
        UnsafeBufferPointer(start: self.descriptor.fields, count: Int(self.descriptor.n_fields))
            .map(Field.init)
    }

    func field(number: UInt32) -> Field? {
        self.fields.first { $0.number == number }
    }

    /// Finds a field by its name in the contract or by the lowerCamelCase form of proto3 JSON.
    func field(named name: String) -> Field? {
        self.fields.first { $0.name == name || $0.camelName == name }
    }

    /// Whether this is the entry of a map. protoc-c does not keep the `map_entry` option, but no
    /// other message has such a name and these two fields.
    var isMapEntry: Bool {
        guard self.descriptor.n_fields == 2,
            String(cString: self.descriptor.short_name).hasSuffix("Entry")
        else { return false }
        let fields = self.fields
        return fields[0].name == "key" && fields[0].number == 1 && fields[1].name == "value"
            && fields[1].number == 2
    }

    /// One field of a message.
    struct Field {
        let name: String
        let number: UInt32
        let type: ProtobufCType
        let isRepeated: Bool
        /// The descriptor of a message or an enum, otherwise `nil`.
        private let descriptor: UnsafeRawPointer?

        init(_ field: ProtobufCFieldDescriptor) {
            self.name = String(cString: field.name)
            self.number = field.id
            self.type = field.type
            self.isRepeated = field.label == PROTOBUF_C_LABEL_REPEATED
            self.descriptor = field.descriptor
        }

        var camelName: String {
            let parts = self.name.split(separator: "_")
            return parts.dropFirst().reduce(String(parts.first ?? "")) {
                $0 + $1.prefix(1).uppercased() + $1.dropFirst()
            }
        }

        var message: MessageSchema {
            precondition(self.type == PROTOBUF_C_TYPE_MESSAGE, "only messages have fields")
            // SAFETY: for messages protobuf-c's pointer refers to a constant of this type.
            return MessageSchema(self.descriptor!.load(as: ProtobufCMessageDescriptor.self))
        }

        /// Names and numbers of an enum.
        var cases: [(name: String, number: Int32)] {
            precondition(self.type == PROTOBUF_C_TYPE_ENUM, "only enums have cases")
            // SAFETY: for enums protobuf-c's pointer refers to a constant of this type, with
            // `n_values` values.
            let descriptor = self.descriptor!.load(as: ProtobufCEnumDescriptor.self)
            return UnsafeBufferPointer(start: descriptor.values, count: Int(descriptor.n_values))
                .map { (String(cString: $0.name), $0.value) }
        }
    }
}

/// One RPC of a service: its path and the schemas of both messages.
package struct RPCMethod: Sendable {
    /// Such as `/profiles.v1.Profiles/Track`.
    package let path: String
    package let request: MessageSchema
    package let response: MessageSchema

    /// An RPC of the service `profiles.v1.Profiles`; traps if the contract does not define it.
    package static func profiles(_ name: String) -> RPCMethod {
        RPCMethod(of: profiles__v1__profiles__descriptor, name)
    }

    /// An RPC of `profiles.v1.Admin`.
    package static func admin(_ name: String) -> RPCMethod {
        RPCMethod(of: profiles__v1__admin__descriptor, name)
    }

    /// `grpc.health.v1.Health/Check`.
    package static var healthCheck: RPCMethod {
        RPCMethod(of: grpc__health__v1__health__descriptor, "Check")
    }

    /// `grpc.health.v1.Health/Watch`.
    package static var healthWatch: RPCMethod {
        RPCMethod(of: grpc__health__v1__health__descriptor, "Watch")
    }

    /// `ServerReflectionInfo` of version `v1`, or of `v1alpha`.
    package static func reflection(isAlpha: Bool) -> RPCMethod {
        RPCMethod(
            of: isAlpha
                ? grpc__reflection__v1alpha__server_reflection__descriptor
                : grpc__reflection__v1__server_reflection__descriptor, "ServerReflectionInfo")
    }

    private init(of service: ProtobufCServiceDescriptor, _ name: String) {
        // SAFETY: a generated constant of `n_methods` elements.
        let methods = UnsafeBufferPointer(start: service.methods, count: Int(service.n_methods))
        guard let method = methods.first(where: { String(cString: $0.name) == name }) else {
            preconditionFailure("the contract has no \(name)")
        }
        self.path = "/\(String(cString: service.name))/\(name)"
        self.request = MessageSchema(method.input.pointee)
        self.response = MessageSchema(method.output.pointee)
    }
}
