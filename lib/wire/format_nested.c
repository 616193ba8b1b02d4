/* wire/format_nested.c - arrays, records and ranges as the server prints them.
 *
 * What is inside is printed twice: into a sink that only looks whether it has to stand in quotes, and ends early when
 * it does, then for good. Depth is bounded (RP_NESTED_MOST): each level of quotes may double the text inside of it.
 * Source: array_out, record_out, range_out; the chapters "Arrays", "Composite Types", "Range Types". */
#include "wire/print.h"

#define SPACES " \t\n\r\v\f"
static const char array_special[] = "\"\\{}," SPACES;
static const char record_special[] = "\"\\()," SPACES;
static const char range_special[] = "\"\\()[]," SPACES;

static bool is_null_word(const struct rp_sink *seek)
{
    static const char word[] = "null";
    if (seek->size != 4) return false;
    for (int i = 0; i < 4; i++)
        if ((seek->begin[i] | 0x20) != word[i]) return false;
    return true;
}

/* Nothing would be no element, and in an array NULL another one. */
static bool needs_quotes(const struct rp_sink *seek)
{
    return seek->found || seek->size == 0 || (seek->special == array_special && is_null_word(seek));
}

static const char *put_inside(struct rp_sink *sink, struct pg_value value, const char *special, int depth)
{
    struct rp_sink seek = { .kind = RP_SINK_SEEK, .special = special };
    const char *why = rp_print_value(&seek, value, depth + 1);
    if (why || !needs_quotes(&seek)) return why ? why : rp_print_value(sink, value, depth + 1);
    struct rp_sink quotes = { .kind = special == array_special ? RP_SINK_ARRAY : RP_SINK_RECORD, .outer = sink };
    rp_put_char(sink, '"');
    why = rp_print_value(&quotes, value, depth + 1);
    rp_put_char(sink, '"');
    return why;
}

/* "[0:2][1:1]=", if one dimension does not begin at 1. */
static void put_bounds(struct rp_sink *sink, const struct pg_array *array)
{
    bool all_one = true;
    for (uint32_t i = 0; i < array->dimensions; i++) all_one &= array->lower[i] == 1;
    if (all_one) return;
    for (uint32_t i = 0; i < array->dimensions; i++) {
        rp_put_char(sink, '[');
        rp_put_integer(sink, array->lower[i]);
        rp_put_char(sink, ':');
        rp_put_integer(sink, (int64_t)array->lower[i] + array->length[i] - 1);
        rp_put_char(sink, ']');
    }
    rp_put_char(sink, '=');
}

/* How many lists end behind the element `at`, counted from 1, or begin before it, counted from 0. */
static uint32_t edges_at(const struct pg_array *array, uint32_t at)
{
    uint32_t edges = 0, size = 1;
    for (uint32_t i = array->dimensions; i-- > 0; edges++) {
        size *= (uint32_t)array->length[i];
        if (at % size) break;
    }
    return edges;
}

static void put_braces(struct rp_sink *sink, char brace, uint32_t count)
{
    for (; count; count--) rp_put_char(sink, brace);
}

const char *rp_print_array(struct rp_sink *sink, struct pg_value value, const struct rp_type *type, int depth)
{
    struct pg_array array;
    struct pg_value element;
    const char *why = rp_read_array(value, type, &array);
    if (why) return why;
    if (array.count == 0) {
        rp_put(sink, "{}", 2);
        return NULL;
    }
    put_bounds(sink, &array);
    for (uint32_t at = 0; !why && !sink->found && pg_array_next(&array, &element); at++) {
        if (at) rp_put_char(sink, ',');
        put_braces(sink, '{', edges_at(&array, at));
        if (pg_is_null(element))
            rp_put(sink, "NULL", 4);
        else
            why = put_inside(sink, element, array_special, depth);
        put_braces(sink, '}', edges_at(&array, at + 1));
    }
    return why;
}

const char *rp_print_record(struct rp_sink *sink, struct pg_value value, const struct rp_type *type, int depth)
{
    struct pg_record record;
    struct pg_value field;
    const char *why = rp_read_record(value, type, &record);
    if (why) return why;
    rp_put_char(sink, '(');
    for (bool first = true; !why && !sink->found && pg_record_next(&record, &field); first = false) {
        if (!first) rp_put_char(sink, ',');
        if (!pg_is_null(field)) why = put_inside(sink, field, record_special, depth);
    }
    rp_put_char(sink, ')');
    return why;
}

const char *rp_print_range(struct rp_sink *sink, struct pg_value value, const struct rp_type *type, int depth)
{
    struct pg_range range;
    const char *why = rp_read_range(value, type, &range);
    if (why) return why;
    if (range.empty) {
        rp_put_text(sink, "empty");
        return NULL;
    }
    rp_put_char(sink, range.lower_inclusive ? '[' : '(');
    if (!pg_is_null(range.lower)) why = put_inside(sink, range.lower, range_special, depth);
    rp_put_char(sink, ',');
    if (!why && !pg_is_null(range.upper)) why = put_inside(sink, range.upper, range_special, depth);
    rp_put_char(sink, range.upper_inclusive ? ']' : ')');
    return why;
}
