/* wire/types.h - what parameters and getters need to know about a type: one table for both directions. A type that
 * is not in it has no binary encoding here and travels as text or as raw bytes. */
#ifndef RP_WIRE_TYPES_H
#define RP_WIRE_TYPES_H
#include "ringpg/value.h"

enum rp_kind {
    RP_KIND_OTHER,   /* of the server, and not known here                                                    */
    RP_KIND_USER,    /* made by somebody: an enum, a composite, an array of them, an extension's: not known either */
    RP_KIND_BOOL,
    RP_KIND_INTEGER,
    RP_KIND_FLOAT,
    RP_KIND_TEXT,    /* the binary form is the text, behind `prefix` bytes */
    RP_KIND_BYTEA,
    RP_KIND_NUMERIC,
    RP_KIND_UUID,
    RP_KIND_DATE,
    RP_KIND_TIME,
    RP_KIND_TIMETZ,
    RP_KIND_TIMESTAMP,
    RP_KIND_TIMESTAMPTZ,
    RP_KIND_INTERVAL,
    RP_KIND_INET,
    RP_KIND_MACADDR,
    RP_KIND_BITS,
    RP_KIND_ARRAY,
    RP_KIND_RECORD,
    RP_KIND_RANGE,
    RP_KIND_COUNT
};

struct rp_type {
    uint8_t kind;             /* enum rp_kind                                                     */
    uint8_t prefix;           /* bytes before the text of the text family: jsonb's version, a 1   */
    uint16_t size;            /* of the binary form in bytes; 0: any                              */
    uint32_t element;         /* OID of an array's elements or a range's bounds; 0: none or unknown */
    int64_t min, max;         /* of what is an integer; infinities are beside that                */
    const char *out_of_range; /* complaints                                                       */
    const char *malformed;    /* its text                                                         */
    const char *wrong_size;   /* its binary form                                                  */
    const char *broken;       /* its binary form, where size is not all that can be wrong         */
};

enum { RP_TYPE_OIDS = 4200, RP_TYPE_FIRST_USER = 16384 }; /* FirstNormalObjectId: what initdb did not make */
extern const uint8_t rp_type_index[RP_TYPE_OIDS];
extern const struct rp_type rp_types[];

/* Never NULL: an unknown OID is of kind RP_KIND_OTHER or RP_KIND_USER, which are the first two. */
static inline const struct rp_type *rp_type_of(uint32_t oid)
{
    return &rp_types[oid < RP_TYPE_OIDS ? rp_type_index[oid] : oid >= RP_TYPE_FIRST_USER];
}

/* A numeric that has no digits. */
static inline bool rp_is_special(uint16_t sign)
{
    return sign == PG_SIGN_NAN || sign == PG_SIGN_INFINITY || sign == PG_SIGN_MINUS_INFINITY;
}

/* Arrays, records and ranges inside of each other, printed or sent: each level of quotes may double the text inside. */
enum { RP_NESTED_MOST = 6 };

/* "is text, not an integer": the complaint about one kind where another one is due. */
extern const char *const rp_kind_complaint[RP_KIND_COUNT][RP_KIND_COUNT];

#endif
