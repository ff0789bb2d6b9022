// The output of "--version" and "/version", and the first line of a bug report.

import Profiles
import Storage

/// Versions of the program, of its rules and formats, and of the libraries loaded at run time.
package struct BuildVersion: Equatable, Sendable {
    /// One on-disk format and its number, such as `log` 1.
    package struct Format: Equatable, Sendable {
        package var name: String
        package var version: UInt32

        package init(_ name: String, _ version: UInt32) {
            self.name = name
            self.version = version
        }
    }

    /// Every format with a version of its own, as this release writes it, in the order shown.
    ///
    /// Genesis, commands and results are parts of records; what they mean is under the rules
    /// version. A backup is a directory of these formats. Tokens and page tokens are not stored,
    /// and their first byte names their kind.
    package static let writtenFormats: [Format] = [
        Format("log", StorageFormats.log), Format("snapshot", StorageFormats.snapshot),
        Format("snapshot_items", SnapshotFormat.version),
        Format("records", UInt32(RecordFormat.version)),
    ]

    /// The release, by semantic versioning.
    package static let program = "0.1.0"

    /// The compiler's minor release; no compilation condition exposes the patch level.
    package static var swift: String {
        #if compiler(>=6.4)
            "6.4 or newer"
        #elseif compiler(>=6.3)
            "6.3"
        #else
            "6.2 or older"
        #endif
    }

    /// Version of the rules of `apply` that new frames carry.
    package var rules: UInt32
    /// Written formats, in the order they are shown.
    package var formats: [Format]
    /// As reported by the loaded library, which may be newer than its headers.
    package var nghttp2: String
    package var protobufC: String
    /// `nil`: this program cannot encrypt.
    package var tlsLibrary: String?

    package init(
        rules: UInt32, formats: [Format], nghttp2: String, protobufC: String,
        tlsLibrary: String? = nil
    ) {
        self.tlsLibrary = tlsLibrary
        self.rules = rules
        self.formats = formats
        self.nghttp2 = nghttp2
        self.protobufC = protobufC
    }

    /// One line for `--version`, without a line break.
    package var text: String {
        let formats = self.formats.map { "\($0.name) format \($0.version)" }
        let parts =
            ["rules \(self.rules)"] + formats + [
                "Swift \(Self.swift)", "nghttp2 \(self.nghttp2)", "protobuf-c \(self.protobufC)",
            ] + (self.tlsLibrary.map { [$0] } ?? [])
        return "profiled \(Self.program) (\(parts.joined(separator: ", ")))"
    }

    /// One JSON object for `/version`, keys in a fixed order.
    package var json: String {
        let formats = self.formats.map { "\(JSONText.quoted($0.name)):\($0.version)" }
        return "{\"program\":\"profiled\",\"version\":\(JSONText.quoted(Self.program)),"
            + "\"rules\":\(self.rules),\"formats\":{\(formats.joined(separator: ","))},"
            + "\"swift\":\(JSONText.quoted(Self.swift)),"
            + "\"nghttp2\":\(JSONText.quoted(self.nghttp2)),"
            + "\"protobuf_c\":\(JSONText.quoted(self.protobufC))"
            + (self.tlsLibrary.map { ",\"tls\":\(JSONText.quoted($0))" } ?? "") + "}"
    }

    /// Adds the `profiles_build_info` gauge: always 1, the versions are its labels.
    package func write(to metrics: inout MetricsText) {
        metrics.gauge(
            "profiles_build_info", help: "Versions of the running program; always 1.",
            samples: [
                MetricsText.Sample(
                    labels: [
                        .init("version", Self.program), .init("rules", "\(self.rules)"),
                        .init("swift", Self.swift), .init("nghttp2", self.nghttp2),
                        .init("protobuf_c", self.protobufC),
                    ] + (self.tlsLibrary.map { [.init("tls", $0)] } ?? []), value: 1.0)
            ])
    }
}
