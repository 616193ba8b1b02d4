/* wire/types.c - the table of types that have a binary encoding here, and the words for a type in the wrong place.
 * Constants only. Sources: pg_type.dat for OIDs and lengths, the chapter "Data Types" for ranges. */
#include "wire/types.h"

#define SCALAR(kind, size, min, max, name)                                                                             \
    {                                                                                                                  \
        (kind), (size), (min), (max), "is out of range for " name, "is not the text of a valid " name,                 \
            "has the wrong size for " name                                                                             \
    }

static const struct rp_type other = {.kind = RP_KIND_OTHER};
static const struct rp_type boolean = SCALAR(RP_KIND_BOOL, 1, 0, 1, "bool");
static const struct rp_type int2 = SCALAR(RP_KIND_INTEGER, 2, INT16_MIN, INT16_MAX, "int2");
static const struct rp_type int4 = SCALAR(RP_KIND_INTEGER, 4, INT32_MIN, INT32_MAX, "int4");
static const struct rp_type int8 = SCALAR(RP_KIND_INTEGER, 8, INT64_MIN, INT64_MAX, "int8");
static const struct rp_type oid_type = SCALAR(RP_KIND_INTEGER, 4, 0, UINT32_MAX, "oid");
static const struct rp_type float4 = SCALAR(RP_KIND_FLOAT, 4, 0, 0, "float4");
static const struct rp_type float8 = SCALAR(RP_KIND_FLOAT, 8, 0, 0, "float8");
static const struct rp_type text = {.kind = RP_KIND_TEXT};
static const struct rp_type bytea = SCALAR(RP_KIND_BYTEA, 0, 0, 0, "bytea");

const struct rp_type *rp_type_of(uint32_t oid)
{
    switch (oid) {
    case PG_TYPE_BOOL:
        return &boolean;
    case PG_TYPE_INT2:
        return &int2;
    case PG_TYPE_INT4:
        return &int4;
    case PG_TYPE_INT8:
        return &int8;
    case PG_TYPE_OID:
        return &oid_type;
    case PG_TYPE_FLOAT4:
        return &float4;
    case PG_TYPE_FLOAT8:
        return &float8;
    case PG_TYPE_TEXT:
    case PG_TYPE_VARCHAR:
    case PG_TYPE_BPCHAR:
    case PG_TYPE_NAME:
    case PG_TYPE_JSON:
        return &text;
    case PG_TYPE_BYTEA:
        return &bytea;
    default:
        return &other;
    }
}

#define INSTEAD_OF(is)                                                                                                 \
    {                                                                                                                  \
        is ", not of another type", is ", not a bool", is ", not an integer", is ", not a float", is ", not text",     \
            is ", not bytea"                                                                                           \
    }

const char *const rp_kind_complaint[RP_KIND_COUNT][RP_KIND_COUNT] = {
    [RP_KIND_OTHER] = INSTEAD_OF("is of another type"),
    [RP_KIND_BOOL] = INSTEAD_OF("is a bool"),
    [RP_KIND_INTEGER] = INSTEAD_OF("is an integer"),
    [RP_KIND_FLOAT] = INSTEAD_OF("is a float"),
    [RP_KIND_TEXT] = INSTEAD_OF("is text"),
    [RP_KIND_BYTEA] = INSTEAD_OF("is bytea"),
};
