import Bytes
import CMessages
import Foundation
import GRPCTransport
import Messages
import Testing

@testable import ProfileService

/// The table of RPCs against what it must agree with: the contract and the README.
@Suite struct RPCTableTests {
    /// One method as the embedded descriptor set has it.
    private struct Method: Equatable {
        var request = ""
        var streamsRequests = false
        var streamsResponses = false
    }

    /// Fields with a length or a varint; the numbers are those of google/protobuf/descriptor.proto.
    private static func forEachField(
        of message: UnsafeRawBufferPointer,
        _ body: (_ number: UInt64, _ bytes: UnsafeRawBufferPointer, _ value: UInt64) -> Void
    ) {
        var reader = ByteReader(message)
        while reader.remaining > 0 {
            let tag = reader.readVarint()
            switch tag & 7 {
            case 0:
                body(tag >> 3, UnsafeRawBufferPointer(start: nil, count: 0), reader.readVarint())
            case 1: _ = reader.read(UInt64.self)
            case 2: body(tag >> 3, reader.readPrefixed(), 0)
            default: _ = reader.read(UInt32.self)
            }
        }
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
        String(decoding: bytes, as: UTF8.self)
    }

    /// Every method of the contract by its path.
    private static func contract() -> [String: Method] {
        var methods: [String: Method] = [:]
        let set = UnsafeRawBufferPointer(
            start: profiles_descriptor_set_start(), count: profiles_descriptor_set_bytes)
        self.forEachField(of: set) { _, file, _ in
            var package = ""
            self.forEachField(of: file) { number, bytes, _ in
                if number == 2 { package = self.text(bytes) }
                guard number == 6 else { return }
                var service = ""
                self.forEachField(of: bytes) { number, method, _ in
                    if number == 1 { service = self.text(method) }
                    guard number == 2 else { return }
                    var (name, found) = ("", Method())
                    self.forEachField(of: method) { number, bytes, value in
                        switch number {
                        case 1: name = self.text(bytes)
                        case 2: found.request = String(self.text(bytes).dropFirst())
                        case 5: found.streamsRequests = value != 0
                        case 6: found.streamsResponses = value != 0
                        default: break
                        }
                    }
                    methods["/\(package).\(service)/\(name)"] = found
                }
            }
        }
        return methods
    }

    @Test func everyRowIsAMethodOfTheContractAndTheOtherWayRound() throws {
        let contract = Self.contract()
        #expect(contract.count > 40)
        for row in RPCTable.all {
            let path = row.descriptor.path
            let method = Method(
                request: row.request.name, streamsRequests: row.descriptor.streamsRequests,
                streamsResponses: row.descriptor.streamsResponses)
            #expect(contract[path] == method, "\(path)")
        }
        let paths = RPCTable.all.map(\.descriptor.path)
        #expect(Set(paths).count == paths.count)
        // Health has a List that is no part of the product's contract.
        let missing = Set(contract.keys).subtracting(paths).filter {
            !$0.hasPrefix("/grpc.health.v1.Health/List")
        }
        #expect(missing.isEmpty, "\(missing)")
    }

    @Test func leavingReflectionOutMovesNoNumber() {
        let served = RPCTable.served(reflection: false)
        #expect(!served.contains { $0.kind == .reflection })
        #expect(
            served.map(\.descriptor.path)
                == RPCTable.all.prefix(served.count).map(\.descriptor.path))
    }

    @Test func permissionsAreThoseOfTheContract() {
        func needed(_ name: String) -> RPCPermission? {
            RPCTable.all.first { $0.name == name && $0.kind != .reflection }?.permission
        }
        // Source: Protos/profiles/v1/admin.proto, `Scope`.
        for name in ["GetProfile", "ListEvents", "CheckSendable", "CreateUnsubscribeToken"] {
            #expect(needed(name) == .read)
        }
        for name in ["Track", "Identify", "BatchWrite", "RedeemUnsubscribeToken"] {
            #expect(needed(name) == .write)
        }
        #expect(needed("EraseProfile") == .erase && needed("ExportProject") == .export)
        for name in ["GetProject", "UpdateProject", "CreateKey", "GetStats"] {
            #expect(needed(name) == .admin)
        }
        for name in ["CreateProject", "DeleteProject", "ListProjects", "CreateSnapshot", "Backup"] {
            #expect(needed(name) == .operatorOnly)
        }
        #expect(needed("Check") == RPCPermission.none)
    }

    // MARK: README

    /// Names in back-ticks in the first column of "The API at a glance", of the RPCs that are built
    /// or of those whose second column says that they are not yet.
    private static func readme(isBuilt: Bool) throws -> Set<String> {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../README.md").standardized
        var names: Set<String> = []
        let sections = try String(contentsOf: file, encoding: .utf8).split(separator: "\n## ")
        let section = try #require(sections.first { $0.hasPrefix("The API at a glance") })
        for line in section.split(separator: "\n") where line.hasPrefix("| ") {
            let columns = line.split(separator: "|", omittingEmptySubsequences: false)
            guard columns.count >= 4, columns[2].hasPrefix(" not yet") != isBuilt else { continue }
            for (index, part) in columns[1].split(separator: "`").enumerated() where index % 2 == 1
            {
                names.insert(String(part))
            }
        }
        return names
    }

    @Test func theReadmeListsEveryRPCThatIsBuiltAsBuilt() throws {
        let built = try Self.readme(isBuilt: true)
        let notYet = try Self.readme(isBuilt: false)
        for row in RPCTable.all {
            // Reflection has one row for both of its versions.
            let name =
                row.kind == .reflection ? String(row.service.split(separator: ".")[2]) : row.name
            if row.isBuilt {
                #expect(built.contains(name), "\(name) is built")
                #expect(!notYet.contains(name), "\(name) is built")
            } else {
                #expect(notYet.contains(name), "\(name) is not built")
                #expect(!built.contains(name), "\(name) is not built")
            }
        }
    }

    @Test func theReadmeNamesNoRPCThatIsNotInTheTable() throws {
        let names = try Self.readme(isBuilt: true).union(Self.readme(isBuilt: false))
        let known = Set(RPCTable.all.map(\.name)).union(RPCTable.all.map(\.service)).union([
            "Admin", "v1", "v1alpha",
        ])
        #expect(names.subtracting(known).isEmpty)
        #expect(names.count > 25)
    }
}
