/* wire/value_array.c - arrays out of a row: a view, and the steps from element to element, in both formats.
 *
 * The whole value is walked once before the view is handed out, so that a step cannot fail: malformed bytes are seen
 * before the first element is. Sources: array_send and array_out; the chapter "Arrays", "Array Input and Output
 * Syntax", of which the part that the server writes is read. */
#include "wire/getter.h"
#include "wire/check.h"
#include "wire/nested.h"

enum { BOX_ARRAY = 1020 }; /* the one type with another delimiter than a comma */

static char delimiter_of(uint32_t array_type) { return array_type == BOX_ARRAY ? ';' : ','; }

/* An upper bound that the server's integer can hold. */
static bool bounds_hold(int32_t lower, int32_t length)
{
    int32_t upper;
    return length > 0 && !__builtin_add_overflow(lower, length - 1, &upper);
}

/* ---- binary ---- */

static const char *read_binary(struct pg_value value, const struct rp_type *type, struct pg_array *out)
{
    struct rp_cursor c = { .at = value.data, .left = value.size };
    uint32_t flags, size = 1;
    out->dimensions = rp_read_u32(&c);
    flags = rp_read_u32(&c);
    out->element_type = rp_read_u32(&c);
    if (c.bad || out->dimensions > PG_DIMENSIONS || flags > 1) return type->broken;
    if (type->element && type->element != out->element_type) return type->broken;
    for (uint32_t i = 0; i < out->dimensions; i++) {
        out->length[i] = (int32_t)rp_read_u32(&c);
        out->lower[i] = (int32_t)rp_read_u32(&c);
        if (c.bad || !bounds_hold(out->lower[i], out->length[i])) return type->broken;
        if (__builtin_mul_overflow(size, (uint32_t)out->length[i], &size) || size > value.size) return type->broken;
    }
    out->count = out->dimensions ? size : 0;
    rp_rest_set(&out->rest_private, c.at, c.at + c.left);
    struct pg_value element = { 0 };
    for (uint32_t i = 0; i < out->count; i++)
        if (!rp_read_value(&c, &element)) return type->broken;
    return c.left ? type->broken : NULL;
}

static void next_binary(struct pg_array *array, struct pg_value *out)
{
    struct pg_value *rest = &array->rest_private;
    struct rp_cursor c = { .at = rest->data, .left = rest->size };
    bool there = rp_read_value(&c, out);
    RP_ASSERT(there); /* the walk before has seen it */
    rp_rest_set(rest, c.at, c.at + c.left);
}

/* ---- text ---- */

static bool scan_element(struct rp_scan *s, char delimiter, struct pg_value *out)
{
    const char ends[] = { delimiter, '{', '}', 0 };
    if (s->at < s->end && *s->at == '"') return rp_scan_quoted(s, PG_ESCAPE_ARRAY, out);
    if (!rp_scan_bare(s, ends, out) || out->size == 0 || *s->at == '{') return false;
    if (rp_is_word(*out, "NULL")) out->data = NULL;
    return true;
}

static bool scan_int4(struct rp_scan *s, int32_t *out)
{
    int64_t number;
    bool minus = rp_scan_char(s, '-');
    if (!rp_scan_digits(s, 1, 10, &number)) return false;
    if (minus) number = -number;
    *out = (int32_t)number;
    return number == *out;
}

/* "[0:2][-1:1]=": what stands before an array with other lower bounds than 1. */
static bool scan_bounds(struct rp_scan *s, struct pg_array *out)
{
    int32_t lower, upper, length;
    while (rp_scan_char(s, '[')) {
        if (out->dimensions == PG_DIMENSIONS) return false;
        if (!scan_int4(s, &lower) || !rp_scan_char(s, ':') || !scan_int4(s, &upper) || !rp_scan_char(s, ']'))
            return false;
        if (upper < lower || __builtin_sub_overflow(upper, lower, &length) || length == INT32_MAX) return false;
        out->lower[out->dimensions] = lower;
        out->length[out->dimensions++] = length + 1;
    }
    return out->dimensions == 0 || rp_scan_char(s, '=');
}

/* A walk through nested braces. Every list of one depth has the same length. */
struct walk {
    struct rp_scan s;
    uint32_t depth, leaf;          /* now; where the elements are, 0: none seen */
    int32_t count[PG_DIMENSIONS];  /* of the list at each depth, so far         */
    int32_t length[PG_DIMENSIONS]; /* of the finished ones, 0: none yet         */
};

