#!/usr/bin/env bash
# Builds profiled with all Swift of the server in one module, for comparison with the default build.
#
# Usage: Benchmarks/one-module.sh FOLDER   (its Sources are replaced; the binary is FOLDER/.build/release/profiled)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
target=${1:?usage: one-module.sh FOLDER}
modules=(Bytes IOCore IOLinux GRPCTransport Storage Profiles Messages ProfileService ProfileServer)

rm -rf "$target/Sources" "$target/Generated" && mkdir -p "$target/Sources/profiled"
for c in CNGHTTP2 CProtobufC CLinux CCRC32C; do cp -r "$root/Sources/$c" "$target/Sources/$c"; done
cp -r "$root/Generated" "$target/Generated"
pattern=$(IFS='|'; echo "${modules[*]}")
for module in "${modules[@]}" profiled; do
    (cd "$root/Sources/$module" && find . -name '*.swift') | while read -r file; do
        # All files go to one folder, so the module becomes part of the name: two modules may have a file of the same
        # name.
        name=$(echo "${file#./}" | tr '/' '-')
        [ "$name" = main.swift ] || name="$module-$name"
        sed -E "/^(@_exported )?import ($pattern)\$/d" "$root/Sources/$module/$file" > "$target/Sources/profiled/$name"
    done
done
cat > "$target/Package.swift" <<'PACKAGE'
// swift-tools-version: 6.1
import PackageDescription
let package = Package(
    name: "one-module",
    targets: [
        .systemLibrary(name: "CNGHTTP2", pkgConfig: "libnghttp2"),
        .systemLibrary(name: "CProtobufC", pkgConfig: "libprotobuf-c"),
        .target(name: "CLinux"), .target(name: "CCRC32C"),
        .target(
            name: "CMessages", dependencies: ["CProtobufC"], path: "Generated", publicHeadersPath: ".",
            cSettings: [.headerSearchPath(".")]),
        .executableTarget(
            name: "profiled", dependencies: ["CNGHTTP2", "CProtobufC", "CLinux", "CCRC32C", "CMessages"],
            swiftSettings: [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]),
    ],
    swiftLanguageModes: [.v6]
)
PACKAGE
cd "$target" && swift build -c release
