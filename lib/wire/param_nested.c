/* wire/param_nested.c - arrays, records and ranges as parameters, from the caller's own memory.
 *
 * An array goes to a declared array type element by element, each by the rules of a parameter of its own; everything
 * inside is in binary format. Sources: array_recv, record_recv, range_recv. */
#include "wire/nested.h"
#include "wire/check.h"
#include "wire/param_value.h"

static const uint32_t SQL_NULL = UINT32_MAX;
enum { ELEMENTS_MAX = 134217727 }; /* the server's MaxArraySize */
enum {
    RANGE_EMPTY = 0x01,
    RANGE_LOWER_IN = 0x02,
    RANGE_UPPER_IN = 0x04,
    RANGE_LOWER_OPEN = 0x08,
    RANGE_UPPER_OPEN = 0x10
};

/* ---- what is inside ---- */

/* In binary the text family and enums are their text. */
static struct pg_param inside_of(struct pg_param p, uint32_t oid)
{
    uint8_t kind = rp_type_of(oid)->kind;
    if (p.scale != PG_FORM_TEXT || p.type == 0) return p;
    if (kind == RP_KIND_TEXT) p.scale = 0;
    if (kind != RP_KIND_USER) return p;
    p.scale = PG_FORM_RAW;
    p.type = oid;
    return p;
}

static const char *check_inside(struct pg_param p, uint32_t oid, int depth)
{
    p = inside_of(p, oid);
    return rp_param_is_null(&p) ? NULL : rp_value_check(&p, oid, depth + 1);
}
/* With its length word. */
static size_t inside_size(struct pg_param p, uint32_t oid)
{
    p = inside_of(p, oid);
    return 4 + (rp_param_is_null(&p) ? 0 : rp_value_size(&p, oid));
}
static void write_inside(struct rp_writer *w, struct pg_param p, uint32_t oid)
{
    p = inside_of(p, oid);
    rp_write_u32(w, rp_param_is_null(&p) ? SQL_NULL : (uint32_t)rp_value_size(&p, oid));
    if (!rp_param_is_null(&p)) rp_value_write(w, &p, oid);
}

/* ---- arrays ---- */

/* An array as its shape, whatever it was made from. */
struct array {
    const struct pg_param *of;
    uint32_t element, dimensions;
    size_t count;
    const int32_t *length, *lower; /* NULL: one dimension of `count` from 1 */
};

static struct array array_of(const struct pg_param *p, uint32_t oid)
{
    struct array a = { .of = p, .element = rp_type_of(oid)->element, .count = p->size, .dimensions = p->size > 0 };
    if (p->scale != PG_FORM_SHAPED) return a;
    const struct pg_elements *shape = p->u.p;
    if (!a.element) a.element = shape->element_type;
    a.dimensions = shape->dimensions;
    a.length = shape->length;
    a.lower = shape->lower;
    a.count = a.dimensions ? 1 : 0;
    for (uint32_t i = 0; i < a.dimensions; i++) a.count *= (size_t)shape->length[i];
    return a;
}

static struct pg_param element_at(const struct array *a, size_t i)
{
    const void *at = a->of->u.p;
    switch (a->of->scale) {
    case PG_FORM_INT4S:
        return pg_int4(((const int32_t *)at)[i]);
    case PG_FORM_INT8S:
        return pg_int8(((const int64_t *)at)[i]);
    case PG_FORM_FLOAT8S:
        return pg_float8(((const double *)at)[i]);
    case PG_FORM_TEXTS: {
        struct pg_text text = ((const struct pg_text *)at)[i];
        return text.data ? pg_strn(text.data, text.size) : pg_null();
    }
    case PG_FORM_SHAPED:
        return ((const struct pg_elements *)at)->at[i];
    default:
        return ((const struct pg_param *)at)[i];
    }
}

