/* wire/value_text.c - text and bytes out of a row: views where the bytes are the value, copies where they are not.
 *
 * Owns the reading of text, of bytea and of the escapes inside of an array's or record's text. Sources: the chapters
 * "Data Types", "Binary Data Types"; jsonb_send; array_out and record_out for the escapes. */
#include "wire/getter.h"
#include "wire/check.h"
#include "wire/scan.h"
#include "wire/unescape.h"

static const struct pg_text nothing = { "", 0 };
const char rp_escaped[] = "has escapes inside of a container's text: pg_value_format copies it";

/* The binary form of the text family is its text, behind jsonb's version. A "char" of 0 is the empty text. */
const char *rp_read_text(struct pg_value value, const struct rp_type *type, struct pg_text *out)
{
    if (type->prefix && (value.size == 0 || *value.data != 1)) return type->broken;
    if (type->size) {
        if (value.size != type->size) return type->wrong_size;
        if (*value.data == 0) value.size = 0;
    }
    *out = (struct pg_text){ (const char *)value.data + type->prefix, value.size - type->prefix };
    return NULL;
}

/* Not the bytes as they stand: a complaint, behind a prefix, or a type of somebody's own. */
static struct pg_text other_text(struct pg_value value, const struct rp_type *type)
{
    struct pg_text text = nothing;
    const char *why = NULL;
    if (!value.data)
        why = "is NULL";
    else if (value.escape)
        why = rp_escaped;
    else if (type->kind == RP_KIND_TEXT)
        why = rp_read_text(value, type, &text);
    else if (type->kind != RP_KIND_USER || (value.size && memchr(value.data, 0, value.size)))
        why = rp_kind_complaint[type->kind][RP_KIND_TEXT];
    else
        text = (struct pg_text){ (const char *)value.data, value.size };
    if (why) rp_complain(value, why);
    return text;
}

static inline struct pg_text get_text(struct pg_value value)
{
    const struct rp_type *type = rp_type_of(value.type);
    bool plain = value.text || (type->kind == RP_KIND_TEXT && !type->prefix && !type->size);
    if (plain && value.data && !value.escape) return (struct pg_text){ (const char *)value.data, value.size };
    return other_text(value, type);
}
struct pg_text pg_value_text(struct pg_value value) { return get_text(value); }
struct pg_text pg_row_text(struct pg_row *row, uint32_t column) { return get_text(rp_row_value(row, column)); }

struct pg_text pg_value_bytes(struct pg_value value)
{
    if (!value.data) {
        rp_complain(value, "is NULL");
        return nothing;
    }
    return (struct pg_text){ (const char *)value.data, value.size };
}

/* "\x" and two digits a byte. */
static bool decode_hex(struct rp_unescape from, uint8_t *out, size_t capacity, size_t *size)
{
    size_t bytes = 0;
    for (int c; (c = rp_unescape_next(&from)) >= 0; bytes++) {
        int low = rp_unescape_next(&from);
        int high = rp_hex_digit((uint8_t)c);
        low = low < 0 ? -1 : rp_hex_digit((uint8_t)low);
        if (high < 0 || low < 0) return false;
        if (bytes < capacity) out[bytes] = (uint8_t)(high << 4 | low);
    }
    *size = bytes;
    return true;
}

/* Behind a backslash: another one, or three octal digits. */
static int decode_octal(struct rp_unescape *from)
{
    int c = rp_unescape_next(from), byte = 0;
    if (c == '\\') return c;
    for (int i = 0; i < 3; i++) {
        if (c < '0' || c > (i ? '7' : '3')) return -1;
        byte = byte << 3 | (c - '0');
        if (i < 2) c = rp_unescape_next(from);
    }
    return byte;
}

/* A backslash stands before another one or before three octal digits; every other byte stands for itself. */
static bool decode_escape(struct rp_unescape from, uint8_t *out, size_t capacity, size_t *size)
{
    size_t bytes = 0;
    for (int c; (c = rp_unescape_next(&from)) >= 0; bytes++) {
        if (c == '\\' && (c = decode_octal(&from)) < 0) return false;
        if (bytes < capacity) out[bytes] = (uint8_t)c;
    }
    *size = bytes;
    return true;
}

size_t pg_value_bytea(struct pg_value value, void *out, size_t capacity)
{
    RP_ASSERT(out || capacity == 0);
    const struct rp_type *type = rp_type_of(value.type);
    if (!rp_is_kind(value, type->kind, RP_KIND_BYTEA)) return 0;
    if (!value.text) {
        size_t copied = value.size < capacity ? value.size : capacity;
        if (copied) memcpy(out, value.data, copied);
        return value.size;
    }
    struct rp_unescape from = rp_unescape_of(value), behind = from;
    bool hex = rp_unescape_next(&behind) == '\\' && rp_unescape_next(&behind) == 'x';
    bool (*decode)(struct rp_unescape, uint8_t *, size_t, size_t *) = hex ? decode_hex : decode_escape;
    if (hex) from = behind;
    size_t size;
    /* Measured first: of a malformed value nothing is written. */
    if (decode(from, NULL, 0, &size)) return decode(from, out, capacity, &size) ? size : 0;
    rp_complain(value, type->malformed);
    return 0;
}
