/* wire/copy.h - COPY's own messages: rows of the caller's as CopyData, and what CopyInResponse and CopyOutResponse say.
 *
 * Source: PostgreSQL, chapter "Frontend/Backend Protocol", "COPY Operations" and "Message Formats". Pure functions over
 * bytes. */
#ifndef RP_WIRE_COPY_H
#define RP_WIRE_COPY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "wire/write.h"

/* CopyData on its way out: one message, however often something is added. The server asks for no boundaries, and one
 * large message costs it less than many small ones. Always a whole message, so that it can be sent as it stands. */
struct rp_copy_buffer {
    uint8_t *at;     /* NULL: there is none         */
    size_t capacity; /* bytes at `at`               */
    size_t size;     /* of them in use, head and all */
};
/* Adds of `n` bytes as many as fit; returns how many. */
size_t rp_copy_put(struct rp_copy_buffer *b, const void *at, size_t n);

enum { RP_COPY_FAILURE = 127, RP_COPY_DONE_SIZE = 5 }; /* bytes of a CopyFail's text that are kept, its NUL aside */
void rp_write_copy_done(struct rp_writer *w);
size_t rp_copy_fail_size(const char *text);
void rp_write_copy_fail(struct rp_writer *w, const char *text);
/* At most RP_COPY_FAILURE bytes of `text`, and no half of a UTF-8 character. */
void rp_copy_keep_failure(char out[RP_COPY_FAILURE + 1], const char *text);

/* Of CopyInResponse and CopyOutResponse. `codes` points into the body: two bytes for each column. */
struct rp_copy_shape {
    bool binary;
    uint16_t columns;
    const uint8_t *codes;
};
/* False, and a static `*why`: malformed. */
bool rp_copy_shape_parse(struct rp_copy_shape *shape, const uint8_t *body, size_t size, const char **why);

#endif
