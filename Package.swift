// swift-tools-version: 6.1
import PackageDescription

// The dependency directions are drawn in docs/ARCHITECTURE.md; nothing may point upwards.
let package = Package(
    name: "profiles",
    products: [
        .executable(name: "profiled", targets: ["profiled"]),
        .executable(name: "profilectl", targets: ["profilectl"]),
        .executable(name: "profile-bench", targets: ["profile-bench"]),
    ],
    traits: [
        .trait(name: "TLS", description: "Encrypted connections, by OpenSSL 3.")
    ],
    targets: [
        // What Swift cannot import by itself.
        .systemLibrary(
            name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(
            name: "CProtobufC", pkgConfig: "libprotobuf-c",
            providers: [.apt(["libprotobuf-c-dev"])]),
        .systemLibrary(
            name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .target(name: "CLinux"),
        .target(name: "CCRC32C"),
        .target(
            name: "CMessages", dependencies: ["CProtobufC"], path: "Generated",
            publicHeadersPath: ".", cSettings: [.headerSearchPath(".")]),

        // Pure: no system call, no clock, no C.
        .target(name: "Bytes"),
        .target(name: "Profiles", dependencies: ["Bytes"]),
        .target(name: "ManualPages"),

        // Seams and their two sides.
        .target(name: "IOCore", dependencies: ["Bytes"]),
        .target(name: "IOLinux", dependencies: ["IOCore", "Bytes", "CLinux"]),
        // Without the trait there is no OpenSSL below it, and nothing of it is encrypted.
        .target(
            name: "IOTLS",
            dependencies: [
                "IOCore", .target(name: "COpenSSL", condition: .when(traits: ["TLS"])),
            ]),
        .target(name: "IOSimulation", dependencies: ["Storage", "IOCore", "Bytes"]),

        .target(name: "GRPCTransport", dependencies: ["IOCore", "Bytes", "CNGHTTP2"]),
        .target(name: "Storage", dependencies: ["IOCore", "Bytes", "CCRC32C"]),
        .target(name: "Messages", dependencies: ["Profiles", "Bytes", "CMessages", "CProtobufC"]),
        .target(
            name: "ProfileService",
            dependencies: ["GRPCTransport", "Storage", "Messages", "Profiles", "IOCore", "Bytes"]),
        .target(
            name: "ProfileServer",
            dependencies: [
                "ProfileService", "ProfileClient", "GRPCTransport", "Storage", "Profiles",
                "IOLinux", "IOTLS", "IOCore", "Bytes", "ManualPages", "CNGHTTP2", "CProtobufC",
            ],
            // The files of the profile page are part of the program.
            resources: [.embedInCode("Console/Assets")]),
        .executableTarget(name: "profiled", dependencies: ["ProfileServer", "IOLinux"]),

        // A directory without its server: for those who look at one, or put one back.
        .target(
            name: "ProfileOffline",
            dependencies: [
                "ProfileService", "Storage", "Messages", "Profiles", "IOLinux", "IOCore", "Bytes",
            ]),

        // The client side: apart from the server's state machines.
        .target(
            name: "ProfileClient",
            dependencies: [
                "CNGHTTP2", "CMessages", "CProtobufC", "CLinux",
                .target(name: "COpenSSL", condition: .when(traits: ["TLS"])),
            ]),
        .target(
            name: "ProfileTool", dependencies: ["ProfileClient", "ProfileOffline", "ManualPages"]),
        .executableTarget(name: "profilectl", dependencies: ["ProfileTool", "IOLinux"]),
        .executableTarget(name: "profile-bench", dependencies: ["ProfileClient", "IOLinux"]),

        // A whole node on simulated seams, and a client of its wire; used by tests only.
        .target(
            name: "TestSupport",
            dependencies: [
                "ProfileService", "ProfileClient", "GRPCTransport", "Storage", "IOSimulation",
                "IOCore", "CNGHTTP2", "Profiles",
            ], path: "Tests/Support"),
        // Worlds of such nodes that follow from a seed, with faults, clients and checkers.
        .target(
            name: "Simulator",
            dependencies: [
                "TestSupport", "ProfileService", "ProfileClient", "GRPCTransport", "Storage",
                "Messages", "Profiles", "IOSimulation", "IOCore", "Bytes",
            ]),
        .executableTarget(name: "profile-simulator", dependencies: ["Simulator"]),
        // One hot path at a time, for counts of instructions and allocator calls.
        .executableTarget(
            name: "profile-paths",
            dependencies: [
                "TestSupport", "ProfileClient", "GRPCTransport", "Storage", "Messages", "Profiles",
                "IOSimulation", "IOLinux", "IOCore", "Bytes",
            ]),
        .testTarget(
            name: "SimulatorTests",
            dependencies: [
                "Simulator", "TestSupport", "ProfileService", "ProfileClient", "Storage",
                "Profiles", "IOSimulation", "IOCore", "Bytes",
            ]),
        .testTarget(
            name: "NodeTests",
            dependencies: [
                "TestSupport", "ProfileService", "ProfileClient", "Storage", "Profiles",
                "Messages", "GRPCTransport", "Bytes", "IOSimulation", "IOCore",
            ]),

        .testTarget(name: "BytesTests", dependencies: ["Bytes"]),
        .testTarget(name: "IOLinuxTests", dependencies: ["IOLinux", "IOCore"]),
        .testTarget(name: "IOTLSTests", dependencies: ["IOTLS"]),
        .testTarget(
            name: "GRPCTransportTests",
            dependencies: ["GRPCTransport", "TestSupport", "IOSimulation", "IOCore", "Bytes"]),
        .testTarget(
            name: "StorageTests", dependencies: ["Storage", "IOSimulation", "IOLinux", "CCRC32C"],
            resources: [.copy("Golden")]),
        // The fuzz targets and their corpora; scripts/fuzz.sh builds the same files with libFuzzer.
        .testTarget(
            name: "FuzzTests",
            dependencies: [
                "ProfileTool", "ProfileServer", "ProfileClient", "GRPCTransport", "Storage",
                "Messages", "Profiles", "IOSimulation", "IOCore", "Bytes",
            ],
            resources: [.copy("Corpus")]),
        .testTarget(name: "ProfilesTests", dependencies: ["Profiles", "Bytes"]),
        .testTarget(
            name: "MessagesTests",
            dependencies: ["Messages", "Profiles", "Bytes", "CMessages", "CProtobufC"]),
        .testTarget(
            name: "ProfileServiceTests",
            dependencies: [
                "TestSupport", "ProfileService", "Messages", "CMessages", "GRPCTransport",
                "IOSimulation", "IOCore", "Storage", "Profiles", "Bytes",
            ],
            resources: [.copy("Golden")]),
        .testTarget(
            name: "ProfileClientTests", dependencies: ["ProfileClient", "IOSimulation"]),
        .testTarget(
            name: "ProfileToolTests",
            dependencies: ["ProfileTool", "ProfileClient", "ManualPages", "IOSimulation"]
        ),
        .testTarget(
            name: "ProfileServerTests",
            dependencies: [
                "ProfileServer", "ProfileService", "ProfileClient", "GRPCTransport", "Storage",
                "Profiles", "IOLinux", "IOCore", "Bytes",
            ]),
    ],
    swiftLanguageModes: [.v6]
)

// Release builds leave out the run-time check for overlapping accesses: it costs 10 % of a Track
// (docs/decisions/0006-exclusivity.md). Debug builds, and with them every test and sanitizer run,
// keep it.
for target in package.targets where target.type == .regular || target.type == .executable {
    target.swiftSettings = [
        .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))
    ]
}

