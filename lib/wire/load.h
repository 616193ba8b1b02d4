/* wire/load.h - big-endian numbers out of received bytes, at any alignment (protocol chapter "Message Data Types"). The
 * counterpart of write.h. The caller has checked that the bytes are there. */
#ifndef RP_WIRE_LOAD_H
#define RP_WIRE_LOAD_H
#include <stdint.h>
#include <string.h>

static inline uint16_t rp_load_u16(const uint8_t *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return __builtin_bswap16(v);
}
static inline uint32_t rp_load_u32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return __builtin_bswap32(v);
}
static inline uint64_t rp_load_u64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return __builtin_bswap64(v);
}

#endif
