/* wire/cursor.h - a bounded reader over one message's body. Reading past the end gives zeros and sets `bad`, which the
 * caller looks at once, at the end. */
#ifndef RP_WIRE_CURSOR_H
#define RP_WIRE_CURSOR_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "wire/load.h"

struct rp_cursor {
    const uint8_t *at;
    size_t left;
    bool bad;
};
static inline const uint8_t *rp_read_bytes(struct rp_cursor *c, size_t n)
{
    if (n > c->left) {
        c->bad = true;
        c->left = 0;
        return NULL;
    }
    const uint8_t *at = c->at;
    c->at += n;
    c->left -= n;
    return at;
}
static inline uint8_t rp_read_u8(struct rp_cursor *c)
{
    const uint8_t *at = rp_read_bytes(c, 1);
    return at ? *at : 0;
}
static inline uint32_t rp_read_u32(struct rp_cursor *c)
{
    const uint8_t *at = rp_read_bytes(c, 4);
    return at ? rp_load_u32(at) : 0;
}
/* A NUL-terminated string inside the body; "" and `bad` where the terminator is missing. */
static inline const char *rp_read_cstr(struct rp_cursor *c)
{
    const uint8_t *end = c->left ? memchr(c->at, 0, c->left) : NULL;
    if (!end) {
        c->bad = true;
        c->left = 0;
        return "";
    }
    return (const char *)rp_read_bytes(c, (size_t)(end - c->at) + 1);
}

#endif