/* Everything that array_of relies on. */
static const char *check_shape(const struct pg_param *p, uint32_t oid)
{
    const struct rp_type *to = rp_type_of(oid);
    const struct pg_elements *shape = p->u.p;
    if (p->size && !shape) return "has a size but no address";
    if (p->scale != PG_FORM_SHAPED) return p->size > ELEMENTS_MAX ? "has too many elements" : NULL;
    if (!shape) return "has no elements";
    if (shape->dimensions > PG_DIMENSIONS) return "has more than 6 dimensions";
    if (to->element && shape->element_type && to->element != shape->element_type)
        return "has elements of another type than is declared";
    size_t count = 1;
    for (uint32_t i = 0; i < shape->dimensions; i++) {
        int32_t upper;
        if (shape->length[i] <= 0) return "has a dimension without a length";
        if (__builtin_add_overflow(shape->lower[i], shape->length[i] - 1, &upper))
            return "has an upper bound out of range";
        count *= (size_t)shape->length[i]; /* at most 2^27 * 2^31 */
        if (count > ELEMENTS_MAX) return "has too many elements";
    }
    return shape->dimensions && !shape->at ? "has a size but no address" : NULL;
}

static const char *check_array(const struct pg_param *p, uint32_t oid, int depth)
{
    uint8_t from = rp_type_of(p->type)->kind, to = rp_type_of(oid)->kind;
    if (to != RP_KIND_ARRAY && p->type != oid) return rp_kind_complaint[RP_KIND_ARRAY][to];
    if (to > RP_KIND_USER && to != RP_KIND_ARRAY) return rp_kind_complaint[RP_KIND_ARRAY][to];
    if (from != RP_KIND_ARRAY && p->type != oid) return rp_kind_complaint[from][RP_KIND_ARRAY];
    const char *why = check_shape(p, oid);
    if (why) return why;
    struct array a = array_of(p, oid);
    if (!a.element) return "is an array of a type that is not known: pg_array_shaped says it";
    size_t size = RP_ARRAY_HEAD;
    for (size_t i = 0; i < a.count; i++) {
        struct pg_param element = element_at(&a, i);
        why = check_inside(element, a.element, depth);
        if (why) return why;
        size += inside_size(element, a.element);
        if (size > INT32_MAX) return "is larger than the protocol allows";
    }
    return NULL;
}

static size_t array_size(const struct array *a)
{
    size_t size = RP_ARRAY_HEAD + RP_ARRAY_DIMENSION * (size_t)a->dimensions;
    for (size_t i = 0; i < a->count; i++) size += inside_size(element_at(a, i), a->element);
    return size;
}

/* Those that the windows before have sent are not looked at again. */
static void write_elements(struct rp_writer *w, const struct array *a)
{
    struct rp_resume *resume = w->resume && w->resume->of == a->of ? w->resume : NULL;
    size_t i = resume && rp_write_jump(w, resume->element_at) ? resume->element : 0;
    for (; i < a->count && w->used < w->capacity; i++) {
        if (resume) {
            resume->element = i;
            resume->element_at = rp_write_position(w);
        }
        write_inside(w, element_at(a, i), a->element);
    }
}

static void write_array(struct rp_writer *w, const struct array *a)
{
    int32_t form = a->of->scale;
    rp_write_u32(w, a->dimensions);
    /* Whether there may be NULLs; array_recv wants it to be 0 or 1 and looks no further. */
    rp_write_u32(w, form != PG_FORM_INT4S && form != PG_FORM_INT8S && form != PG_FORM_FLOAT8S);
    rp_write_u32(w, a->element);
    for (uint32_t i = 0; i < a->dimensions; i++) {
        rp_write_u32(w, a->length ? (uint32_t)a->length[i] : (uint32_t)a->count);
        rp_write_u32(w, a->lower ? (uint32_t)a->lower[i] : 1);
    }
    write_elements(w, a);
}

/* ---- records ---- */

static const char *check_record(const struct pg_param *p, uint32_t oid, int depth)
{
    const struct pg_param *fields = p->u.p;
    uint8_t kind = rp_type_of(oid)->kind;
    if (p->type != oid) return "is a record of another type than is declared";
    if (kind > RP_KIND_USER && kind != RP_KIND_RECORD) return rp_kind_complaint[RP_KIND_RECORD][kind];
    if (p->size && !fields) return "has a size but no address";
    if (p->size > UINT16_MAX) return "has too many fields"; /* the server's tables have 1600 columns at most */
    size_t size = 4;
    for (size_t i = 0; i < p->size; i++) {
        if (fields[i].type == 0) return "has a NULL without a type: pg_null_of says it";
        const char *why = check_inside(fields[i], fields[i].type, depth);
        if (why) return why;
        size += 4 + inside_size(fields[i], fields[i].type);
        if (size > INT32_MAX) return "is larger than the protocol allows";
    }
    return NULL;
}

