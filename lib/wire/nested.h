/* wire/nested.h - what arrays, records and ranges have in common: the values inside of one, behind a length word in
 * binary format, in quotes or bare in text. */
#ifndef RP_WIRE_NESTED_H
#define RP_WIRE_NESTED_H
#include "wire/cursor.h"
#include "wire/scan.h"

enum { RP_ARRAY_HEAD = 12, RP_ARRAY_DIMENSION = 8 }; /* bytes: dimensions, flags, element; length, lower bound */

/* A length word and as many bytes, or -1 and none: then out->data is NULL. False: they are not there. */
static inline bool rp_read_value(struct rp_cursor *c, struct pg_value *out)
{
    uint32_t size = rp_read_u32(c);
    out->data = NULL;
    out->size = 0;
    if (size == UINT32_MAX) return !c->bad;
    if (c->bad || size > c->left) return false;
    out->data = rp_read_bytes(c, size);
    out->size = size;
    return true;
}

/* "text in quotes", of which `out` becomes the view between the quotes. */
static inline bool rp_scan_quoted(struct rp_scan *s, enum pg_escape escape, struct pg_value *out)
{
    if (!rp_scan_char(s, '"')) return false;
    out->data = s->at;
    out->escape = PG_ESCAPE_NONE;
    for (; s->at < s->end; s->at++) {
        bool quote = *s->at == '"', next = s->end - s->at > 1;
        bool escapes = *s->at == '\\' || (quote && escape == PG_ESCAPE_RECORD && next && s->at[1] == '"');
        if (escapes) {
            if (!next) return false;
            out->escape = (uint8_t)escape;
            s->at++;
        } else if (quote) {
            out->size = (uint32_t)(s->at - out->data);
            s->at++;
            return true;
        }
    }
    return false;
}

/* Up to the first of `ends`, and nothing in it that would have been quoted. */
static inline bool rp_scan_bare(struct rp_scan *s, const char *ends, struct pg_value *out)
{
    out->data = s->at;
    out->escape = PG_ESCAPE_NONE;
    while (s->at < s->end && !(*s->at && strchr(ends, *s->at))) {
        if (*s->at == '"' || *s->at == '\\') return false;
        s->at++;
    }
    out->size = (uint32_t)(s->at - out->data);
    return s->at < s->end;
}

/* The window that is left of a value, for the iterators. */
static inline void rp_rest_set(struct pg_value *rest, const uint8_t *at, const uint8_t *end)
{
    rest->data = at;
    rest->size = (uint32_t)(end - at);
}

#endif
