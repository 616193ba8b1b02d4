/* wire/unescape.h - the bytes of a text value one by one, without the escapes that the text of an array or a record
 * around it has put in. The walks that make such values (value_array.c, value_record.c) have seen that no escape ends
 * behind the value. */
#ifndef RP_WIRE_UNESCAPE_H
#define RP_WIRE_UNESCAPE_H
#include "ringpg/value.h"

struct rp_unescape {
    const uint8_t *at, *end;
    uint8_t escape;
};
static inline struct rp_unescape rp_unescape_of(struct pg_value value)
{
    return (struct rp_unescape){ value.data, value.data + value.size, value.escape };
}
/* -1: there are no more. A backslash stands before what is meant; in a record also a quote before a quote. */
static inline int rp_unescape_next(struct rp_unescape *u)
{
    if (u->at == u->end) return -1;
    uint8_t c = *u->at++;
    bool escape = u->escape && (c == '\\' || (c == '"' && u->escape == PG_ESCAPE_RECORD));
    return escape && u->at < u->end ? *u->at++ : c;
}

#endif
