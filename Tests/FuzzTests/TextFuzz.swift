import IOCore
import ProfileClient
import ProfileServer
import ProfileTool

/// What people and servers write: lines of an import, a configuration, responses.
enum TextFuzz {
    private static let encoder = MessageEncoder(now: 1_800_000_000_000_000)

    static func lines(_ bytes: UnsafeRawBufferPointer) {
        for line in bytes.split(separator: 0x0A) {
            _ = try? ImportLine.operation(Array(line), self.encoder)
        }
        // What the parser takes, the writer gives back.
        if let json = try? JSONParser.parse(bytes) {
            precondition(
                (try? JSONParser.parse(json.description.utf8)) == json, "JSON changes when written")
            // Positions are read as they were written.
            if let position = ImportPosition(json: json) {
                precondition(ImportPosition(json: position.json) == position, "it changes")
            }
            if let position = ExportPosition(json: json) {
                precondition(ExportPosition(json: position.json) == position, "it changes")
            }
        }
        let text = String(decoding: bytes, as: UTF8.self)
        _ = ValueText.detect(text)
        _ = TextWidth.columns(of: TerminalText.safe(text))
        _ = TimeText.parse(text)
        _ = TimeText.span(text)
        _ = try? ServerAddress.parse(text)
    }

    static func configuration(_ bytes: UnsafeRawBufferPointer) {
        let content = Array(bytes)
        _ = try? Configuration.resolve(
            arguments: ["--config", "file"], environment: [:], cores: 2,
            readFile: { _, _ in content })
        let words = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
        _ = try? Configuration.resolve(
            arguments: words, environment: [:], cores: 2, readFile: { _, _ in [] })
    }

    /// The first byte selects the response.
    static func client(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let message = bytes[1...]
        let methods = [
            "Track", "Identify", "GetProfile", "ListEvents", "UpdateSubscription",
            "ListConsentHistory", "BatchWrite", "EraseProfile",
        ]
        let schema = RPCMethod.profiles(methods[Int(first) % methods.count]).response
        if let json = MessageJSON.decode(message, as: schema) {
            let view = ProfileView(now: .min)
            _ = view.text(json, events: json)
            _ = RPCFailure(status: json)
            _ = json.description
        }
        _ = try? ImportResponse(Array(message), of: Int(first))
        let text = String(decoding: message, as: UTF8.self)
        _ = FailureText.line(RPCFailure(code: Int32(first), message: text, details: text))
        let details = Base64Text.encode(message)
        _ = FailureText.line(RPCFailure(code: Int32(first), message: "", details: details))
    }
}
