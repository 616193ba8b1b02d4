/* session/base64.c - base64 over the caller's memory. Owns nothing; must never allocate, which is why it is not
 * OpenSSL's (that one allocates, skips white space and accepts more than one spelling of the same bytes).
 *
 * Invariant: decode accepts exactly what encode can produce, so that one value has one spelling. */
#include "session/base64.h"
#include "wire/check.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t rp_base64_encode(const uint8_t *at, size_t size, char *out)
{
    RP_ASSERT(out != NULL && (at != NULL || size == 0));
    char *start = out;
    for (; size >= 3; at += 3, size -= 3) {
        uint32_t group = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
        for (int shift = 18; shift >= 0; shift -= 6) *out++ = alphabet[group >> shift & 63];
    }
    if (size > 0) {
        uint32_t group = (uint32_t)at[0] << 16 | (size == 2 ? (uint32_t)at[1] << 8 : 0);
        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = size == 2 ? alphabet[group >> 6 & 63] : '=';
        *out++ = '=';
    }
    return (size_t)(out - start);
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool rp_base64_decode(const char *at, size_t size, uint8_t *out, size_t capacity, size_t *out_size)
{
    if (size % 4 != 0) return false;
    size_t padding = size == 0 || at[size - 1] != '=' ? 0 : at[size - 2] != '=' ? 1 : 2;
    size_t bytes = size / 4 * 3 - padding;
    if (bytes > capacity) return false;
    size_t made = 0;
    for (size_t i = 0; i < size; i += 4) {
        size_t pad = i + 4 == size ? padding : 0;
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            int d = k >= 4 - pad ? 0 : digit(at[i + k]);
            if (d < 0) return false;
            group = group << 6 | (uint32_t)d;
        }
        if (pad > 0 && (group & (pad == 1 ? 0xFFu : 0xFFFFu)) != 0) return false; /* bits that no byte has */
        for (size_t k = 0; k < 3 - pad; k++) out[made++] = (uint8_t)(group >> (16 - 8 * k));
    }
    *out_size = made;
    return made == bytes;
}
