import ProfileClient

/// Converts one line of an import to an operation of a batch.
package enum ImportLine {
    /// Why a line is not an operation.
    package struct Invalid: Error, Equatable {
        package let reason: String
    }

    /// Most JSON values of a line: the largest operation has 15 events with some hundreds of
    /// values each. Bounds the memory of a line to about 25 MB.
    private static let valuesMax = 1 << 18
    /// Largest encoded operation, in bytes: the largest message of the service, without 1 KiB for
    /// the other fields of a batch.
    private static let operationBytesMax = (4 << 20) - (1 << 10)
    private static let blanks: Set<UInt8> = [0x20, 0x09, 0x0A, 0x0D]

    /// - Parameters:
    ///   - line: Without its line feed.
    ///   - encoder: Has the time that `ago` is relative to.
    /// - Returns: An encoded `WriteOperation`; `nil` for a blank line and a comment.
    package static func operation(_ line: [UInt8], _ encoder: MessageEncoder) throws(Invalid)
        -> [UInt8]?
    {
        guard let first = line.first(where: { !self.blanks.contains($0) }),
            first != UInt8(ascii: "#")
        else { return nil }
        try self.checkText(line, first)
        let json: JSONValue
        do throws(JSONSyntaxError) {
            json = try JSONParser.parse(line, valuesMax: self.valuesMax)
        } catch {
            throw Invalid(reason: self.reason(error, line))
        }
        guard json.members.count == 1 else {
            throw Invalid(
                reason: "expected an object with one of identify, track and update_subscription")
        }
        let operation: [UInt8]
        do throws(MessageJSONError) {
            operation = try encoder.encode(json, as: ImportRequest.operation)
        } catch {
            throw Invalid(reason: "\(error.path): \(error.reason)")
        }
        guard operation.count <= self.operationBytesMax else {
            throw Invalid(
                reason: "an operation of \(operation.count) bytes; at most "
                    + "\(self.operationBytesMax) fit into a message")
        }
        return operation
    }

    /// Whether a time of the line depends on the beginning of the import.
    package static func countsFromNow(_ line: [UInt8]) -> Bool {
        line.firstRange(of: "\"ago\"".utf8) != nil
    }

    /// What can be told about a line without parsing it.
    private static func checkText(_ line: [UInt8], _ first: UInt8) throws(Invalid) {
        if let offset = line.firstIndex(of: 0) {
            throw Invalid(reason: "a NUL byte at byte \(offset)")
        }
        if let offset = self.firstInvalidUTF8(in: line) {
            throw Invalid(reason: "invalid UTF-8 at byte \(offset)")
        }
        if line.starts(with: TextEncodings.byteOrderMark) {
            throw Invalid(
                reason: "a byte order mark, which is allowed at the beginning of the file")
        }
        if first == UInt8(ascii: "[") || first == UInt8(ascii: "]") {
            throw Invalid(
                reason:
                    "a JSON array; expected one operation per line, without brackets and commas "
                    + "around them")
        }
    }

    private static func firstInvalidUTF8(in line: [UInt8]) -> Int? {
        guard String(validating: line, as: UTF8.self) == nil else { return nil }
        var bytes = line.makeIterator()
        var parser = Unicode.UTF8.ForwardParser()
        var offset = 0
        while case .valid(let scalar) = parser.parseScalar(from: &bytes) { offset += scalar.count }
        return offset
    }

    private static func reason(_ error: JSONSyntaxError, _ line: [UInt8]) -> String {
        let reason = "invalid JSON at byte \(error.offset): \(error.reason)"
        guard error.offset < line.count else { return reason }
        if line[error.offset] == UInt8(ascii: ",") {
            return reason + "; expected one operation per line, without commas between them"
        }
        // Text after a value that a lone carriage return ends, as old files of other systems have.
        let before = line[..<error.offset].last { $0 != 0x20 && $0 != 0x09 }
        return before == 0x0D
            ? reason + "; a carriage return alone does not end a line, expected LF or CRLF" : reason
    }
}
