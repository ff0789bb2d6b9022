import Bytes
import Profiles

@testable import Messages

/// Writes protobuf by hand, also what no library would.
enum Wire {
    static func varint(_ value: UInt64) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    static func field(_ number: UInt64, _ value: UInt64) -> [UInt8] {
        self.varint(number << 3) + self.varint(value)
    }

    static func field(_ number: UInt64, _ bytes: [UInt8]) -> [UInt8] {
        self.varint(number << 3 | 2) + self.varint(UInt64(bytes.count)) + bytes
    }

    static func field(_ number: UInt64, _ text: String) -> [UInt8] {
        self.field(number, Array(text.utf8))
    }

    static func entry(_ key: String, _ value: [UInt8]) -> [UInt8] {
        self.field(1, key) + self.field(2, value)
    }

    static func timestamp(_ seconds: Int64, nanos: UInt64 = 0) -> [UInt8] {
        self.field(1, UInt64(bitPattern: seconds)) + (nanos == 0 ? [] : self.field(2, nanos))
    }

    /// A `Value` of each kind.
    static func string(_ text: String) -> [UInt8] { self.field(1, text) }
    static func integer(_ value: Int64) -> [UInt8] { self.field(2, UInt64(bitPattern: value)) }
    static func number(_ value: Double) -> [UInt8] {
        [0x19] + withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    }
    static func list(_ items: [String]) -> [UInt8] {
        self.field(7, items.flatMap { self.field(1, $0) })
    }
    static func object(_ fields: [(String, [UInt8])]) -> [UInt8] {
        self.field(8, fields.flatMap { self.field(1, self.entry($0.0, $0.1)) })
    }

    static func event(
        _ name: String = "visit", id: String = "", _ attributes: [(String, [UInt8])] = [],
        extra: [UInt8] = []
    )
        -> [UInt8]
    {
        (id.isEmpty ? [] : self.field(1, id)) + self.field(2, name)
            + attributes.flatMap { self.field(3, self.entry($0.0, $0.1)) } + extra
    }

    static func track(
        _ events: [[UInt8]] = [Wire.event()], project: String = "default", customID: String = "ann",
        extra: [UInt8] = []
    ) -> [UInt8] {
        self.field(1, project) + self.field(3, self.field(2, customID))
            + events.flatMap { self.field(4, $0) } + extra
    }
}

extension MessageDecoder {
    /// Appends the record of the write that was decoded last, as the service does.
    func appendRecord(of write: DecodedWrite, project: ProjectID, to buffer: inout ByteBuffer) {
        let start = beginRecord(write.kind, in: &buffer)
        self.writePayload(of: write, project: project, into: &buffer)
        endRecord(at: start, operations: write.operations, in: &buffer)
    }
}
