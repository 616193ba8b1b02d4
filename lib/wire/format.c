/* wire/format.c - pg_value_format: any value as the server would print it, and the sinks that text goes into.
 *
 * Owns the way from a type to its printer. Nothing is allocated; what is counted beyond the caller's buffer is printed
 * all the same, so that the size is true. Source: the output functions that the chapter "Data Types" describes. */
#include "wire/print.h"
#include "wire/check.h"
#include "wire/unescape.h"

/* ---- sinks ---- */

static void put_buffer(struct rp_sink *sink, const char *at, size_t n)
{
    size_t room = sink->size < sink->capacity ? sink->capacity - sink->size : 0, copied = n < room ? n : room;
    if (copied) memcpy(sink->to + sink->size, at, copied);
    sink->size += n;
}

static void put_quoted(struct rp_sink *sink, const char *at, size_t n)
{
    for (size_t from = 0, i = 0; i <= n; i++) {
        bool escape = i < n && (at[i] == '"' || at[i] == '\\');
        if (i < n && !escape) continue;
        rp_put(sink->outer, at + from, i - from);
        if (escape) rp_put_char(sink->outer, sink->kind == RP_SINK_ARRAY ? '\\' : at[i]);
        from = i;
    }
}

static void put_seek(struct rp_sink *sink, const char *at, size_t n)
{
    for (size_t i = 0; i < n && !sink->found; i++) {
        if (sink->size < sizeof sink->begin) sink->begin[sink->size] = at[i];
        sink->size++;
        sink->found = at[i] && strchr(sink->special, at[i]);
    }
}

void rp_put(struct rp_sink *sink, const char *at, size_t n)
{
    switch (sink->kind) {
    case RP_SINK_BUFFER:
        put_buffer(sink, at, n);
        break;
    case RP_SINK_SEEK:
        put_seek(sink, at, n);
        break;
    default:
        put_quoted(sink, at, n);
        break;
    }
}

void rp_put_number(struct rp_sink *sink, uint64_t number, int width)
{
    char text[20];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number || sizeof text - at < (size_t)width);
    rp_put(sink, text + at, sizeof text - at);
}

void rp_put_integer(struct rp_sink *sink, int64_t number)
{
    if (number < 0) rp_put_char(sink, '-');
    rp_put_number(sink, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 1);
}

void rp_put_hex(struct rp_sink *sink, const uint8_t *at, size_t n)
{
    for (size_t i = 0; i < n && !sink->found; i++) {
        const char pair[2] = { "0123456789abcdef"[at[i] >> 4], "0123456789abcdef"[at[i] & 15] };
        rp_put(sink, pair, sizeof pair);
    }
}

/* ---- by type ---- */

static void put_unescaped(struct rp_sink *sink, struct pg_value value)
{
    if (!value.escape) {
        rp_put(sink, (const char *)value.data, value.size);
        return;
    }
    struct rp_unescape from = rp_unescape_of(value);
    for (int c; (c = rp_unescape_next(&from)) >= 0;) rp_put_char(sink, (char)c);
}

/* A "char" beyond ASCII is printed in octal, as by PostgreSQL 16 and newer. */
static const char *print_text(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    struct pg_text text;
    const char *why = rp_read_text(value, type, &text);
    if (why) return why;
    uint8_t c = text.size ? (uint8_t)*text.data : 0;
    if (value.type == PG_TYPE_CHAR && c >= 0x80) {
        const char octal[] = { '\\', (char)('0' + (c >> 6)), (char)('0' + (c >> 3 & 7)), (char)('0' + (c & 7)) };
        rp_put(sink, octal, sizeof octal);
    } else {
        rp_put(sink, text.data, text.size);
    }
    return NULL;
}

static const char *print_bool(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    bool truth;
    const char *why = rp_read_bool(value, type, &truth);
    if (!why) rp_put_char(sink, truth ? 't' : 'f');
    return why;
}

static const char *print_integer(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    int64_t number;
    const char *why = rp_read_integer(value, type, &number);
    if (!why) rp_put_integer(sink, number);
    return why;
}

static const char *print_bytea(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    (void)type;
    rp_put(sink, "\\x", 2);
    rp_put_hex(sink, value.data, value.size);
    return NULL;
}

/* An enum's label, or what else is text. */
static const char *print_user(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    (void)type;
    if (value.size && memchr(value.data, 0, value.size)) return "is of a type whose binary form is not known";
    rp_put(sink, (const char *)value.data, value.size);
    return NULL;
}

static const char *print_nothing(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    (void)sink, (void)value, (void)type;
    return "is of a type whose binary form is not known";
}

const char *rp_print_value(struct rp_sink *sink, struct pg_value value, int depth)
{
    static const char *(*const flat[RP_KIND_COUNT])(struct rp_sink *, struct pg_value, const struct rp_type *) = {
        [RP_KIND_OTHER] = print_nothing,
        [RP_KIND_USER] = print_user,
        [RP_KIND_BOOL] = print_bool,
        [RP_KIND_INTEGER] = print_integer,
        [RP_KIND_FLOAT] = rp_print_float,
        [RP_KIND_TEXT] = print_text,
        [RP_KIND_BYTEA] = print_bytea,
        [RP_KIND_NUMERIC] = rp_print_numeric,
        [RP_KIND_UUID] = rp_print_uuid,
        [RP_KIND_DATE] = rp_print_time,
        [RP_KIND_TIME] = rp_print_time,
        [RP_KIND_TIMETZ] = rp_print_timetz,
        [RP_KIND_TIMESTAMP] = rp_print_time,
        [RP_KIND_TIMESTAMPTZ] = rp_print_time,
        [RP_KIND_INTERVAL] = rp_print_interval,
        [RP_KIND_INET] = rp_print_inet,
        [RP_KIND_MACADDR] = rp_print_macaddr,
        [RP_KIND_BITS] = rp_print_bits,
    };
    const struct rp_type *type = rp_type_of(value.type);
    if (value.text) {
        put_unescaped(sink, value);
        return NULL;
    }
    if (flat[type->kind]) return flat[type->kind](sink, value, type);
    if (depth == RP_NESTED_MOST) return "is nested too deeply to be printed";
    switch (type->kind) {
    case RP_KIND_ARRAY:
        return rp_print_array(sink, value, type, depth);
    case RP_KIND_RECORD:
        return rp_print_record(sink, value, type, depth);
    default:
        return rp_print_range(sink, value, type, depth);
    }
}

size_t pg_value_format(struct pg_value value, char *out, size_t capacity)
{
    RP_ASSERT(out || capacity == 0);
    struct rp_sink sink = { .kind = RP_SINK_BUFFER, .to = out, .capacity = capacity };
    const char *why = value.data ? rp_print_value(&sink, value, 0) : "is NULL";
    if (why) {
        rp_complain(value, why);
        sink.size = 0;
    }
    if (capacity) out[sink.size < capacity ? sink.size : capacity - 1] = 0;
    return sink.size;
}
