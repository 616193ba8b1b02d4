/* wire/copy.c - COPY's own messages, see the header. */
#include "wire/copy.h"
#include "wire/cursor.h"
#include "wire/message.h"

size_t rp_copy_put(struct rp_copy_buffer *b, const void *at, size_t n)
{
    size_t head = b->size ? 0 : RP_FRAME_HEAD;
    if (b->capacity - b->size <= head) return 0;
    size_t room = b->capacity - b->size - head;
    if (n > room) n = room;
    if (n == 0) return 0;
    memcpy(b->at + b->size + head, at, n);
    b->size += head + n;
    uint32_t length = __builtin_bswap32((uint32_t)(b->size - 1)); /* a buffer is far below 1 GiB */
    b->at[0] = 'd';
    memcpy(b->at + 1, &length, sizeof length);
    return n;
}

void rp_write_copy_done(struct rp_writer *w) { rp_write_bytes(w, "c\0\0\0\4", RP_COPY_DONE_SIZE); }

size_t rp_copy_fail_size(const char *text) { return RP_FRAME_HEAD + strlen(text) + 1; }

void rp_write_copy_fail(struct rp_writer *w, const char *text)
{
    rp_write_u8(w, 'f');
    rp_write_u32(w, (uint32_t)(rp_copy_fail_size(text) - 1));
    rp_write_cstr(w, text);
}

void rp_copy_keep_failure(char out[RP_COPY_FAILURE + 1], const char *text)
{
    size_t n = strnlen(text, RP_COPY_FAILURE + 1);
    if (n > RP_COPY_FAILURE)
        for (n = RP_COPY_FAILURE; n && ((uint8_t)text[n] & 0xc0) == 0x80; n--) continue;
    memcpy(out, text, n);
    out[n] = 0;
}

bool rp_copy_shape_parse(struct rp_copy_shape *shape, const uint8_t *body, size_t size, const char **why)
{
    struct rp_cursor c = { body, size, false };
    uint8_t format = rp_read_u8(&c), high = rp_read_u8(&c), low = rp_read_u8(&c);
    *shape = (struct rp_copy_shape){ .binary = format == 1, .columns = (uint16_t)(high << 8 | low) };
    shape->codes = rp_read_bytes(&c, 2 * (size_t)shape->columns);
    *why = "a COPY response with an impossible length";
    if (c.bad || c.left) return false;
    *why = "a COPY response with an unknown format";
    if (format > 1) return false;
    for (size_t i = 0; i < 2 * (size_t)shape->columns; i += 2)
        if (shape->codes[i] || shape->codes[i + 1] > format) return false; /* all text where the whole is text */
    return true;
}
