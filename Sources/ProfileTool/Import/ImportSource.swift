import ProfileClient

/// One record of an import: a line of JSON, or a row of a CSV file.
struct ImportRecord {
    /// Of its first line, from 1.
    var number: Int
    /// Its lines without the last line break; `nil` if they are too long to be kept.
    var text: [UInt8]?
    var operations: [[UInt8]] = []
    /// Why it has no operations.
    var rejection: String?
    /// A time of it depends on the beginning of the import.
    var countsFromNow = false

    /// Encoded bytes of its operations.
    var operationBytes: Int { self.operations.reduce(0) { $0 + $1.count } }
}

/// The records of a source, read once and in order. Used by one thread.
final class ImportSource {
    /// What the lines are.
    enum Format {
        case jsonLines
        case csv(CSVMapping)
    }

    let reader: LineReader
    private let encoder: MessageEncoder
    private let format: Format
    /// Of a CSV file, once its header is read.
    private var rows: CSVRows?
    /// Lines that were read.
    private(set) var lines = 0
    /// Those of the header of a CSV file.
    private(set) var headerLines = 0
    /// The header as it is, for files that collect rows.
    private(set) var header: [UInt8]?

    /// - Parameter encoder: Has the time that `ago` is relative to.
    init(_ reader: LineReader, _ format: Format, _ encoder: MessageEncoder) {
        self.reader = reader
        self.format = format
        self.encoder = encoder
    }

    /// Reads the header of a CSV file; before the first record.
    ///
    /// - Throws: `UsageError` for a mapping that does not match it.
    func readHeader() throws {
        guard case .csv(let mapping) = self.format else { return }
        while true {
            guard let (text, fields) = try self.row() else {
                throw UsageError("\(self.reader.name): no header; a CSV file begins with one")
            }
            if text.allSatisfy({ $0 == 0x20 }) || text.first == UInt8(ascii: "#") { continue }
            guard let fields else {
                throw UsageError("\(self.reader.name): the header is not CSV")
            }
            self.rows = try CSVRows(header: fields, mapping)
            self.header = text
            self.headerLines = self.lines
            return
        }
    }

    /// Reads a line that an earlier run has imported.
    ///
    /// - Returns: Whether there was one.
    func skipLine() throws -> Bool {
        guard try self.reader.next() != nil else { return false }
        self.lines += 1
        return true
    }

    /// Reads the next record.
    ///
    /// - Returns: `nil` at the end; a record without operations and rejection for what is ignored:
    ///   blank lines and comments.
    func next() throws -> ImportRecord? {
        switch self.format {
        case .jsonLines: try self.nextLine()
        case .csv: try self.nextRow()
        }
    }

    private func nextLine() throws -> ImportRecord? {
        guard let line = try self.reader.next() else { return nil }
        self.lines += 1
        var record = ImportRecord(number: self.lines)
        switch line {
        case .tooLong(let bytes):
            record.rejection =
                "a line of \(bytes) bytes; at most \(LineReader.lineBytesMax) are read"
        case .text(let text):
            record.text = text
            record.countsFromNow = ImportLine.countsFromNow(text)
            do throws(ImportLine.Invalid) {
                if let operation = try ImportLine.operation(text, self.encoder) {
                    record.operations = [operation]
                }
            } catch {
                record.rejection = error.reason
            }
        }
        return record
    }

    private func nextRow() throws -> ImportRecord? {
        let number = self.lines + 1
        guard let (text, fields) = try self.row() else { return nil }
        var record = ImportRecord(number: number, text: text)
        if text.allSatisfy({ $0 == 0x20 || $0 == 0x0D }) || text.first == UInt8(ascii: "#") {
            return record
        }
        guard let fields else {
            record.rejection =
                "not CSV: a quote that does not end, a character behind one, or more than "
                + "\(LineReader.lineBytesMax) bytes"
            return record
        }
        do throws(ImportLine.Invalid) {
            guard let rows = self.rows else { preconditionFailure("the header is read first") }
            record.operations = try rows.operations(fields, self.encoder)
        } catch {
            record.rejection = error.reason
        }
        return record
    }

    /// Reads the lines of one row: a field in quotes may have line breaks.
    ///
    /// - Returns: Its lines, and its fields; `nil` in their place if it is not CSV.
    private func row() throws -> (text: [UInt8], fields: [String]?)? {
        var text: [UInt8] = []
        var parser = CSVParser()
        var isFirst = true
        while let line = try self.reader.next() {
            self.lines += 1
            guard case .text(let bytes) = line,
                text.count + bytes.count <= LineReader.lineBytesMax
            else { return (text, nil) }
            if !isFirst { text.append(0x0A) }
            text += bytes
            // A comment may have quotes.
            if isFirst, bytes.first == UInt8(ascii: "#") { return (text, nil) }
            switch parser.read(bytes, isContinued: !isFirst) {
            case .complete(let fields): return (text, fields)
            case .invalid: return (text, nil)
            case .open: break
            }
            isFirst = false
        }
        return isFirst ? nil : (text, nil)
    }
}
