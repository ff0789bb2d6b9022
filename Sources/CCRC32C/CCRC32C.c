#include "CCRC32C.h"
#include <string.h>

// Reflected polynomial of CRC-32C (RFC 3720, appendix B.4).
#define POLYNOMIAL 0x82F63B78u

static uint32_t table[256];

__attribute__((constructor(101))) static void fill_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (POLYNOMIAL & (0u - (crc & 1)));
        table[byte] = crc;
    }
}

static uint32_t by_table(uint32_t crc, const uint8_t *p, size_t length) {
    while (length--) crc = (crc >> 8) ^ table[(crc ^ *p++) & 0xFF];
    return crc;
}

#if defined(__x86_64__)
// The instruction accepts one word per cycle but has a latency of three, so a single dependency
// chain reaches a third of the throughput. Three stretches are computed in parallel and then
// combined: the CRC of A followed by B is the CRC of A shifted over as many zeros as B is long,
// XORed with the CRC of B that starts from zero. The shift is linear, so it needs one table per
// byte of the CRC.

// Bytes of each stretch: the long one makes combining cheap, the short one covers small frames and
// the rest of large ones.
#define LONG_LOG2 12
#define SHORT_LOG2 8

typedef uint32_t shift_table[4][256];
static shift_table long_shift, short_shift;

static uint32_t apply(const uint32_t image[32], uint32_t crc) {
    uint32_t result = 0;
    for (int bit = 0; crc; bit++, crc >>= 1) if (crc & 1) result ^= image[bit];
    return result;
}

// Fills the tables that shift a CRC over 2^log2 zero bytes.
static void fill_shift(shift_table shift, int log2) {
    uint32_t image[32];
    for (int bit = 0; bit < 32; bit++) {
        uint32_t crc = 1u << bit;
        image[bit] = (crc >> 8) ^ table[crc & 0xFF];
    }
    for (; log2 > 0; log2--) {
        uint32_t squared[32];
        for (int bit = 0; bit < 32; bit++) squared[bit] = apply(image, image[bit]);
        memcpy(image, squared, sizeof image);
    }
    for (int byte = 0; byte < 4; byte++)
        for (uint32_t value = 0; value < 256; value++)
            shift[byte][value] = apply(image, value << (8 * byte));
}

__attribute__((constructor(102))) static void fill_shifts(void) {
    fill_shift(long_shift, LONG_LOG2);
    fill_shift(short_shift, SHORT_LOG2);
}

static inline uint32_t move(const shift_table shift, uint32_t crc) {
    return shift[0][crc & 0xFF] ^ shift[1][crc >> 8 & 0xFF] ^ shift[2][crc >> 16 & 0xFF] ^
           shift[3][crc >> 24];
}

static inline uint64_t word(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

__attribute__((target("sse4.2"))) static inline uint32_t by_three(
    uint32_t crc, const uint8_t *p, size_t stretch, const shift_table shift) {
    uint64_t first = crc, second = 0, third = 0;
    for (size_t at = 0; at < stretch; at += 8) {
        first = __builtin_ia32_crc32di(first, word(p + at));
        second = __builtin_ia32_crc32di(second, word(p + stretch + at));
        third = __builtin_ia32_crc32di(third, word(p + 2 * stretch + at));
    }
    return move(shift, move(shift, (uint32_t)first) ^ (uint32_t)second) ^ (uint32_t)third;
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *p,
                                                                 size_t length) {
    const size_t long_bytes = 1 << LONG_LOG2, short_bytes = 1 << SHORT_LOG2;
    for (; length >= 3 * long_bytes; length -= 3 * long_bytes, p += 3 * long_bytes)
        crc = by_three(crc, p, long_bytes, long_shift);
    for (; length >= 3 * short_bytes; length -= 3 * short_bytes, p += 3 * short_bytes)
        crc = by_three(crc, p, short_bytes, short_shift);
    uint64_t wide = crc;
    for (; length >= 8; length -= 8, p += 8) wide = __builtin_ia32_crc32di(wide, word(p));
    crc = (uint32_t)wide;
    while (length--) crc = __builtin_ia32_crc32qi(crc, *p++);
    return crc;
}
#endif

uint32_t profiles_crc32c(uint32_t crc, const void *bytes, size_t length) {
    crc = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return ~by_instruction(crc, bytes, length);
#endif
    return ~by_table(crc, bytes, length);
}
