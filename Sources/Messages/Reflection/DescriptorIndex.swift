import Bytes
import CMessages

/// The descriptor set that is built into the program, by file name and by symbol.
///
/// Made once, when the first reflection request comes; 40 KB are walked by hand, as protobuf-c
/// knows no descriptors of descriptors.
// SAFETY: filled once, before it is shared; the bytes are a constant of the program.
package struct DescriptorIndex: @unchecked Sendable {
    /// One `FileDescriptorProto`.
    struct File {
        var name: String
        var bytes: UnsafeRawBufferPointer
        /// Names of the files that it imports.
        var imports: [String] = []
    }

    /// The set of Protos/, imports included.
    package static let shared = DescriptorIndex(
        UnsafeRawBufferPointer(
            start: profiles_descriptor_set_start(), count: profiles_descriptor_set_bytes))

    private(set) var files: [File] = []
    /// Full names of the services, in the order of the set.
    package private(set) var services: [String] = []
    private var byName: [String: Int] = [:]
    /// Index of the file that a symbol is in: messages, fields, oneofs, enums and their values,
    /// services, methods.
    private var bySymbol: [String: Int] = [:]
    private var messages: Set<String> = []

    /// - Parameter set: A serialised `google.protobuf.FileDescriptorSet` that outlives this.
    init(_ set: UnsafeRawBufferPointer) {
        Self.forEachField(of: set) { number, bytes in
            if number == SetField.file { self.add(file: bytes) }
        }
    }

    func file(named name: String) -> Int? { self.byName[name] }
    func file(containing symbol: String) -> Int? { self.bySymbol[symbol] }
    func isMessage(_ symbol: String) -> Bool { self.messages.contains(symbol) }

    /// A file and everything that it needs, itself first, each once (R6).
    func closure(of index: Int) -> [File] {
        var found = [index]
        var next = 0
        while next < found.count {
            for name in self.files[found[next]].imports {
                guard let imported = self.byName[name], !found.contains(imported) else { continue }
                found.append(imported)
            }
            next += 1
        }
        return found.map { self.files[$0] }
    }

    // MARK: Reading descriptors; the numbers are those of google/protobuf/descriptor.proto

    private enum SetField { static let file: UInt64 = 1 }

    /// `name` is field 1 of every descriptor.
    private static let nameField: UInt64 = 1

    private mutating func add(file bytes: UnsafeRawBufferPointer) {
        let index = self.files.count
        var file = File(name: Self.name(of: bytes), bytes: bytes)
        var scope = ""
        Self.forEachField(of: bytes) { number, value in
            if number == 2 { scope = Self.text(value) + "." }
            if number == 3 { file.imports.append(Self.text(value)) }
        }
        self.byName[file.name] = index
        self.files.append(file)
        Self.forEachField(of: bytes) { number, value in
            switch number {
            case 4: self.add(message: value, in: scope, file: index)
            case 5: self.add(enumeration: value, in: scope, file: index)
            case 6: self.add(service: value, in: scope, file: index)
            default: break
            }
        }
    }

    private mutating func add(message bytes: UnsafeRawBufferPointer, in scope: String, file: Int) {
        let name = scope + Self.name(of: bytes)
        self.bySymbol[name] = file
        self.messages.insert(name)
        Self.forEachField(of: bytes) { number, value in
            switch number {
            // Fields and oneofs.
            case 2, 8: self.bySymbol[name + "." + Self.name(of: value)] = file
            case 3: self.add(message: value, in: name + ".", file: file)
            case 4: self.add(enumeration: value, in: name + ".", file: file)
            default: break
            }
        }
    }

    private mutating func add(
        enumeration bytes: UnsafeRawBufferPointer, in scope: String, file: Int
    ) {
        self.bySymbol[scope + Self.name(of: bytes)] = file
        Self.forEachField(of: bytes) { number, value in
            // Values live beside their enum, not in it.
            if number == 2 { self.bySymbol[scope + Self.name(of: value)] = file }
        }
    }

    private mutating func add(service bytes: UnsafeRawBufferPointer, in scope: String, file: Int) {
        let name = scope + Self.name(of: bytes)
        self.bySymbol[name] = file
        self.services.append(name)
        Self.forEachField(of: bytes) { number, value in
            if number == 2 { self.bySymbol[name + "." + Self.name(of: value)] = file }
        }
    }

    private static func name(of descriptor: UnsafeRawBufferPointer) -> String {
        var name = ""
        self.forEachField(of: descriptor) { number, value in
            if number == Self.nameField { name = Self.text(value) }
        }
        return name
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
        String(decoding: bytes, as: UTF8.self)
    }

    /// Calls `body` with every field that has a length; the others do not matter here.
    private static func forEachField(
        of message: UnsafeRawBufferPointer,
        _ body: (_ number: UInt64, _ value: UnsafeRawBufferPointer) -> Void
    ) {
        var reader = ByteReader(message)
        while reader.remaining > 0 {
            let tag = reader.readVarint()
            switch tag & 7 {
            case 0: _ = reader.readVarint()
            case 1: _ = reader.read(UInt64.self)
            case 2: body(tag >> 3, reader.readPrefixed())
            case 5: _ = reader.read(UInt32.self)
            default: preconditionFailure("protoc writes no other wire type")
            }
        }
        precondition(reader.isAtCleanEnd, "the descriptor set of the program is whole")
    }
}
