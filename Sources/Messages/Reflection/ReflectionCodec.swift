import Bytes
import CMessages

// SAFETY: the request is read in the decoder's arena, before the next `decode`; the descriptors
// are constants of the program.

// grpc.reflection.v1, and v1alpha, whose messages have the same numbers. Responses are written by
// hand: they consist of bytes that exist already, the request and the descriptors, and would only
// be copied into C messages first.

/// A decoded `ServerReflectionRequest`, in the decoder's arena.
package struct DecodedReflection: DecodedRequest {
    package static var namesProject: Bool { false }
    package var project: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }
    let request: UnsafeMutablePointer<Grpc__Reflection__V1__ServerReflectionRequest>
}

extension MessageDecoder {
    package func decodeReflection(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedReflection> {
        self.decode(message, as: WireSchema.shared.reflectionRequest) {
            DecodedReflection(request: $0)
        }
    }
}

extension MessageEncoder {
    /// `ServerReflectionResponse` and what is in it; all of them have a length but `errorCode`.
    private enum Tag {
        static let validHost: UInt64 = 1 << 3 | 2
        static let originalRequest: UInt64 = 2 << 3 | 2
        static let fileDescriptors: UInt64 = 4 << 3 | 2
        static let extensionNumbers: UInt64 = 5 << 3 | 2
        static let services: UInt64 = 6 << 3 | 2
        static let error: UInt64 = 7 << 3 | 2
        /// The first field of each of the four.
        static let first: UInt64 = 1 << 3 | 2
        static let errorCode: UInt64 = 1 << 3
        static let errorMessage: UInt64 = 2 << 3 | 2
    }

    /// Appends the response to one reflection request. What is unknown is an error inside of the
    /// response, and the stream goes on (R3).
    ///
    /// - Parameters:
    ///   - decoded: Of `message`, which is repeated in the response.
    ///   - services: Full names of those that are served.
    package func encodeReflectionResponse(
        to message: UnsafeRawBufferPointer, _ decoded: DecodedReflection?, services: [String],
        into output: inout ByteBuffer
    ) {
        if let decoded {
            let host = ValuePacker.text(decoded.request.pointee.host)
            if !host.isEmpty {
                output.appendVarint(Tag.validHost)
                output.appendPrefixed(host)
            }
        }
        output.appendVarint(Tag.originalRequest)
        output.appendPrefixed(message)
        if let decoded {
            self.respond(to: decoded.request.pointee, services, into: &output)
        } else {
            self.writeError(.invalidArgument, "not a valid request", into: &output)
        }
    }

    private func respond(
        to request: Grpc__Reflection__V1__ServerReflectionRequest, _ services: [String],
        into output: inout ByteBuffer
    ) {
        let index = DescriptorIndex.shared
        switch request.message_request_case {
        case fileByNameQuery:
            let name = String(cString: request.file_by_filename)
            self.writeFiles(index.file(named: name).map(index.closure), "file", into: &output)
        case fileOfSymbolQuery:
            let symbol = String(cString: request.file_containing_symbol)
            self.writeFiles(
                index.file(containing: symbol).map(index.closure), "symbol", into: &output)
        case fileOfExtensionQuery:
            // proto3 has none, so there is no file to name.
            self.writeError(.notFound, "no such extension", into: &output)
        case extensionsOfTypeQuery:
            let type = ValuePacker.text(request.all_extension_numbers_of_type)
            guard index.isMessage(String(decoding: type, as: UTF8.self)) else {
                return self.writeError(.notFound, "no such message type", into: &output)
            }
            self.scratch.removeAll()
            self.scratch.appendVarint(Tag.first)
            self.scratch.appendPrefixed(type)
            output.appendVarint(Tag.extensionNumbers)
            output.appendPrefixed(self.scratch.bytes)
        case listServicesQuery:
            self.writeServices(services, into: &output)
        default:
            self.writeError(.invalidArgument, "the request asks for nothing", into: &output)
        }
    }

    private func writeFiles(
        _ files: [DescriptorIndex.File]?, _ kind: String, into output: inout ByteBuffer
    ) {
        guard let files else { return self.writeError(.notFound, "no such \(kind)", into: &output) }
        self.scratch.removeAll()
        for file in files {
            self.scratch.appendVarint(Tag.first)
            self.scratch.appendPrefixed(file.bytes)
        }
        output.appendVarint(Tag.fileDescriptors)
        output.appendPrefixed(self.scratch.bytes)
    }

    private func writeServices(_ services: [String], into output: inout ByteBuffer) {
        self.scratch.removeAll()
        for service in services {
            // A ServiceResponse: its name.
            var response = ByteBuffer()
            var name = service
            response.appendVarint(Tag.first)
            name.withUTF8 { response.appendPrefixed(UnsafeRawBufferPointer($0)) }
            self.scratch.appendVarint(Tag.first)
            self.scratch.appendPrefixed(response.bytes)
        }
        output.appendVarint(Tag.services)
        output.appendPrefixed(self.scratch.bytes)
    }

    private func writeError(_ code: StatusCode, _ message: String, into output: inout ByteBuffer) {
        var text = message
        self.scratch.removeAll()
        self.scratch.appendVarint(Tag.errorCode)
        self.scratch.appendVarint(UInt64(code.rawValue))
        self.scratch.appendVarint(Tag.errorMessage)
        text.withUTF8 { self.scratch.appendPrefixed(UnsafeRawBufferPointer($0)) }
        output.appendVarint(Tag.error)
        output.appendPrefixed(self.scratch.bytes)
    }
}

// What a reflection request asks for: the names of protoc-c are too long to read.
private let fileByNameQuery =
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME
private let fileOfSymbolQuery =
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL
private let fileOfExtensionQuery =
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION
private let extensionsOfTypeQuery =
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE
private let listServicesQuery =
    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES
