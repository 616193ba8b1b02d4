/* wire/param.c - one parameter of a Bind: checked against the declared type, then written.
 *
 * Owns the rules of conversion and the binary encodings of what is one number or one view; knows nothing of the message
 * around them. The value stays in the caller's memory, nothing is allocated, and writing through small windows gives
 * the same bytes as writing at once (write.h). Invariant: what rp_param_check let pass is written with exactly the size
 * that it told. */
#include <math.h>
#include "wire/check.h"
#include "wire/param.h"
#include "wire/param_value.h"

static const uint32_t SQL_NULL = UINT32_MAX; /* the length word -1 */
enum { OFFSET_MOST_S = 16 * 3600 - 1, INET_HEAD = 4 };

static uint32_t target_of(const struct pg_param *p, uint32_t declared) { return declared ? declared : p->type; }

/* ---- one value: checks ---- */

/* The size is checked first: of a nonsensical one nothing may be read. */
const char *rp_check_view(const struct pg_param *p, bool nul_allowed)
{
    if (p->size > INT32_MAX) return "is larger than the protocol allows";
    if (p->size == 0) return NULL;
    if (!p->u.p) return "has a size but no address";
    if (!nul_allowed && memchr(p->u.p, 0, p->size)) return "is text with a NUL byte";
    return NULL;
}

static const char *check_integer(const struct pg_param *p, const struct rp_type *to)
{
    return p->u.i < to->min || p->u.i > to->max ? to->out_of_range : NULL;
}

/* The extremes of the integer are infinite. */
static const char *check_time(const struct pg_param *p, const struct rp_type *to)
{
    bool infinite = to->kind == RP_KIND_DATE ? p->u.i == PG_DATE_INFINITY || p->u.i == PG_DATE_MINUS_INFINITY
                                             : p->u.i == PG_TIME_INFINITY || p->u.i == PG_TIME_MINUS_INFINITY;
    return infinite && to->kind != RP_KIND_TIME ? NULL : check_integer(p, to);
}

static const char *check_timetz(const struct pg_param *p, const struct rp_type *to)
{
    bool offset = p->offset_s >= -OFFSET_MOST_S && p->offset_s <= OFFSET_MOST_S;
    return offset ? check_integer(p, to) : to->out_of_range;
}

/* As the server's own cast: what becomes infinite or zero by the narrowing is out of range, the rest is rounded. */
static const char *check_float(const struct pg_param *p, const struct rp_type *to)
{
    if (to->size == sizeof(double)) return NULL;
    float narrow = (float)p->u.f;
    bool lost = (isinf(narrow) && !isinf(p->u.f)) || (narrow == 0 && p->u.f != 0);
    return lost ? to->out_of_range : NULL;
}

static const char *check_inet(const struct pg_inet *inet, uint32_t oid)
{
    if (!inet) return "has no address";
    unsigned bits = inet->family == 4 ? 32 : 128;
    if ((inet->family != 4 && inet->family != 6) || inet->prefix > bits) return "has no valid family or prefix";
    for (unsigned i = inet->prefix; oid == PG_TYPE_CIDR && i < bits; i++)
        if (inet->address[i / 8] >> (7 - i % 8) & 1) return "is a cidr with bits set to the right of its prefix";
    return NULL;
}

/* A view of exactly the type's size. */
static const char *check_bytes(const struct pg_param *p, const struct rp_type *to)
{
    const char *why = rp_check_view(p, true);
    return why || p->size == to->size ? why : to->wrong_size;
}