static bool open_list(struct walk *w)
{
    if (w->depth == PG_DIMENSIONS || (w->leaf && w->depth == w->leaf)) return false;
    w->count[w->depth++] = 0;
    return true;
}

static bool close_list(struct walk *w)
{
    uint32_t at = --w->depth;
    if (w->length[at] && w->length[at] != w->count[at]) return false;
    w->length[at] = w->count[at];
    if (at) w->count[at - 1]++;
    return true;
}

static bool walk_element(struct walk *w, char delimiter, uint32_t *count)
{
    struct pg_value element = { 0 };
    if (w->depth == 0 || (w->leaf && w->depth != w->leaf)) return false;
    w->leaf = w->depth;
    w->count[w->depth - 1]++;
    ++*count;
    return scan_element(&w->s, delimiter, &element);
}

/* From the first brace to the last: an item, then what closes lists behind it, then a delimiter and the next item. */
static bool walk_lists(struct walk *w, char delimiter, uint32_t *count)
{
    for (;;) {
        if (rp_scan_char(&w->s, '{')) {
            if (!open_list(w)) return false;
            continue;
        }
        if (!walk_element(w, delimiter, count)) return false;
        while (rp_scan_char(&w->s, '}')) {
            if (!close_list(w)) return false;
            if (w->depth == 0) return rp_scan_end(&w->s);
        }
        if (!rp_scan_char(&w->s, delimiter)) return false;
    }
}

static const char *read_text(struct pg_value value, const struct rp_type *type, struct pg_array *out)
{
    struct walk w = { .s = rp_scan_of(value) };
    out->element_type = type->element;
    if (value.escape) return rp_escaped;
    if (rp_is_word(value, "{}")) return NULL;
    if (!scan_bounds(&w.s, out)) return type->malformed;
    rp_rest_set(&out->rest_private, w.s.at, w.s.end);
    if (!walk_lists(&w, delimiter_of(value.type), &out->count)) return type->malformed;
    if (out->dimensions && out->dimensions != w.leaf) return type->malformed;
    for (uint32_t i = 0; i < w.leaf; i++) {
        if (out->dimensions && out->length[i] != w.length[i]) return type->malformed;
        if (!out->dimensions) out->lower[i] = 1;
        out->length[i] = w.length[i];
    }
    out->dimensions = w.leaf;
    return NULL;
}

static void next_text(struct pg_array *array, struct pg_value *out)
{
    struct pg_value *rest = &array->rest_private;
    struct rp_scan s = rp_scan_of(*rest);
    char delimiter = delimiter_of(rest->type);
    while (rp_scan_char(&s, '{') || rp_scan_char(&s, '}') || rp_scan_char(&s, delimiter)) {
    }
    bool there = scan_element(&s, delimiter, out);
    RP_ASSERT(there);
    rp_rest_set(rest, s.at, s.end);
}

/* ---- either format ---- */

const char *rp_read_array(struct pg_value value, const struct rp_type *type, struct pg_array *out)
{
    *out = (struct pg_array){ .rest_private = value };
    const char *why = value.text ? read_text(value, type, out) : read_binary(value, type, out);
    out->left_private = out->count;
    return why;
}

struct pg_array pg_value_array(struct pg_value value)
{
    struct pg_array array = { .rest_private = value };
    if (!rp_may_be_kind(value, RP_KIND_ARRAY)) return array;
    const struct rp_type *type = rp_type_of(value.type);
    if (type->kind != RP_KIND_ARRAY) type = rp_type_of(PG_TYPE_ANYARRAY);
    const char *why = rp_read_array(value, type, &array);
    if (!why) return array;
    rp_complain(value, why);
    return (struct pg_array){ .rest_private = value };
}

bool pg_array_next(struct pg_array *array, struct pg_value *out)
{
    RP_ASSERT(array && out);
    const struct pg_value *of = &array->rest_private;
    *out = (struct pg_value){ .type = array->element_type, .text = of->text, .row = of->row, .column = of->column };
    if (array->left_private == 0) return false;
    array->left_private--;
    if (of->text)
        next_text(array, out);
    else
        next_binary(array, out);
    return true;
}
