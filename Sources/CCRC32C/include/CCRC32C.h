// CRC-32C (Castagnoli), by the SSE 4.2 instruction where the processor has it.
#pragma once
#include <stddef.h>
#include <stdint.h>
/// Continues a CRC-32C over `length` bytes; begin with `crc` 0. The usual initial and final
/// inversion is inside.
uint32_t profiles_crc32c(uint32_t crc, const void *bytes, size_t length);
