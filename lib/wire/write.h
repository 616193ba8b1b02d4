/* wire/write.h - a writer over a window of a longer output.
 *
 * Encoders write a request as if there was room for all of it. The writer drops the first `skip` bytes (they were sent
 * before) and what no longer fits (it is sent later), so that one plain encoder serves a request of 41 bytes and one
 * of a gigabyte: the caller calls it again with a larger `skip`. A skipped value costs no copy. Bytes are big-endian
 * (protocol chapter "Message Data Types"). */
#ifndef RP_WIRE_WRITE_H
#define RP_WIRE_WRITE_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct rp_writer {
    uint8_t *to;
    size_t capacity;          /* bytes at `to`                                             */
    size_t used;              /* of them written                                           */
    size_t skip;              /* bytes still to be dropped before the window               */
    size_t origin;            /* skip - used when the request began, for rp_write_position */
    struct rp_resume *resume; /* where the window before has ended; NULL: nobody remembers */
};

/* Where an array was when the window was full, so that the next one does not walk through all of its elements again.
 * Positions are in the request. Zeroed before a request's first window, kept by whoever has the request. */
struct pg_param;
struct rp_resume {
    const struct pg_param *of; /* the last array, record or range that was begun; NULL: none */
    uint32_t param;            /* its number                                                 */
    size_t at;                 /* of its length word                                         */
    size_t size;               /* of its value                                               */
    size_t element;            /* of an array: the last element that was begun, and where    */
    size_t element_at;
};

/* The next byte's place in the request, as long as the window has room. */
static inline size_t rp_write_position(const struct rp_writer *w) { return w->origin - w->skip + w->used; }
/* Drops what lies before `at`; false: it is behind the window's begin, or was passed. */
static inline bool rp_write_jump(struct rp_writer *w, size_t at)
{
    size_t position = rp_write_position(w);
    if (at <= position || at - position > w->skip) return false;
    w->skip -= at - position;
    return true;
}

/* The window's edges, off the straight way: encode.c. */
void rp_write_at_edge(struct rp_writer *w, const uint8_t *from, size_t n);

static inline void rp_write_bytes(struct rp_writer *w, const void *at, size_t n)
{
    if (__builtin_expect(w->skip || n > w->capacity - w->used, 0)) {
        rp_write_at_edge(w, at, n);
        return;
    }
    if (n) memcpy(w->to + w->used, at, n); /* `at` may be NULL for nothing */
    w->used += n;
}
/* Up to so many bytes in one piece: made where they belong if there is room for all of them, else in `edge`. Bytes that
 * were put down one by one and then copied as words would have to be waited for. */
enum { RP_WRITE_SHORT = 64 };
static inline uint8_t *rp_write_begin(const struct rp_writer *w, uint8_t edge[RP_WRITE_SHORT])
{
    return __builtin_expect(w->skip || w->capacity - w->used < RP_WRITE_SHORT, 0) ? edge : w->to + w->used;
}
static inline void rp_write_end(struct rp_writer *w, const uint8_t *piece, const uint8_t *edge, size_t n)
{
    if (piece == edge) rp_write_at_edge(w, piece, n);
    else w->used += n;
}
static inline void rp_write_u8(struct rp_writer *w, uint8_t v) { rp_write_bytes(w, &v, 1); }
static inline void rp_write_u16(struct rp_writer *w, uint16_t v)
{
    v = __builtin_bswap16(v);
    rp_write_bytes(w, &v, sizeof v);
}
static inline void rp_write_u32(struct rp_writer *w, uint32_t v)
{
    v = __builtin_bswap32(v);
    rp_write_bytes(w, &v, sizeof v);
}
static inline void rp_write_u64(struct rp_writer *w, uint64_t v)
{
    v = __builtin_bswap64(v);
    rp_write_bytes(w, &v, sizeof v);
}
static inline void rp_write_cstr(struct rp_writer *w, const char *s) { rp_write_bytes(w, s, strlen(s) + 1); }

#endif
