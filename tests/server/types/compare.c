/* server/types/compare.c - two values by all of their getters, and a value as a parameter again. */
#include <stdlib.h>
#include <string.h>
#include "server/types/types.h"
#include "wire/types.h"

/* ---- memory that the parameters point at ---- */

static _Alignas(16) uint8_t arena[1 << 22];
static size_t arena_used;

void types_forget(void) { arena_used = 0; }

static void *take(size_t size)
{
    size_t at = (arena_used + 15) & ~(size_t)15;
    if (size > sizeof arena - at) abort();
    arena_used = at + size;
    return arena + at;
}
static void *keep(const void *from, size_t size) { return memcpy(take(size), from, size); }

/* ---- comparing ---- */

static const char *texts_differ(struct pg_value a, struct pg_value b)
{
    size_t n = pg_value_format(a, NULL, 0), m = pg_value_format(b, NULL, 0);
    char *x = malloc(n + 1), *y = malloc(m + 1);
    if (!x || !y) abort();
    bool same = pg_value_format(a, x, n + 1) == pg_value_format(b, y, m + 1) && n == m && memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return same ? NULL : "text";
}

static const char *byteas_differ(struct pg_value a, struct pg_value b)
{
    uint8_t x[4096], y[4096];
    size_t n = pg_value_bytea(a, x, sizeof x);
    return n != pg_value_bytea(b, y, sizeof y) || n > sizeof x || memcmp(x, y, n) != 0 ? "bytea" : NULL;
}

static const char *bits_differ(struct pg_value a, struct pg_value b)
{
    uint8_t x[512], y[512];
    size_t n = pg_value_bits(a, x, sizeof x);
    return n != pg_value_bits(b, y, sizeof y) || n > 8 * sizeof x || memcmp(x, y, (n + 7) / 8) != 0 ? "bits" : NULL;
}

enum { DIGITS = 40000 };
static const char *numerics_differ(struct pg_value a, struct pg_value b)
{
    static uint16_t x[DIGITS], y[DIGITS];
    struct pg_numeric n = pg_value_numeric(a, x, DIGITS), m = pg_value_numeric(b, y, DIGITS);
    if (n.sign != m.sign || n.weight != m.weight || n.scale != m.scale || n.count != m.count) return "numeric";
    return memcmp(x, y, 2 * (size_t)n.count) ? "digits" : NULL;
}

static const char *floats_differ(struct pg_value a, struct pg_value b)
{
    double x = pg_value_float8(a), y = pg_value_float8(b);
    return (x != x && y != y) || memcmp(&x, &y, sizeof x) == 0 ? NULL : "float8";
}

static const char *fixed_differ(struct pg_value a, struct pg_value b)
{
    uint8_t x[16], y[16];
    size_t n = 16;
    if (rp_type_of(a.type)->kind == RP_KIND_MACADDR) {
        n = pg_value_macaddr(a, x);
        return n != pg_value_macaddr(b, y) || memcmp(x, y, n) ? "macaddr" : NULL;
    }
    return !pg_value_uuid(a, x) || !pg_value_uuid(b, y) || memcmp(x, y, n) ? "uuid" : NULL;
}

static const char *inets_differ(struct pg_value a, struct pg_value b)
{
    struct pg_inet x = pg_value_inet(a), y = pg_value_inet(b);
    return memcmp(&x, &y, sizeof x) ? "inet" : NULL;
}

static const char *spans_differ(struct pg_value a, struct pg_value b)
{
    if (rp_type_of(a.type)->kind == RP_KIND_TIMETZ) {
        struct pg_timetz x = pg_value_timetz(a), y = pg_value_timetz(b);
        return x.us != y.us || x.offset_s != y.offset_s ? "timetz" : NULL;
    }
    struct pg_interval x = pg_value_interval(a), y = pg_value_interval(b);
    return x.months != y.months || x.days != y.days || x.us != y.us ? "interval" : NULL;
}

static const char *arrays_differ(struct pg_value a, struct pg_value b)
{
    struct pg_array x = pg_value_array(a), y = pg_value_array(b);
    struct pg_value v, w;
    bool shape = x.dimensions == y.dimensions && x.count == y.count && !memcmp(x.length, y.length, sizeof x.length) &&
                 !memcmp(x.lower, y.lower, sizeof x.lower);
    const char *why = shape ? NULL : "shape";
    while (!why && pg_array_next(&x, &v)) {
        if (!pg_array_next(&y, &w)) return "fewer elements";
        v.type = w.type = x.element_type ? x.element_type : y.element_type;
        why = types_differ(v, w);
    }
    return why ? why : pg_array_next(&y, &w) ? "more elements" : NULL;
}

