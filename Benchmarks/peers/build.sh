#!/usr/bin/env bash
# Builds the gRPC C++ peer from the service's own .proto files, unless it is newer than they are.
# Usage: Benchmarks/peers/build.sh TARGET   (the program; what is generated goes beside it)
set -euo pipefail
target=$(realpath -m "$1")
cd "$(dirname "$0")/../.."
sources=(Protos Benchmarks/peers -type f '(' -name '*.proto' -o -name '*.cc' -o -name build.sh ')')
if [ -x "$target" ] && [ -z "$(find "${sources[@]}" -newer "$target")" ]; then exit 0; fi
generated=$target.generated
mkdir -p "$generated"
protos=(profiles/v1/profiles.proto profiles/v1/types.proto google/rpc/status.proto)
protoc -I Protos --cpp_out="$generated" "${protos[@]}"
protoc -I Protos --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" --grpc_out="$generated" \
    profiles/v1/profiles.proto
read -ra flags <<< "$(pkg-config --cflags --libs grpc++ protobuf)"
g++ -std=c++17 -O2 -I "$generated" Benchmarks/peers/grpc_server.cc "$generated"/profiles/v1/*.cc \
    "$generated"/google/rpc/*.cc -o "$target" "${flags[@]}"