/* What is held by value, or views of bytes that mean the same on the wire. */
static const char *check_plain(const struct pg_param *p, uint32_t oid)
{
    const struct rp_type *from = rp_type_of(p->type), *to = rp_type_of(oid);
    bool known = from->kind > RP_KIND_USER && to->kind > RP_KIND_USER && p->type != PG_TYPE_INFER;
    if (!known) return "is of a type that can only be sent as text";
    if (from->kind != to->kind) return rp_kind_complaint[from->kind][to->kind];
    if (p->scale && to->kind != RP_KIND_NUMERIC) return "has a scale, which is numeric's alone";
    switch (to->kind) {
    case RP_KIND_TEXT:
        return to->size && p->size > to->size ? to->wrong_size : rp_check_view(p, false);
    case RP_KIND_BYTEA:
    case RP_KIND_BITS:
        return rp_check_view(p, true);
    case RP_KIND_UUID:
    case RP_KIND_MACADDR:
        return check_bytes(p, to);
    case RP_KIND_INET:
        return check_inet(p->u.p, oid);
    case RP_KIND_TIMETZ:
        return check_timetz(p, to);
    case RP_KIND_INTERVAL:
        return NULL;
    case RP_KIND_ARRAY:
    case RP_KIND_RECORD:
    case RP_KIND_RANGE:
        return "is not made by a constructor of its type";
    default:
        break;
    }
    if (p->size) return "is a view where a number is due";
    switch (to->kind) {
    case RP_KIND_INTEGER:
        return check_integer(p, to);
    case RP_KIND_FLOAT:
        return check_float(p, to);
    case RP_KIND_NUMERIC:
        return rp_check_numeric(p);
    case RP_KIND_BOOL:
        return NULL;
    default:
        return check_time(p, to);
    }
}

const char *rp_value_check(const struct pg_param *p, uint32_t oid, int depth)
{
    if (p->scale >= 0) return check_plain(p, oid);
    switch (p->scale) {
    case PG_FORM_RAW:
        return p->type == oid ? rp_check_view(p, true) : "is the raw form of another type";
    case PG_FORM_NUMERIC:
        return rp_type_of(oid)->kind == RP_KIND_NUMERIC ? rp_check_numeric(p)
                                                        : rp_kind_complaint[RP_KIND_NUMERIC][rp_type_of(oid)->kind];
    case PG_FORM_TEXT:
        return "is in text format inside of a value in binary";
    default:
        return rp_check_nested(p, oid, depth);
    }
}

/* ---- one value: size and bytes ---- */

static size_t inet_bytes(const struct pg_inet *inet) { return inet->family == 4 ? 4 : 16; }

size_t rp_value_size(const struct pg_param *p, uint32_t oid)
{
    if (p->scale == PG_FORM_RAW) return p->size;
    if (p->scale == PG_FORM_NUMERIC) return rp_numeric_size(p);
    if (p->scale < 0) return rp_nested_size(p, oid);
    const struct rp_type *to = rp_type_of(oid);
    if (to->size) return to->size;
    switch (to->kind) {
    case RP_KIND_NUMERIC:
        return rp_numeric_size(p);
    case RP_KIND_INET:
        return INET_HEAD + inet_bytes(p->u.p);
    case RP_KIND_BITS:
        return 4 + (p->size + 7) / 8;
    default:
        return to->prefix + p->size;
    }
}

static void write_integer(struct rp_writer *w, const struct pg_param *p, const struct rp_type *to)
{
    if (to->size == 2)
        rp_write_u16(w, (uint16_t)p->u.i);
    else if (to->size == 4)
        rp_write_u32(w, (uint32_t)p->u.i);
    else
        rp_write_u64(w, (uint64_t)p->u.i);
}

static void write_float(struct rp_writer *w, const struct pg_param *p, const struct rp_type *to)
{
    if (to->size == sizeof(float)) {
        float narrow = (float)p->u.f;
        uint32_t bits;
        memcpy(&bits, &narrow, sizeof bits);
        rp_write_u32(w, bits);
    } else {
        uint64_t bits;
        memcpy(&bits, &p->u.f, sizeof bits);
        rp_write_u64(w, bits);
    }
}

/* Family (PGSQL_AF_INET, PGSQL_AF_INET6), prefix, whether it is a cidr, size of the address. */
static void write_inet(struct rp_writer *w, const struct pg_inet *inet, uint32_t oid)
{
    const uint8_t head[INET_HEAD] = { inet->family == 4 ? 2 : 3, inet->prefix, oid == PG_TYPE_CIDR,
                                      (uint8_t)inet_bytes(inet) };
    rp_write_bytes(w, head, sizeof head);
    rp_write_bytes(w, inet->address, inet_bytes(inet));
}

/* What follows the last bit in its byte is zero. */
static void write_bits(struct rp_writer *w, const struct pg_param *p)
{
    const uint8_t *at = p->u.p;
    rp_write_u32(w, (uint32_t)p->size);
    rp_write_bytes(w, at, p->size / 8);
    if (p->size % 8) rp_write_u8(w, (uint8_t)(at[p->size / 8] & (0xff00 >> p->size % 8)));
}

