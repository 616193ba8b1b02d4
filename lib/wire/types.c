/* wire/types.c - the table of types that have a binary encoding here, and the words for a type in the wrong place.
 * Constants only. Sources: pg_type.dat for OIDs and lengths, the chapter "Data Types" for ranges, datatype/timestamp.h
 * for those of dates and timestamps. */
#include "wire/types.h"

enum { JSONB_VERSION_BYTES = 1 };
#define DAY_US INT64_C(86400000000)
/* From 4714-11-24 BC on; to 5874897-12-31 and 294276-12-31. */
#define DATE_MIN (-2451545)
#define DATE_MAX INT64_C(2145031948)
#define TIMESTAMP_MIN INT64_C(-211813488000000000)
#define TIMESTAMP_MAX INT64_C(9223371331199999999)

/* X(name, OID, OID of its array or 0, kind, prefix, size, element, min, max, what it is called) */
#define TYPES(X)                                                                                                       \
    X(BOOL, PG_TYPE_BOOL, 1000, BOOL, 0, 1, 0, 0, 1, "bool")                                                           \
    X(BYTEA, PG_TYPE_BYTEA, 1001, BYTEA, 0, 0, 0, 0, 0, "bytea")                                                       \
    X(CHAR, PG_TYPE_CHAR, 1002, TEXT, 0, 1, 0, 0, 0, "\"char\"")                                                       \
    X(NAME, PG_TYPE_NAME, 1003, TEXT, 0, 0, 0, 0, 0, "name")                                                           \
    X(INT8, PG_TYPE_INT8, 1016, INTEGER, 0, 8, 0, INT64_MIN, INT64_MAX, "int8")                                        \
    X(INT2, PG_TYPE_INT2, 1005, INTEGER, 0, 2, 0, INT16_MIN, INT16_MAX, "int2")                                        \
    X(INT4, PG_TYPE_INT4, 1007, INTEGER, 0, 4, 0, INT32_MIN, INT32_MAX, "int4")                                        \
    X(REGPROC, 24, 1008, INTEGER, 0, 4, 0, 0, UINT32_MAX, "oid")                                                       \
    X(TEXT, PG_TYPE_TEXT, 1009, TEXT, 0, 0, 0, 0, 0, "text")                                                           \
    X(OID, PG_TYPE_OID, 1028, INTEGER, 0, 4, 0, 0, UINT32_MAX, "oid")                                                  \
    X(XID, 28, 1011, INTEGER, 0, 4, 0, 0, UINT32_MAX, "xid")                                                           \
    X(CID, 29, 1012, INTEGER, 0, 4, 0, 0, UINT32_MAX, "cid")                                                           \
    X(JSON, PG_TYPE_JSON, 199, TEXT, 0, 0, 0, 0, 0, "json")                                                            \
    X(CIDR, PG_TYPE_CIDR, 651, INET, 0, 0, 0, 0, 0, "cidr")                                                            \
    X(FLOAT4, PG_TYPE_FLOAT4, 1021, FLOAT, 0, 4, 0, 0, 0, "float4")                                                    \
    X(FLOAT8, PG_TYPE_FLOAT8, 1022, FLOAT, 0, 8, 0, 0, 0, "float8")                                                    \
    X(UNKNOWN, PG_TYPE_INFER, 0, TEXT, 0, 0, 0, 0, 0, "unknown")                                                       \
    X(MACADDR8, PG_TYPE_MACADDR8, 775, MACADDR, 0, 8, 0, 0, 0, "macaddr8")                                             \
    X(MACADDR, PG_TYPE_MACADDR, 1040, MACADDR, 0, 6, 0, 0, 0, "macaddr")                                               \
    X(INET, PG_TYPE_INET, 1041, INET, 0, 0, 0, 0, 0, "inet")                                                           \
    X(BPCHAR, PG_TYPE_BPCHAR, 1014, TEXT, 0, 0, 0, 0, 0, "bpchar")                                                     \
    X(VARCHAR, PG_TYPE_VARCHAR, 1015, TEXT, 0, 0, 0, 0, 0, "varchar")                                                  \
    X(DATE, PG_TYPE_DATE, 1182, DATE, 0, 4, 0, DATE_MIN, DATE_MAX, "date")                                             \
    X(TIME, PG_TYPE_TIME, 1183, TIME, 0, 8, 0, 0, DAY_US, "time")                                                      \
    X(TIMESTAMP, PG_TYPE_TIMESTAMP, 1115, TIMESTAMP, 0, 8, 0, TIMESTAMP_MIN, TIMESTAMP_MAX, "timestamp")               \
    X(TIMESTAMPTZ, PG_TYPE_TIMESTAMPTZ, 1185, TIMESTAMPTZ, 0, 8, 0, TIMESTAMP_MIN, TIMESTAMP_MAX, "timestamptz")       \
    X(INTERVAL, PG_TYPE_INTERVAL, 1187, INTERVAL, 0, 16, 0, 0, 0, "interval")                                          \
    X(TIMETZ, PG_TYPE_TIMETZ, 1270, TIMETZ, 0, 12, 0, 0, DAY_US, "timetz")                                             \
    X(BIT, PG_TYPE_BIT, 1561, BITS, 0, 0, 0, 0, 0, "bit")                                                              \
    X(VARBIT, PG_TYPE_VARBIT, 1563, BITS, 0, 0, 0, 0, 0, "varbit")                                                     \
    X(NUMERIC, PG_TYPE_NUMERIC, 1231, NUMERIC, 0, 0, 0, 0, 0, "numeric")                                               \
    X(REFCURSOR, 1790, 2201, TEXT, 0, 0, 0, 0, 0, "refcursor")                                                         \
    X(REGPROCEDURE, 2202, 2207, INTEGER, 0, 4, 0, 0, UINT32_MAX, "oid")                                                \
    X(REGOPER, 2203, 2208, INTEGER, 0, 4, 0, 0, UINT32_MAX, "oid")                                                     \
    X(REGOPERATOR, 2204, 2209, INTEGER, 0, 4, 0, 0, UINT32_MAX, "oid")                                                 \
    X(REGCLASS, 2205, 2210, INTEGER, 0, 4, 0, 0, UINT32_MAX, "oid")                                                    \
    X(REGTYPE, 2206, 2211, INTEGER, 0, 4, 0, 0, UINT32_MAX, "oid")                                                     \
    X(RECORD, PG_TYPE_RECORD, 2287, RECORD, 0, 0, 0, 0, 0, "record")                                                   \
    X(ANYARRAY, PG_TYPE_ANYARRAY, 0, ARRAY, 0, 0, 0, 0, 0, "array")                                                    \
    X(VOID, PG_TYPE_VOID, 0, TEXT, 0, 0, 0, 0, 0, "void")                                                              \
    X(UUID, PG_TYPE_UUID, 2951, UUID, 0, 16, 0, 0, 0, "uuid")                                                          \
    X(REGCONFIG, 3734, 3735, INTEGER, 0, 4, 0, 0, UINT32_MAX, "oid")                                                   \
    X(REGDICTIONARY, 3769, 3770, INTEGER, 0, 4, 0, 0, UINT32_MAX, "oid")                                               \
    X(JSONB, PG_TYPE_JSONB, 3807, TEXT, JSONB_VERSION_BYTES, 0, 0, 0, 0, "jsonb")                                      \
    X(INT4RANGE, PG_TYPE_INT4RANGE, 3905, RANGE, 0, 0, PG_TYPE_INT4, 0, 0, "int4range")                                \
    X(NUMRANGE, PG_TYPE_NUMRANGE, 3907, RANGE, 0, 0, PG_TYPE_NUMERIC, 0, 0, "numrange")                                \
    X(TSRANGE, PG_TYPE_TSRANGE, 3909, RANGE, 0, 0, PG_TYPE_TIMESTAMP, 0, 0, "tsrange")                                 \
    X(TSTZRANGE, PG_TYPE_TSTZRANGE, 3911, RANGE, 0, 0, PG_TYPE_TIMESTAMPTZ, 0, 0, "tstzrange")                         \
    X(DATERANGE, PG_TYPE_DATERANGE, 3913, RANGE, 0, 0, PG_TYPE_DATE, 0, 0, "daterange")                                \
    X(INT8RANGE, PG_TYPE_INT8RANGE, 3927, RANGE, 0, 0, PG_TYPE_INT8, 0, 0, "int8range")                                \
    X(REGNAMESPACE, 4089, 4090, INTEGER, 0, 4, 0, 0, UINT32_MAX, "oid")                                                \
    X(REGROLE, 4096, 4097, INTEGER, 0, 4, 0, 0, UINT32_MAX, "oid")                                                     \
    X(REGCOLLATION, 4191, 4192, INTEGER, 0, 4, 0, 0, UINT32_MAX, "oid")