static size_t record_size(const struct pg_param *p)
{
    const struct pg_param *fields = p->u.p;
    size_t size = 4;
    for (size_t i = 0; i < p->size; i++) size += 4 + inside_size(fields[i], fields[i].type);
    return size;
}

static void write_record(struct rp_writer *w, const struct pg_param *p)
{
    const struct pg_param *fields = p->u.p;
    rp_write_u32(w, (uint32_t)p->size);
    for (size_t i = 0; i < p->size; i++) {
        rp_write_u32(w, fields[i].type);
        write_inside(w, fields[i], fields[i].type);
    }
}

/* ---- ranges ---- */

/* A range type of somebody's own has bounds of the type that they say. */
static uint32_t bound_type(const struct pg_param *bound, uint32_t oid)
{
    uint32_t element = rp_type_of(oid)->element;
    return element ? element : bound->type;
}

static const char *check_range(const struct pg_param *p, uint32_t oid, int depth)
{
    const struct pg_bounds *b = p->u.p;
    uint8_t from = rp_type_of(p->type)->kind, to = rp_type_of(oid)->kind;
    if (to != RP_KIND_RANGE && (to > RP_KIND_USER || p->type != oid)) return rp_kind_complaint[RP_KIND_RANGE][to];
    if (from != RP_KIND_RANGE && p->type != oid) return rp_kind_complaint[from][RP_KIND_RANGE];
    if (!b) return "has no bounds";
    if (b->empty) return NULL;
    const char *why = check_inside(b->lower, bound_type(&b->lower, oid), depth);
    return why ? why : check_inside(b->upper, bound_type(&b->upper, oid), depth);
}

static bool has_bound(const struct pg_bounds *b, const struct pg_param *bound)
{
    return !b->empty && !rp_param_is_null(bound);
}

static size_t range_size(const struct pg_param *p, uint32_t oid)
{
    const struct pg_bounds *b = p->u.p;
    size_t size = 1;
    if (has_bound(b, &b->lower)) size += inside_size(b->lower, bound_type(&b->lower, oid));
    if (has_bound(b, &b->upper)) size += inside_size(b->upper, bound_type(&b->upper, oid));
    return size;
}

static void write_range(struct rp_writer *w, const struct pg_param *p, uint32_t oid)
{
    const struct pg_bounds *b = p->u.p;
    bool lower = has_bound(b, &b->lower), upper = has_bound(b, &b->upper);
    unsigned flags = b->empty ? RANGE_EMPTY : 0;
    if (!b->empty) {
        flags |= !lower ? RANGE_LOWER_OPEN : b->lower_inclusive ? RANGE_LOWER_IN : 0;
        flags |= !upper ? RANGE_UPPER_OPEN : b->upper_inclusive ? RANGE_UPPER_IN : 0;
    }
    rp_write_u8(w, (uint8_t)flags);
    if (lower) write_inside(w, b->lower, bound_type(&b->lower, oid));
    if (upper) write_inside(w, b->upper, bound_type(&b->upper, oid));
}

/* ---- which of them ---- */

const char *rp_check_nested(const struct pg_param *p, uint32_t oid, int depth)
{
    if (depth == RP_NESTED_MOST) return "is nested too deeply";
    switch (p->scale) {
    case PG_FORM_INT4S:
    case PG_FORM_INT8S:
    case PG_FORM_FLOAT8S:
    case PG_FORM_TEXTS:
    case PG_FORM_ELEMENTS:
    case PG_FORM_SHAPED:
        return check_array(p, oid, depth);
    case PG_FORM_FIELDS:
        return check_record(p, oid, depth);
    case PG_FORM_BOUNDS:
        return check_range(p, oid, depth);
    default:
        return "has a scale below 0 that is no enum pg_form";
    }
}

size_t rp_nested_size(const struct pg_param *p, uint32_t oid)
{
    if (p->scale == PG_FORM_FIELDS) return record_size(p);
    if (p->scale == PG_FORM_BOUNDS) return range_size(p, oid);
    struct array a = array_of(p, oid);
    return array_size(&a);
}

void rp_write_nested(struct rp_writer *w, const struct pg_param *p, uint32_t oid)
{
    if (p->scale == PG_FORM_FIELDS) {
        write_record(w, p);
    } else if (p->scale == PG_FORM_BOUNDS) {
        write_range(w, p, oid);
    } else {
        struct array a = array_of(p, oid);
        write_array(w, &a);
    }
}
