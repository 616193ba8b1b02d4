/* ringpg/value.h - parameters in, values out.
 *
 * Every type of `enum pg_type` travels in text and in binary format: numbers, text, bytea, uuid, dates and times, json,
 * network addresses, bit strings, arrays, ranges and records. Any other type can be sent as text (pg_str) or as its
 * binary form (pg_raw), and read as text (a statement or query with the TEXT flag) or as its raw bytes. */
#ifndef RINGPG_VALUE_H
#define RINGPG_VALUE_H
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include "error.h"
#ifdef __cplusplus
extern "C" {
#endif

/* OIDs that never change (pg_type.dat). PG_TYPE_INFER: the server decides; such a parameter travels as text. The reg*
 * types are not named here: they are read and sent as the oid that they are. */
enum pg_type {
    PG_TYPE_BOOL = 16, PG_TYPE_BYTEA = 17, PG_TYPE_CHAR = 18, PG_TYPE_NAME = 19, PG_TYPE_INT8 = 20, PG_TYPE_INT2 = 21,
    PG_TYPE_INT4 = 23, PG_TYPE_TEXT = 25, PG_TYPE_OID = 26, PG_TYPE_JSON = 114, PG_TYPE_CIDR = 650,
    PG_TYPE_FLOAT4 = 700, PG_TYPE_FLOAT8 = 701, PG_TYPE_INFER = 705, PG_TYPE_MACADDR8 = 774, PG_TYPE_MACADDR = 829,
    PG_TYPE_INET = 869, PG_TYPE_BPCHAR = 1042, PG_TYPE_VARCHAR = 1043, PG_TYPE_DATE = 1082, PG_TYPE_TIME = 1083,
    PG_TYPE_TIMESTAMP = 1114, PG_TYPE_TIMESTAMPTZ = 1184, PG_TYPE_INTERVAL = 1186, PG_TYPE_TIMETZ = 1266,
    PG_TYPE_BIT = 1560, PG_TYPE_VARBIT = 1562, PG_TYPE_NUMERIC = 1700, PG_TYPE_RECORD = 2249, PG_TYPE_ANYARRAY = 2277,
    PG_TYPE_VOID = 2278, PG_TYPE_UUID = 2950, PG_TYPE_JSONB = 3802,
    PG_TYPE_INT4RANGE = 3904, PG_TYPE_NUMRANGE = 3906, PG_TYPE_TSRANGE = 3908, PG_TYPE_TSTZRANGE = 3910,
    PG_TYPE_DATERANGE = 3912, PG_TYPE_INT8RANGE = 3926,
    /* arrays of them */
    PG_TYPE_BOOL_ARRAY = 1000, PG_TYPE_BYTEA_ARRAY = 1001, PG_TYPE_CHAR_ARRAY = 1002, PG_TYPE_NAME_ARRAY = 1003,
    PG_TYPE_INT2_ARRAY = 1005, PG_TYPE_INT4_ARRAY = 1007, PG_TYPE_TEXT_ARRAY = 1009, PG_TYPE_BPCHAR_ARRAY = 1014,
    PG_TYPE_VARCHAR_ARRAY = 1015, PG_TYPE_INT8_ARRAY = 1016, PG_TYPE_FLOAT4_ARRAY = 1021, PG_TYPE_FLOAT8_ARRAY = 1022,
    PG_TYPE_OID_ARRAY = 1028, PG_TYPE_MACADDR_ARRAY = 1040, PG_TYPE_INET_ARRAY = 1041, PG_TYPE_CIDR_ARRAY = 651,
    PG_TYPE_MACADDR8_ARRAY = 775, PG_TYPE_TIMESTAMP_ARRAY = 1115, PG_TYPE_DATE_ARRAY = 1182, PG_TYPE_TIME_ARRAY = 1183,
    PG_TYPE_TIMESTAMPTZ_ARRAY = 1185, PG_TYPE_INTERVAL_ARRAY = 1187, PG_TYPE_NUMERIC_ARRAY = 1231,
    PG_TYPE_TIMETZ_ARRAY = 1270, PG_TYPE_BIT_ARRAY = 1561, PG_TYPE_VARBIT_ARRAY = 1563, PG_TYPE_JSON_ARRAY = 199,
    PG_TYPE_RECORD_ARRAY = 2287, PG_TYPE_UUID_ARRAY = 2951, PG_TYPE_JSONB_ARRAY = 3807, PG_TYPE_INT4RANGE_ARRAY = 3905,
    PG_TYPE_NUMRANGE_ARRAY = 3907, PG_TYPE_TSRANGE_ARRAY = 3909, PG_TYPE_TSTZRANGE_ARRAY = 3911,
    PG_TYPE_DATERANGE_ARRAY = 3913, PG_TYPE_INT8RANGE_ARRAY = 3927,
};

/* ---- what C has no type for ---- */

struct pg_text { const char *data; size_t size; };   /* a view; NOT terminated */

/* A date is days, a timestamp us since 2000-01-01 00:00 (timestamptz: UTC), as on the wire; BC is below. The extremes
 * of the integer are the infinities. */
#define PG_DATE_INFINITY INT32_MAX
#define PG_DATE_MINUS_INFINITY INT32_MIN
#define PG_TIME_INFINITY INT64_MAX
#define PG_TIME_MINUS_INFINITY INT64_MIN
struct pg_interval { int32_t months, days; int64_t us; }; /* all extremes alike: infinity (PostgreSQL 17)    */
struct pg_timetz { int64_t us; int32_t offset_s; };  /* of the day, and its zone's seconds east of UTC   */
struct pg_inet { uint8_t family, prefix, address[16]; }; /* family 4 or 6; prefix 0..32, 0..128; the address's first 4
                                                      * or 16 bytes */
/* A numeric of any size: sign * (digits[0] * 10000^weight + digits[1] * 10000^(weight-1) + ...), of which `scale`
 * decimals are shown. NaN and the infinities have no digits. Source: numeric_send. */
enum pg_sign {
    PG_SIGN_PLUS = 0, PG_SIGN_MINUS = 0x4000, PG_SIGN_NAN = 0xc000, PG_SIGN_INFINITY = 0xd000,
    PG_SIGN_MINUS_INFINITY = 0xf000,
};
struct pg_numeric {
    uint16_t sign;                                   /* enum pg_sign                                     */
    int16_t weight;
    uint16_t scale;                                  /* at most 16383                                    */
    uint16_t count;                                  /* of the digits                                    */
    const uint16_t *digits;                          /* each 0..9999                                     */
};

/* ---- parameters ---- */

/* One parameter. Scalars are held by value; what `u.p` points at is the caller's and lives until the outcome, and so do
 * the elements, fields and bounds there and what they point at. Use the constructors. A parameter is checked when its
 * query starts: an integer is given to any integer type that can hold it, a float8 to float4 (rounded) and float8,
 * text, json and jsonb to each other and to varchar, bpchar and name, inet to cidr and back, bit to varbit, an array to
 * an array whose elements take its own; every other value to its own type. Else the query ends with PG_E_PARAMETER and
 * nothing was sent. */
struct pg_months_days { int32_t months, days; };
struct pg_param {
    uint32_t type;                                   /* OID; 0: NULL                                     */
    int32_t scale;                                   /* decimals of a numeric; below 0: enum pg_form     */
    union { int64_t i; double f; bool b; const void *p; } u;
    union {
        size_t size;                                 /* bytes, bits or elements behind `u.p`             */
        struct pg_months_days date;                  /* of an interval, `u.i` its us                     */
        int32_t offset_s;                            /* of a timetz                                      */
    };
};
enum pg_form {                                       /* what `u.p` points at                             */
    PG_FORM_TEXT = -1,                               /* text format, legal for EVERY type                */
    PG_FORM_RAW = -2,                                /* the type's binary form                           */
    PG_FORM_NULL = -3,                               /* nothing: a NULL that has a type                  */
    PG_FORM_NUMERIC = -4,                            /* struct pg_numeric                                */
    PG_FORM_INT4S = -5, PG_FORM_INT8S = -6, PG_FORM_FLOAT8S = -7, PG_FORM_TEXTS = -8, /* plain arrays    */
    PG_FORM_ELEMENTS = -9,                           /* struct pg_param[] of an array                    */
    PG_FORM_SHAPED = -10,                            /* struct pg_elements                               */
    PG_FORM_FIELDS = -11,                            /* struct pg_param[] of a record                    */
    PG_FORM_BOUNDS = -12                             /* struct pg_bounds                                 */
};
/* Member by member: of a struct that is zeroed first compilers make small stores and wait for them in a large load. */
static inline struct pg_param pg_param_of(uint32_t type, int64_t i)
{
    struct pg_param p;
    p.type = type;
    p.scale = 0;
    p.u.i = i;
    p.date.months = p.date.days = 0;
    return p;
}
static inline struct pg_param pg_null(void) { return pg_param_of(0, 0); }
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
static inline struct pg_param pg_form_of(uint32_t type, int32_t form, const void *at, size_t n)
{
    struct pg_param p = pg_view(type, at, n);
    p.scale = form;
    return p;
}
static inline struct pg_param pg_bytes(const void *at, size_t n) { return pg_view(PG_TYPE_BYTEA, at, n); }
/* Text format, legal for every type; NULL gives SQL NULL. A NUL byte inside pg_strn ends the query with PG_E_PARAMETER.
 */
static inline struct pg_param pg_str(const char *s)
{
    struct pg_param p = pg_form_of(PG_TYPE_TEXT, PG_FORM_TEXT, s, s ? strlen(s) : 0);
    if (!s) p.type = 0;
    return p;
}
static inline struct pg_param pg_strn(const char *s, size_t n)
{
    return pg_form_of(PG_TYPE_TEXT, PG_FORM_TEXT, s, n);
}
/* The binary form of a value of any type, to be given to exactly that type; the server checks it. An enum's is its
 * label. */
static inline struct pg_param pg_raw(uint32_t type, const void *at, size_t n)
{
    return pg_form_of(type, PG_FORM_RAW, at, n);
}
/* As pg_null, for a field of a record, whose type the server wants to know. */
static inline struct pg_param pg_null_of(uint32_t type) { return pg_form_of(type, PG_FORM_NULL, NULL, 0); }

/* 12.34 is pg_decimal(1234, 2). */
static inline struct pg_param pg_decimal(int64_t v, int32_t scale)
{
    struct pg_param p = pg_param_of(PG_TYPE_NUMERIC, v);
    p.scale = scale < 0 ? INT32_MAX : scale;         /* refused when the query starts */
    return p;
}
static inline struct pg_param pg_numeric_of(const struct pg_numeric *v)
{
    return pg_form_of(PG_TYPE_NUMERIC, PG_FORM_NUMERIC, v, 0);
}
static inline struct pg_param pg_date(int32_t days) { return pg_param_of(PG_TYPE_DATE, days); }
static inline struct pg_param pg_time(int64_t us) { return pg_param_of(PG_TYPE_TIME, us); } /* of the day; 24:00 too */
static inline struct pg_param pg_timetz_of(struct pg_timetz v)
{
    struct pg_param p = pg_param_of(PG_TYPE_TIMETZ, v.us);
    p.offset_s = v.offset_s;
    return p;
}
static inline struct pg_param pg_timestamp(int64_t us) { return pg_param_of(PG_TYPE_TIMESTAMP, us); }
static inline struct pg_param pg_timestamptz(int64_t us) { return pg_param_of(PG_TYPE_TIMESTAMPTZ, us); }
static inline struct pg_param pg_interval_of(struct pg_interval v)
{
    struct pg_param p = pg_param_of(PG_TYPE_INTERVAL, v.us);
    p.date.months = v.months;
    p.date.days = v.days;
    return p;
}
static inline struct pg_param pg_uuid(const uint8_t at[16]) { return pg_view(PG_TYPE_UUID, at, 16); }
static inline struct pg_param pg_json(const char *s, size_t n) { return pg_view(PG_TYPE_JSON, s, n); }
static inline struct pg_param pg_jsonb(const char *s, size_t n) { return pg_view(PG_TYPE_JSONB, s, n); }
static inline struct pg_param pg_inet_of(const struct pg_inet *v) { return pg_view(PG_TYPE_INET, v, 1); }
static inline struct pg_param pg_cidr_of(const struct pg_inet *v) { return pg_view(PG_TYPE_CIDR, v, 1); }
static inline struct pg_param pg_macaddr(const uint8_t at[6]) { return pg_view(PG_TYPE_MACADDR, at, 6); }
static inline struct pg_param pg_macaddr8(const uint8_t at[8]) { return pg_view(PG_TYPE_MACADDR8, at, 8); }
/* `n` bits; the first is the highest of the first byte. */
static inline struct pg_param pg_bits(const void *at, size_t n) { return pg_view(PG_TYPE_VARBIT, at, n); }

/* Arrays of one dimension that begin at 1, straight from C's. A text whose data is NULL is a NULL. */
static inline struct pg_param pg_int4_array(const int32_t *v, size_t n)
{
    return pg_form_of(PG_TYPE_INT4_ARRAY, PG_FORM_INT4S, v, n);
}
static inline struct pg_param pg_int8_array(const int64_t *v, size_t n)
{
    return pg_form_of(PG_TYPE_INT8_ARRAY, PG_FORM_INT8S, v, n);
}
static inline struct pg_param pg_float8_array(const double *v, size_t n)
{
    return pg_form_of(PG_TYPE_FLOAT8_ARRAY, PG_FORM_FLOAT8S, v, n);
}
static inline struct pg_param pg_text_array(const struct pg_text *v, size_t n)
{
    return pg_form_of(PG_TYPE_TEXT_ARRAY, PG_FORM_TEXTS, v, n);
}
/* Elements of any type, NULLs among them. Inside of arrays, records and ranges everything is binary: pg_str is legal
 * there for the text family and for enums. */
static inline struct pg_param pg_array_of(uint32_t array_type, const struct pg_param *elements, size_t n)
{
    return pg_form_of(array_type, PG_FORM_ELEMENTS, elements, n);
}
enum { PG_DIMENSIONS = 6 };
/* The same with a shape: the elements row by row, the last dimension fastest. */
struct pg_elements {
    const struct pg_param *at;                       /* as many as the product of the lengths            */
    uint32_t element_type;                           /* 0: that of the array type, if enum pg_type has it */
    uint32_t dimensions;                             /* 0..PG_DIMENSIONS; 0: an empty array              */
    int32_t length[PG_DIMENSIONS], lower[PG_DIMENSIONS];
};
static inline struct pg_param pg_array_shaped(uint32_t array_type, const struct pg_elements *v)
{
    return pg_form_of(array_type, PG_FORM_SHAPED, v, 1);
}
/* A value of a composite type, whose fields have exactly the types that the server declares, NULLs too (pg_null_of).
 * The server takes no anonymous record. */
static inline struct pg_param pg_record_of(uint32_t type, const struct pg_param *fields, size_t n)
{
    return pg_form_of(type, PG_FORM_FIELDS, fields, n);
}
struct pg_bounds { struct pg_param lower, upper; bool empty, lower_inclusive, upper_inclusive; }; /* NULL: none */
static inline struct pg_param pg_range_of(uint32_t range_type, const struct pg_bounds *v)
{
    return pg_form_of(range_type, PG_FORM_BOUNDS, v, 1);
}

/* ---- values ---- */

/* One value, a view into the row it came from; dies with it. The getters return values: a NULL, a wrong type or a
 * value out of range gives 0 and marks the row, and a marked row ends its query with PG_E_VALUE naming the column, so
 * that a forgotten check is no silent zero. Widening (int8 of an int4) is no error. Text and binary format give the
 * same value, of text what the server writes with DateStyle ISO and IntervalStyle postgres, its defaults. Reactor
 * thread, inside on_row or while the row is paused.
 * A type that the library cannot know to be an enum, a composite, an array or a range of yours is read by what you say
 * that it is: the getters below for text, arrays, records and ranges take every type that is not in `enum pg_type`, and
 * `value.type` may be set to what it is like (PG_TYPE_RECORD, PG_TYPE_ANYARRAY, PG_TYPE_INT4RANGE). */
struct pg_value {
    const uint8_t *data;                             /* NULL: SQL NULL                       */
    uint32_t size;                                   /* bytes                                */
    uint32_t type;                                   /* OID; 0: not said (a field of a record in text format) */
    bool text;                                       /* format                               */
    uint8_t escape;                                  /* enum pg_escape                       */
    struct pg_row *row;                              /* marked by a getter's complaint; NULL: none */
    uint32_t column;                                 /* 0-based; named in the error          */
};
/* In text format an element or field may hold quotes or backslashes, which the server has escaped: no view of it is its
 * value. Such a one is copied by pg_value_format (and pg_value_bytea); pg_value_text and the iterators below complain.
 * To walk through it, make a value over the copy: the same with `data` and `size` of the copy and PG_ESCAPE_NONE. */
enum pg_escape { PG_ESCAPE_NONE, PG_ESCAPE_ARRAY, PG_ESCAPE_RECORD };
static inline bool pg_is_null(struct pg_value v) { return v.data == NULL; }
bool pg_value_bool(struct pg_value value);
int32_t pg_value_int4(struct pg_value value);         /* int2, int4; int8 and oid if it fits         */
int64_t pg_value_int8(struct pg_value value);         /* int2, int4, int8, oid                       */
double pg_value_float8(struct pg_value value);        /* float4, float8, and the integers up to 2^53 */
/* text, varchar, bpchar, name, "char", json, jsonb; every type in text format; binary enums and others of yours that
 * hold no NUL byte. */
struct pg_text pg_value_text(struct pg_value value);
struct pg_text pg_value_bytes(struct pg_value value); /* the bytes as they came, any type and format       */
/* bytea in either format, copied: returns the size of the whole value in bytes, of which at most `capacity` were
 * written to `out`. Text format is the server's hex or escape output ("Binary Data Types"). */
size_t pg_value_bytea(struct pg_value value, void *out, size_t capacity);

/* numeric * 10^scale, `scale` from 0 to 16383: numeric(12, 2) as cents. Exact: decimals beyond the scale, more than 63
 * bits, NaN and the infinities are complaints. */
int64_t pg_value_decimal(struct pg_value value, int32_t scale);
/* Every numeric: `digits` has room for `capacity`, of which as many as there are, `count` of the result, are written.
 * With too little room result.digits is NULL, and 4 digits of the number need one of the array. */
struct pg_numeric pg_value_numeric(struct pg_value value, uint16_t *digits, size_t capacity);

int32_t pg_value_date(struct pg_value value);         /* days since 2000-01-01; infinities as named above     */
int64_t pg_value_time(struct pg_value value);         /* us of the day, 24:00 is possible                     */
struct pg_timetz pg_value_timetz(struct pg_value value);
int64_t pg_value_timestamp(struct pg_value value);    /* timestamp: us since 2000-01-01 in a zone that you know */
int64_t pg_value_timestamptz(struct pg_value value);  /* timestamptz: us since 2000-01-01 UTC                 */
struct pg_interval pg_value_interval(struct pg_value value);
bool pg_value_uuid(struct pg_value value, uint8_t out[16]); /* false: complained, zeros                       */
struct pg_inet pg_value_inet(struct pg_value value);  /* inet and cidr; family 0: complained                  */
size_t pg_value_macaddr(struct pg_value value, uint8_t out[8]); /* 6 or 8 bytes, the rest is zero; 0: complained */
/* bit and varbit: returns the number of bits; of its bytes at most `capacity` were written. */
size_t pg_value_bits(struct pg_value value, void *out, size_t capacity);

/* Prints a value of any type of `enum pg_type` as the server would with its default settings: DateStyle ISO,
 * IntervalStyle postgres, bytea_output hex, extra_float_digits 1 (the shortest digits that give the same float
 * again). It does not know the session's TimeZone: timestamptz is printed in UTC, "2024-02-29 12:00:00+00". Of the
 * reg* types it prints the number, of types that are not in `enum pg_type` an enum's label. Text format is copied as
 * it came, what the server has escaped inside of containers without the escapes. The decimal point is '.' in every
 * locale. Returns the size of the whole text in bytes; at most capacity - 1 of them and a NUL were written (nothing
 * if capacity is 0), as snprintf. NULL, a malformed value, a type without a known binary form and one nested deeper
 * than 6 are complaints and give 0 and "". */
size_t pg_value_format(struct pg_value value, char *out, size_t capacity);

/* ---- arrays, records, ranges: views, valid as long as the value ---- */

/* The whole value is checked first: a malformed one is a complaint, and gives no dimensions and no element. */
struct pg_array {
    uint32_t dimensions;                             /* 0: empty                                              */
    uint32_t element_type;                           /* OID; 0: text format of an array type that is not known */
    uint32_t count;                                  /* elements in all dimensions together                   */
    int32_t length[PG_DIMENSIONS], lower[PG_DIMENSIONS];
    struct pg_value rest_private;
    uint32_t left_private;
};
struct pg_array pg_value_array(struct pg_value value);
/* The elements, the last dimension fastest. False: there is none left, and *out is NULL. An element's complaint marks
 * the row under the array's column. */
bool pg_array_next(struct pg_array *array, struct pg_value *out);

/* In text format the fields have no types (value.type is 0): set `type` before a getter that wants one. "()" is one
 * NULL. */
struct pg_record {
    uint32_t count;                                  /* fields                                                */
    struct pg_value rest_private;
    uint32_t left_private;
};
struct pg_record pg_value_record(struct pg_value value);
bool pg_record_next(struct pg_record *record, struct pg_value *out);

/* A bound that is NULL is none. Bounds of a range type that is not in `enum pg_type` have type 0. */
struct pg_range { bool empty, lower_inclusive, upper_inclusive; struct pg_value lower, upper; };
struct pg_range pg_value_range(struct pg_value value);

/* ---- beside values; any thread ---- */

/* us since 2000-01-01 UTC to the system's clock and back. The infinities and what time_t cannot hold become its
 * extremes; back, what is not in the server's range becomes the infinities, and ns are rounded down to us. */
struct timespec pg_time_to_timespec(int64_t us_since_2000);
int64_t pg_time_from_timespec(struct timespec time);

/* "a""b": a name for SQL text that is built at run time, in double quotes. Returns as snprintf; 0, and "": it is empty,
 * has a NUL byte or is no valid UTF-8. There is no quoting of values: those are parameters. */
size_t pg_quote_identifier(struct pg_text name, char *out, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