#define COMPLAINTS(name)                                                                                               \
    "is out of range for " name, "is not the text of a valid " name, "has the wrong size for " name,                   \
        "is not the binary form of a valid " name
#define SCALAR(id, oid, array, kind, prefix, size, element, min, max, name)                                            \
    { RP_KIND_##kind, prefix, size, element, min, max, COMPLAINTS(name) },
#define ARRAY(id, oid, array, kind, prefix, size, element, min, max, name)                                             \
    { RP_KIND_ARRAY, 0, 0, oid, 0, 0, COMPLAINTS("array") },
#define SCALAR_AT(id, ...) AT_##id,
#define ARRAY_AT(id, ...) AT_ARRAY_##id,

enum { AT_OTHER, AT_USER, TYPES(SCALAR_AT) TYPES(ARRAY_AT) AT_COUNT };
_Static_assert(AT_COUNT <= UINT8_MAX, "an index is one byte");
_Static_assert(AT_OTHER == 0 && AT_USER == 1, "rp_type_of counts on it");

const struct rp_type rp_types[] = {
    { RP_KIND_OTHER, 0, 0, 0, 0, 0, COMPLAINTS("value") },
    { RP_KIND_USER, 0, 0, 0, 0, 0, COMPLAINTS("value") },
    TYPES(SCALAR)
    TYPES(ARRAY)
};

/* Those without an array type have 0 there, which stays OTHER: OID 0 is no type. */
#define INDEX(id, oid, array, ...) [oid] = AT_##id,
#define INDEX_ARRAY(id, oid, array, ...) [array] = (array) ? AT_ARRAY_##id : AT_OTHER,
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init" /* three at [0] */
const uint8_t rp_type_index[RP_TYPE_OIDS] = { TYPES(INDEX) TYPES(INDEX_ARRAY) };
#pragma GCC diagnostic pop

#define INSTEAD_OF(is)                                                                                                 \
    {                                                                                                                  \
        is ", not of another type", is ", not of another type", is ", not a bool", is ", not an integer",              \
            is ", not a float", is ", not text", is ", not bytea", is ", not a numeric", is ", not a uuid",            \
            is ", not a date", is ", not a time", is ", not a timetz", is ", not a timestamp",                         \
            is ", not a timestamptz", is ", not an interval", is ", not an inet", is ", not a macaddr",                \
            is ", not a bit string", is ", not an array", is ", not a record", is ", not a range"                      \
    }

const char *const rp_kind_complaint[RP_KIND_COUNT][RP_KIND_COUNT] = {
    [RP_KIND_OTHER] = INSTEAD_OF("is of another type"),
    [RP_KIND_USER] = INSTEAD_OF("is of another type"),
    [RP_KIND_BOOL] = INSTEAD_OF("is a bool"),
    [RP_KIND_INTEGER] = INSTEAD_OF("is an integer"),
    [RP_KIND_FLOAT] = INSTEAD_OF("is a float"),
    [RP_KIND_TEXT] = INSTEAD_OF("is text"),
    [RP_KIND_BYTEA] = INSTEAD_OF("is bytea"),
    [RP_KIND_NUMERIC] = INSTEAD_OF("is a numeric"),
    [RP_KIND_UUID] = INSTEAD_OF("is a uuid"),
    [RP_KIND_DATE] = INSTEAD_OF("is a date"),
    [RP_KIND_TIME] = INSTEAD_OF("is a time"),
    [RP_KIND_TIMETZ] = INSTEAD_OF("is a timetz"),
    [RP_KIND_TIMESTAMP] = INSTEAD_OF("is a timestamp"),
    [RP_KIND_TIMESTAMPTZ] = INSTEAD_OF("is a timestamptz"),
    [RP_KIND_INTERVAL] = INSTEAD_OF("is an interval"),
    [RP_KIND_INET] = INSTEAD_OF("is an inet"),
    [RP_KIND_MACADDR] = INSTEAD_OF("is a macaddr"),
    [RP_KIND_BITS] = INSTEAD_OF("is a bit string"),
    [RP_KIND_ARRAY] = INSTEAD_OF("is an array"),
    [RP_KIND_RECORD] = INSTEAD_OF("is a record"),
    [RP_KIND_RANGE] = INSTEAD_OF("is a range"),
};
