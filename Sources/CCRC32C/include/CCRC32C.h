// CRC-32C (Castagnoli), with the SSE 4.2 instruction where the processor supports it.
#pragma once
#include <stddef.h>
#include <stdint.h>
/// Continues a CRC-32C over `length` bytes; start with `crc` 0. Includes the usual initial and
/// final inversion.
uint32_t profiles_crc32c(uint32_t crc, const void *bytes, size_t length);
