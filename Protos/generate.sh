#!/usr/bin/env bash
# Makes Generated/ from Protos/: protoc-c's code, the umbrella header, the module map, and the descriptor set as a C
# array.
# Usage: Protos/generate.sh [FOLDER]   (default: Generated)
set -euo pipefail
cd "$(dirname "$0")"
target=$(realpath -m "${1:-../Generated}")

well_known=(any duration field_mask timestamp wrappers)
own=(google/rpc/error_details.proto google/rpc/status.proto grpc/health/v1/health.proto
    grpc/reflection/v1/reflection.proto grpc/reflection/v1alpha/reflection.proto
    profiles/v1/admin.proto profiles/v1/profiles.proto profiles/v1/types.proto)
all=("${well_known[@]/#/google/protobuf/}")
all=("${all[@]/%/.proto}" "${own[@]}")

rm -rf "$target" && mkdir -p "$target"
protoc-c --proto_path=. --proto_path=/usr/include --c_out="$target" "${all[@]}"

{
    echo "// Umbrella of what protoc-c made of Protos/: every message of the contract."
    echo "#pragma once"
    for proto in "${all[@]}"; do echo "#include \"${proto%.proto}.pb-c.h\""; done
    echo '#include "descriptor_set.h"'
} > "$target/CMessages.h"

cat > "$target/module.modulemap" <<'MAP'
module CMessages {
    umbrella header "CMessages.h"
    export *
}
MAP

cat > "$target/descriptor_set.h" <<'HEADER'
// The serialised google.protobuf.FileDescriptorSet of Protos/, imports included: what server reflection serves.
#pragma once
#include <stddef.h>
#include <stdint.h>
extern const uint8_t profiles_descriptor_set[];
extern const size_t profiles_descriptor_set_bytes;
// Swift imports no array of unknown size.
static inline const uint8_t *profiles_descriptor_set_start(void) { return profiles_descriptor_set; }
HEADER

binary=$(mktemp)
trap 'rm -f "$binary"' EXIT
protoc --proto_path=. --proto_path=/usr/include --include_imports --descriptor_set_out="$binary" "${own[@]}"
{
    echo '#include "descriptor_set.h"'
    echo 'const uint8_t profiles_descriptor_set[] = {'
    od -An -v -tx1 -w24 "$binary" | sed -E 's/ ([0-9a-f]{2})/0x\1,/g'
    echo '};'
    echo 'const size_t profiles_descriptor_set_bytes = sizeof profiles_descriptor_set;'
} > "$target/descriptor_set.c"