// The compiler warns of an expectation whose result is not used, which cannot fail.
for target in package.targets where target.type == .test {
    target.swiftSettings = [.unsafeFlags(["-warnings-as-errors"])]
}

// Release builds of the programs that are installed have the Swift runtime in them: they run on a
// machine without a toolchain, and what the tests ran is what a package has
// (docs/decisions/0530-static-runtime.md). The others use Foundation, which would be 50 MB of each.
for target in package.targets where ["profiled", "profilectl"].contains(target.name) {
    target.linkerSettings = [
        .unsafeFlags(["-static-stdlib"], .when(configuration: .release))
    ]
}

// Only for scripts/canaries.sh, in a build folder of its own: the lines of the product and of the
// simulator that sabotage it, so that simulations prove that they find such faults.
if Context.environment["PROFILES_CANARIES"] != nil {
    for target in package.targets where target.type == .regular || target.type == .executable {
        target.swiftSettings = (target.swiftSettings ?? []) + [.define("CANARIES")]
    }
}

// Only for scripts/fuzz.sh, in a build folder of its own: an executable without a main function,
// which libFuzzer has, takes the place of the tests that share its files.
if Context.environment["PROFILES_FUZZ"] != nil {
    package.targets.removeAll { $0.type == .test }
    package.targets.append(
        .executableTarget(
            name: "profiles-fuzz",
            dependencies: [
                "ProfileTool", "ProfileServer", "ProfileClient", "GRPCTransport", "Storage",
                "Messages", "Profiles", "IOSimulation", "IOCore", "Bytes",
            ],
            path: "Tests/FuzzTests", exclude: ["CorpusTests.swift", "Corpus"],
            swiftSettings: [.define("PROFILES_FUZZ"), .unsafeFlags(["-parse-as-library"])]))
}
