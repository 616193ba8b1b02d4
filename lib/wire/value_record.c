/* wire/value_record.c - records and ranges out of a row: views of their fields and bounds, in both formats.
 *
 * As with arrays the whole value is looked at before a view of it is handed out. Sources: record_send, record_out,
 * range_send, range_out; the chapters "Composite Types" and "Range Types" for their text, of which the part that the
 * server writes is read. */
#include "wire/getter.h"
#include "wire/check.h"
#include "wire/nested.h"

/* ---- records ---- */

static bool read_field(struct rp_cursor *c, struct pg_value *out)
{
    out->type = rp_read_u32(c);
    return rp_read_value(c, out);
}

/* A field or a bound. Nothing at all is NULL; an empty text stands in quotes. */
static bool scan_part(struct rp_scan *s, const char *ends, struct pg_value *out)
{
    if (s->at < s->end && *s->at == '"') return rp_scan_quoted(s, PG_ESCAPE_RECORD, out);
    if (!rp_scan_bare(s, ends, out)) return false;
    if (out->size == 0) out->data = NULL;
    return true;
}

static const char *read_record_binary(struct pg_value value, const struct rp_type *type, struct pg_record *out)
{
    struct rp_cursor c = { .at = value.data, .left = value.size };
    struct pg_value field = { 0 };
    out->count = rp_read_u32(&c);
    rp_rest_set(&out->rest_private, c.at, c.at + c.left);
    if (c.bad || out->count > c.left / 8) return type->broken;
    for (uint32_t i = 0; i < out->count; i++)
        if (!read_field(&c, &field)) return type->broken;
    return c.left ? type->broken : NULL;
}

static const char *read_record_text(struct pg_value value, const struct rp_type *type, struct pg_record *out)
{
    struct rp_scan s = rp_scan_of(value);
    struct pg_value field = { 0 };
    if (value.escape) return rp_escaped;
    if (!rp_scan_char(&s, '(')) return type->malformed;
    rp_rest_set(&out->rest_private, s.at, s.end);
    do {
        if (!scan_part(&s, ",)", &field)) return type->malformed;
        out->count++;
    } while (rp_scan_char(&s, ','));
    return rp_scan_char(&s, ')') && rp_scan_end(&s) ? NULL : type->malformed;
}

const char *rp_read_record(struct pg_value value, const struct rp_type *type, struct pg_record *out)
{
    *out = (struct pg_record){ .rest_private = value };
    const char *why = value.text ? read_record_text(value, type, out) : read_record_binary(value, type, out);
    out->left_private = out->count;
    return why;
}

struct pg_record pg_value_record(struct pg_value value)
{
    struct pg_record record = { .rest_private = value };
    if (!rp_may_be_kind(value, RP_KIND_RECORD)) return record;
    const char *why = rp_read_record(value, rp_type_of(PG_TYPE_RECORD), &record);
    if (!why) return record;
    rp_complain(value, why);
    return (struct pg_record){ .rest_private = value };
}

bool pg_record_next(struct pg_record *record, struct pg_value *out)
{
    RP_ASSERT(record && out);
    struct pg_value *rest = &record->rest_private;
    *out = (struct pg_value){ .text = rest->text, .row = rest->row, .column = rest->column };
    if (record->left_private == 0) return false;
    bool first = record->left_private-- == record->count, there;
    if (rest->text) {
        struct rp_scan s = rp_scan_of(*rest);
        if (!first) rp_scan_char(&s, ',');
        there = scan_part(&s, ",)", out);
        rp_rest_set(rest, s.at, s.end);
    } else {
        struct rp_cursor c = { .at = rest->data, .left = rest->size };
        there = read_field(&c, out);
        rp_rest_set(rest, c.at, c.at + c.left);
    }
    RP_ASSERT(there); /* the walk before has seen it */
    return true;
}

/* ---- ranges ---- */

enum { /* range_send's flags */
       RANGE_EMPTY = 0x01,
       RANGE_LOWER_IN = 0x02,
       RANGE_UPPER_IN = 0x04,
       RANGE_LOWER_OPEN = 0x08,
       RANGE_UPPER_OPEN = 0x10
};

static const char *read_range_binary(struct pg_value value, const struct rp_type *type, struct pg_range *out)
{
    struct rp_cursor c = { .at = value.data, .left = value.size };
    uint8_t flags = rp_read_u8(&c);
    out->empty = flags & RANGE_EMPTY;
    out->lower_inclusive = flags & RANGE_LOWER_IN && !(flags & (RANGE_EMPTY | RANGE_LOWER_OPEN));
    out->upper_inclusive = flags & RANGE_UPPER_IN && !(flags & (RANGE_EMPTY | RANGE_UPPER_OPEN));
    if (!(flags & (RANGE_EMPTY | RANGE_LOWER_OPEN)) && (!rp_read_value(&c, &out->lower) || !out->lower.data))
        return type->broken;
    if (!(flags & (RANGE_EMPTY | RANGE_UPPER_OPEN)) && (!rp_read_value(&c, &out->upper) || !out->upper.data))
        return type->broken;
    return c.bad || c.left ? type->broken : NULL;
}

static const char *read_range_text(struct pg_value value, const struct rp_type *type, struct pg_range *out)
{
    struct rp_scan s = rp_scan_of(value);
    if (value.escape) return rp_escaped;
    out->empty = rp_is_word(value, "empty");
    if (out->empty) return NULL;
    out->lower_inclusive = rp_scan_char(&s, '[');
    if (!out->lower_inclusive && !rp_scan_char(&s, '(')) return type->malformed;
    if (!scan_part(&s, ",", &out->lower) || !rp_scan_char(&s, ',')) return type->malformed;
    if (!scan_part(&s, "])", &out->upper)) return type->malformed;
    out->upper_inclusive = rp_scan_char(&s, ']');
    if (!out->upper_inclusive && !rp_scan_char(&s, ')')) return type->malformed;
    return rp_scan_end(&s) ? NULL : type->malformed;
}

const char *rp_read_range(struct pg_value value, const struct rp_type *type, struct pg_range *out)
{
    struct pg_value bound = { .type = type->element, .text = value.text, .row = value.row, .column = value.column };
    *out = (struct pg_range){ .lower = bound, .upper = bound };
    return value.text ? read_range_text(value, type, out) : read_range_binary(value, type, out);
}

struct pg_range pg_value_range(struct pg_value value)
{
    static const struct pg_range none = { .empty = true };
    struct pg_range range;
    if (!rp_may_be_kind(value, RP_KIND_RANGE)) return none;
    const char *why = rp_read_range(value, rp_type_of(value.type), &range);
    if (!why) return range;
    rp_complain(value, why);
    return none;
}