static const char *records_differ(struct pg_value a, struct pg_value b)
{
    struct pg_record x = pg_value_record(a), y = pg_value_record(b);
    struct pg_value v, w;
    /* "()" in text is one NULL, and a record without fields in binary. */
    const char *why = (x.count ? x.count : 1) == (y.count ? y.count : 1) ? NULL : "count of fields";
    while (!why && pg_record_next(&x, &v) && pg_record_next(&y, &w)) {
        v.type = w.type = v.type ? v.type : w.type;
        why = types_differ(v, w);
    }
    return why;
}

static const char *ranges_differ(struct pg_value a, struct pg_value b)
{
    struct pg_range x = pg_value_range(a), y = pg_value_range(b);
    if (x.empty != y.empty || x.lower_inclusive != y.lower_inclusive || x.upper_inclusive != y.upper_inclusive)
        return "flags of a range";
    const char *why = types_differ(x.lower, y.lower);
    return why ? why : types_differ(x.upper, y.upper);
}

const char *types_differ(struct pg_value a, struct pg_value b)
{
    if (pg_is_null(a) || pg_is_null(b)) return pg_is_null(a) == pg_is_null(b) ? NULL : "NULL";
    switch (rp_type_of(a.type)->kind) {
    case RP_KIND_BOOL:
        return pg_value_bool(a) == pg_value_bool(b) ? NULL : "bool";
    case RP_KIND_INTEGER:
        return pg_value_int8(a) == pg_value_int8(b) ? NULL : "int8";
    case RP_KIND_FLOAT:
        return floats_differ(a, b);
    case RP_KIND_BYTEA:
        return byteas_differ(a, b);
    case RP_KIND_NUMERIC:
        return numerics_differ(a, b);
    case RP_KIND_UUID:
    case RP_KIND_MACADDR:
        return fixed_differ(a, b);
    case RP_KIND_DATE:
        return pg_value_date(a) == pg_value_date(b) ? NULL : "date";
    case RP_KIND_TIME:
        return pg_value_time(a) == pg_value_time(b) ? NULL : "time";
    case RP_KIND_TIMESTAMP:
        return pg_value_timestamp(a) == pg_value_timestamp(b) ? NULL : "timestamp";
    case RP_KIND_TIMESTAMPTZ:
        return pg_value_timestamptz(a) == pg_value_timestamptz(b) ? NULL : "timestamptz";
    case RP_KIND_TIMETZ:
    case RP_KIND_INTERVAL:
        return spans_differ(a, b);
    case RP_KIND_INET:
        return inets_differ(a, b);
    case RP_KIND_BITS:
        return bits_differ(a, b);
    /* Escaped inside of another one's text it cannot be walked through: its text can be compared. */
    case RP_KIND_ARRAY:
        return a.escape || b.escape ? texts_differ(a, b) : arrays_differ(a, b);
    case RP_KIND_RECORD:
        return a.escape || b.escape ? texts_differ(a, b) : records_differ(a, b);
    case RP_KIND_RANGE:
        return a.escape || b.escape ? texts_differ(a, b) : ranges_differ(a, b);
    default:
        return texts_differ(a, b);
    }
}

/* ---- values as parameters ---- */

static struct pg_param array_param(struct pg_value value)
{
    struct pg_array array = pg_value_array(value);
    struct pg_elements *e = take(sizeof *e);
    struct pg_param *elements = take(array.count * sizeof *elements + 1);
    *e = (struct pg_elements){ .at = elements, .element_type = array.element_type, .dimensions = array.dimensions };
    memcpy(e->length, array.length, sizeof e->length);
    memcpy(e->lower, array.lower, sizeof e->lower);
    for (struct pg_value v; pg_array_next(&array, &v);) *elements++ = types_param(v);
    return pg_array_shaped(value.type, e);
}

static struct pg_param range_param(struct pg_value value)
{
    struct pg_range range = pg_value_range(value);
    struct pg_bounds bounds = { .empty = range.empty,
                                .lower = types_param(range.lower),
                                .upper = types_param(range.upper),
                                .lower_inclusive = range.lower_inclusive,
                                .upper_inclusive = range.upper_inclusive };
    return pg_range_of(value.type, keep(&bounds, sizeof bounds));
}