static void write_plain(struct rp_writer *w, const struct pg_param *p, uint32_t oid)
{
    const struct rp_type *to = rp_type_of(oid);
    switch (to->kind) {
    case RP_KIND_BOOL:
        rp_write_u8(w, p->u.b ? 1 : 0);
        break;
    case RP_KIND_FLOAT:
        write_float(w, p, to);
        break;
    case RP_KIND_NUMERIC:
        rp_write_numeric(w, p);
        break;
    case RP_KIND_INET:
        write_inet(w, p->u.p, oid);
        break;
    case RP_KIND_BITS:
        write_bits(w, p);
        break;
    case RP_KIND_TIMETZ:
        rp_write_u64(w, (uint64_t)p->u.i);
        rp_write_u32(w, (uint32_t)-p->offset_s); /* on the wire it is west of UTC */
        break;
    case RP_KIND_INTERVAL:
        rp_write_u64(w, (uint64_t)p->u.i);
        rp_write_u32(w, (uint32_t)p->date.days);
        rp_write_u32(w, (uint32_t)p->date.months);
        break;
    case RP_KIND_TEXT:
        if (to->prefix) rp_write_u8(w, 1); /* jsonb's version */
        rp_write_bytes(w, p->u.p, p->size);
        if (p->size < to->size) rp_write_u8(w, 0); /* an empty "char" */
        break;
    case RP_KIND_BYTEA:
    case RP_KIND_UUID:
    case RP_KIND_MACADDR:
        rp_write_bytes(w, p->u.p, p->size);
        break;
    default:
        write_integer(w, p, to);
        break;
    }
}

void rp_value_write(struct rp_writer *w, const struct pg_param *p, uint32_t oid)
{
    if (p->scale >= 0)
        write_plain(w, p, oid);
    else if (p->scale == PG_FORM_RAW)
        rp_write_bytes(w, p->u.p, p->size);
    else if (p->scale == PG_FORM_NUMERIC)
        rp_write_numeric(w, p);
    else
        rp_write_nested(w, p, oid);
}

/* ---- the parameter ---- */

static const char *complaint_about(const struct pg_param *p, uint32_t declared)
{
    if (p->scale == PG_FORM_TEXT) return rp_check_view(p, false);
    if (declared == PG_TYPE_INFER) return "is not text and its type is not declared";
    return rp_value_check(p, target_of(p, declared), 0);
}

bool rp_param_null_is_text(const struct pg_param *p, uint32_t declared)
{
    if (!rp_param_is_null(p)) return false;
    /* The server looks up the input function of a NULL too, and not every type has a binary one. */
    return declared == PG_TYPE_INFER || rp_type_of(target_of(p, declared))->kind <= RP_KIND_USER;
}

int rp_param_check_other(const struct pg_param *p, uint32_t declared, size_t *size, bool *text, const char **why)
{
    RP_ASSERT(p && size && text && why);
    *text = rp_param_is_text(p, declared);
    if (rp_param_is_null(p)) {
        *size = 0;
        return 0;
    }
    const char *complaint = complaint_about(p, declared);
    if (complaint) {
        *why = complaint;
        return PG_E_PARAMETER;
    }
    *size = *text ? p->size : rp_value_size(p, target_of(p, declared));
    return 0;
}

/* Measured once for all windows; where there is no room any more, not at all. */
static void write_nested(struct rp_writer *w, const struct pg_param *p, uint32_t oid)
{
    struct rp_resume *resume = w->resume && w->resume->of == p ? w->resume : NULL;
    if (w->used == w->capacity) return;
    size_t size = resume && resume->size ? resume->size : rp_value_size(p, oid);
    if (resume) resume->size = size;
    rp_write_u32(w, (uint32_t)size);
    rp_value_write(w, p, oid);
}

void rp_param_write(struct rp_writer *w, const struct pg_param *p, uint32_t declared)
{
    RP_ASSERT(w && p);
    if (rp_param_is_null(p)) {
        rp_write_u32(w, SQL_NULL);
    } else if (p->scale == PG_FORM_TEXT) {
        rp_write_u32(w, (uint32_t)p->size);
        if (p->size) rp_write_bytes(w, p->u.p, p->size);
    } else if (rp_param_is_nested(p)) {
        write_nested(w, p, target_of(p, declared));
    } else {
        uint32_t oid = target_of(p, declared);
        rp_write_u32(w, (uint32_t)rp_value_size(p, oid));
        rp_value_write(w, p, oid);
    }
}
