/* session/base64.h - base64 (RFC 4648, section 4) as SCRAM needs it: no line breaks, padding required, nothing lax. */
#ifndef RP_SESSION_BASE64_H
#define RP_SESSION_BASE64_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RP_BASE64_SIZE(bytes) (((bytes) + 2) / 3 * 4)

/* Writes RP_BASE64_SIZE(size) characters, no NUL; returns their number. */
size_t rp_base64_encode(const uint8_t *at, size_t size, char *out);
/* False: not the one canonical encoding of at most `capacity` bytes. Then `out` and `*out_size` hold nothing of use. */
bool rp_base64_decode(const char *at, size_t size, uint8_t *out, size_t capacity, size_t *out_size);

#endif