static struct pg_param record_param(struct pg_value value)
{
    struct pg_record record = pg_value_record(value);
    struct pg_param *fields = take(record.count * sizeof *fields + 1);
    size_t count = 0;
    for (struct pg_value v; pg_record_next(&record, &v);)
        fields[count++] = pg_is_null(v) ? pg_null_of(v.type) : types_param(v);
    return pg_record_of(value.type, fields, count);
}

static struct pg_param numeric_param(struct pg_value value)
{
    struct pg_numeric n = pg_value_numeric(value, NULL, 0);
    uint16_t *digits = take(2 * (size_t)n.count + 1);
    n = pg_value_numeric(value, digits, n.count);
    return pg_numeric_of(keep(&n, sizeof n));
}

static struct pg_param bits_param(struct pg_value value)
{
    size_t count = pg_value_bits(value, NULL, 0);
    uint8_t *bits = take(count / 8 + 1);
    pg_value_bits(value, bits, count / 8 + 1);
    struct pg_param p = pg_bits(bits, count);
    p.type = value.type;
    return p;
}

static struct pg_param text_param(struct pg_value value)
{
    size_t size = pg_value_format(value, NULL, 0);
    char *text = take(size + 1);
    pg_value_format(value, text, size + 1);
    return rp_type_of(value.type)->kind == RP_KIND_TEXT ? pg_view(value.type, text, size)
                                                        : pg_raw(value.type, text, size);
}

static struct pg_param bytes_param(struct pg_value value)
{
    size_t size = pg_value_bytea(value, NULL, 0);
    uint8_t *bytes = take(size + 1);
    return pg_bytes(bytes, pg_value_bytea(value, bytes, size));
}

static struct pg_param address_param(struct pg_value value)
{
    uint8_t bytes[16] = { 0 };
    if (rp_type_of(value.type)->kind == RP_KIND_INET) {
        struct pg_inet inet = pg_value_inet(value);
        const struct pg_inet *kept = keep(&inet, sizeof inet);
        return value.type == PG_TYPE_CIDR ? pg_cidr_of(kept) : pg_inet_of(kept);
    }
    size_t size = 16;
    if (rp_type_of(value.type)->kind == RP_KIND_MACADDR)
        size = pg_value_macaddr(value, bytes);
    else
        pg_value_uuid(value, bytes);
    return pg_view(value.type, keep(bytes, sizeof bytes), size);
}

/* What has escapes is copied without them first: a value over the copy can be walked through. */
static struct pg_value unescaped(struct pg_value value)
{
    size_t size = pg_value_format(value, NULL, 0);
    char *text = take(size + 1);
    value.size = (uint32_t)pg_value_format(value, text, size + 1);
    value.data = (const uint8_t *)text;
    value.escape = PG_ESCAPE_NONE;
    return value;
}

struct pg_param types_param(struct pg_value value)
{
    if (pg_is_null(value)) return pg_null();
    if (value.escape) value = unescaped(value);
    switch (rp_type_of(value.type)->kind) {
    case RP_KIND_BOOL:
        return pg_bool(pg_value_bool(value));
    case RP_KIND_INTEGER:
        return pg_param_of(value.type, pg_value_int8(value));
    case RP_KIND_FLOAT:
        return value.type == PG_TYPE_FLOAT4 ? pg_float4((float)pg_value_float8(value))
                                            : pg_float8(pg_value_float8(value));
    case RP_KIND_BYTEA:
        return bytes_param(value);
    case RP_KIND_NUMERIC:
        return numeric_param(value);
    case RP_KIND_DATE:
        return pg_date(pg_value_date(value));
    case RP_KIND_TIME:
        return pg_time(pg_value_time(value));
    case RP_KIND_TIMETZ:
        return pg_timetz_of(pg_value_timetz(value));
    case RP_KIND_TIMESTAMP:
        return pg_timestamp(pg_value_timestamp(value));
    case RP_KIND_TIMESTAMPTZ:
        return pg_timestamptz(pg_value_timestamptz(value));
    case RP_KIND_INTERVAL:
        return pg_interval_of(pg_value_interval(value));
    case RP_KIND_UUID:
    case RP_KIND_INET:
    case RP_KIND_MACADDR:
        return address_param(value);
    case RP_KIND_BITS:
        return bits_param(value);
    case RP_KIND_ARRAY:
        return array_param(value);
    case RP_KIND_RANGE:
        return range_param(value);
    case RP_KIND_RECORD:
        return record_param(value);
    default:
        return text_param(value);
    }
}
