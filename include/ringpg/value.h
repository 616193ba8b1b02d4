/* ringpg/value.h - parameters in, values out.
 *
 * Types: bool, int2, int4, int8, oid, float4, float8, text, varchar, bytea, in text and in binary format. Every other
 * type can be sent as text (pg_str) and read as text (a statement or query with the TEXT flag). */
#ifndef RINGPG_VALUE_H
#define RINGPG_VALUE_H
#include <stdbool.h>
#include <string.h>
#include "error.h"
#ifdef __cplusplus
extern "C" {
#endif

/* OIDs that never change (pg_type.dat). PG_TYPE_INFER: the server decides; such a parameter travels as text. */
enum pg_type {
    PG_TYPE_BOOL = 16, PG_TYPE_BYTEA = 17, PG_TYPE_NAME = 19, PG_TYPE_INT8 = 20, PG_TYPE_INT2 = 21, PG_TYPE_INT4 = 23,
    PG_TYPE_TEXT = 25, PG_TYPE_OID = 26, PG_TYPE_JSON = 114, PG_TYPE_FLOAT4 = 700, PG_TYPE_FLOAT8 = 701,
    PG_TYPE_INFER = 705, PG_TYPE_BPCHAR = 1042, PG_TYPE_VARCHAR = 1043,
};

struct pg_text { const char *data; size_t size; };   /* a view; NOT terminated */

/* One parameter. Scalars are held by value; what `u.p` points at is the caller's and lives until the outcome. Use the
 * constructors. A parameter is checked when its query starts: an integer is given to any integer type that can hold
 * it, a float8 to float4 (rounded) and float8, text to text, varchar, bpchar, name and json, bytes to bytea; else
 * the query ends with PG_E_PARAMETER and nothing was sent. */
struct pg_param {
    uint32_t type;                                   /* OID; 0: NULL                                   */
    int32_t scale;                                   /* -1: `u.p` is text format, legal for EVERY type */
    union { int64_t i; double f; bool b; const void *p; } u;
    size_t size;                                     /* bytes behind `u.p`                             */
};
static inline struct pg_param pg_null(void) { struct pg_param p; memset(&p, 0, sizeof p); return p; }
static inline struct pg_param pg_param_of(uint32_t type, int64_t i)
{
    struct pg_param p = pg_null();
    p.type = type;
    p.u.i = i;
    return p;
}
static inline struct pg_param pg_bool(bool v) { struct pg_param p = pg_param_of(PG_TYPE_BOOL, 0); p.u.b = v; return p; }
static inline struct pg_param pg_int2(int16_t v) { return pg_param_of(PG_TYPE_INT2, v); }
static inline struct pg_param pg_int4(int32_t v) { return pg_param_of(PG_TYPE_INT4, v); }
static inline struct pg_param pg_int8(int64_t v) { return pg_param_of(PG_TYPE_INT8, v); }
static inline struct pg_param pg_oid(uint32_t v) { return pg_param_of(PG_TYPE_OID, v); }
static inline struct pg_param pg_float4(float v)
{
    struct pg_param p = pg_param_of(PG_TYPE_FLOAT4, 0);
    p.u.f = (double)v;
    return p;
}
static inline struct pg_param pg_float8(double v)
{
    struct pg_param p = pg_param_of(PG_TYPE_FLOAT8, 0);
    p.u.f = v;
    return p;
}
static inline struct pg_param pg_view(uint32_t type, const void *at, size_t n)
{
    struct pg_param p = pg_param_of(type, 0);
    p.u.p = at;
    p.size = n;
    return p;
}
static inline struct pg_param pg_bytes(const void *at, size_t n) { return pg_view(PG_TYPE_BYTEA, at, n); }
/* Text format, legal for every type; NULL gives SQL NULL. A NUL byte inside pg_strn ends the query with PG_E_PARAMETER.
 */
static inline struct pg_param pg_str(const char *s)
{
    struct pg_param p = pg_view(PG_TYPE_TEXT, s, s ? strlen(s) : 0);
    p.scale = -1;
    if (!s) p.type = 0;
    return p;
}
static inline struct pg_param pg_strn(const char *s, size_t n)
{
    struct pg_param p = pg_view(PG_TYPE_TEXT, s, n);
    p.scale = -1;
    return p;
}

/* One value, a view into the row it came from; dies with it. The getters return values: a NULL, a wrong type or a
 * value out of range gives 0 and marks the row, and a marked row ends its query with PG_E_VALUE naming the column, so
 * that a forgotten check is no silent zero. Widening (int8 of an int4) is no error. Text and binary format give the
 * same value. Reactor thread, inside on_row or while the row is paused. */
struct pg_value {
    const uint8_t *data;                             /* NULL: SQL NULL                       */
    uint32_t size;                                   /* bytes                                */
    uint32_t type;                                   /* OID                                  */
    bool text;                                       /* format                               */
    struct pg_row *row;                              /* marked by a getter's complaint; NULL: none */
    uint32_t column;                                 /* 0-based; named in the error          */
};
static inline bool pg_is_null(struct pg_value v) { return v.data == NULL; }
bool pg_value_bool(struct pg_value value);
int32_t pg_value_int4(struct pg_value value);         /* int2, int4; int8 and oid if it fits         */
int64_t pg_value_int8(struct pg_value value);         /* int2, int4, int8, oid                       */
double pg_value_float8(struct pg_value value);        /* float4, float8, and the integers up to 2^53 */
struct pg_text pg_value_text(struct pg_value value);  /* text, varchar, bpchar, name, json; every type in text format */
struct pg_text pg_value_bytes(struct pg_value value); /* the bytes as they came, any type and format       */
/* bytea in either format, copied: returns the size of the whole value in bytes, of which at most `capacity` were
 * written to `out`. Text format is the server's hex or escape output ("Binary Data Types"). */
size_t pg_value_bytea(struct pg_value value, void *out, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
