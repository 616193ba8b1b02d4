/* wire/types.h - what parameters and getters need to know about a type: one table for both directions. A type that
 * is not in it has no binary encoding here and travels as text. */
#ifndef RP_WIRE_TYPES_H
#define RP_WIRE_TYPES_H
#include "ringpg/value.h"

enum rp_kind {
    RP_KIND_OTHER,
    RP_KIND_BOOL,
    RP_KIND_INTEGER,
    RP_KIND_FLOAT,
    RP_KIND_TEXT,
    RP_KIND_BYTEA,
    RP_KIND_COUNT
};

struct rp_type {
    enum rp_kind kind;
    uint32_t size;            /* of the binary form in bytes; 0: any */
    int64_t min, max;         /* of an integer                       */
    const char *out_of_range; /* complaints, for scalars             */
    const char *malformed;    /* its text                            */
    const char *wrong_size;   /* its binary form                     */
};

/* Never NULL: an unknown OID is of kind RP_KIND_OTHER. */
const struct rp_type *rp_type_of(uint32_t oid);

/* "is text, not an integer": the complaint about one kind where another one is due. */
extern const char *const rp_kind_complaint[RP_KIND_COUNT][RP_KIND_COUNT];

#endif
