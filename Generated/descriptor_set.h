// The serialised google.protobuf.FileDescriptorSet of Protos/, imports included: what server reflection serves.
#pragma once
#include <stddef.h>
#include <stdint.h>
extern const uint8_t profiles_descriptor_set[];
extern const size_t profiles_descriptor_set_bytes;
// Swift imports no array of unknown size.
static inline const uint8_t *profiles_descriptor_set_start(void) { return profiles_descriptor_set; }
