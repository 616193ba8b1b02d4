/* wire/param.c - one parameter of a Bind: checked against the declared type, then written.
 *
 * Owns the rules of conversion and the binary encodings; knows nothing of the message around them. The value stays in
 * the caller's memory, nothing is allocated, and writing through small windows gives the same bytes as writing at once
 * (write.h). Invariant: what rp_param_check let pass is written with exactly the size that it told. */
#include <math.h>
#include "wire/check.h"
#include "wire/param.h"
#include "wire/types.h"

static const uint32_t SQL_NULL = UINT32_MAX; /* the length word -1 */

static const struct rp_type *target_of(const struct pg_param *p, uint32_t declared)
{
    return rp_type_of(declared ? declared : p->type);
}

/* The caller's memory behind a view. The size is checked first: of a nonsensical one nothing may be read. */
static const char *check_view(const struct pg_param *p, bool nul_allowed)
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

/* As the server's own cast: what becomes infinite or zero by the narrowing is out of range, the rest is rounded. */
static const char *check_float(const struct pg_param *p, const struct rp_type *to)
{
    if (to->size == sizeof(double)) return NULL;
    float narrow = (float)p->u.f;
    bool lost = (isinf(narrow) && !isinf(p->u.f)) || (narrow == 0 && p->u.f != 0);
    return lost ? to->out_of_range : NULL;
}

static const char *check_binary(const struct pg_param *p, const struct rp_type *to)
{
    const struct rp_type *from = rp_type_of(p->type);
    if (from->kind == RP_KIND_OTHER || to->kind == RP_KIND_OTHER) return "is of a type that can only be sent as text";
    if (from->kind != to->kind) return rp_kind_complaint[from->kind][to->kind];
    if (to->kind == RP_KIND_TEXT || to->kind == RP_KIND_BYTEA) return check_view(p, to->kind == RP_KIND_BYTEA);
    if (p->size) return "is a view where a number is due";
    if (to->kind == RP_KIND_INTEGER) return check_integer(p, to);
    return to->kind == RP_KIND_FLOAT ? check_float(p, to) : NULL;
}

static const char *complaint_about(const struct pg_param *p, uint32_t declared)
{
    if (p->scale == -1) return check_view(p, false);
    if (p->scale) return "has a scale that is neither 0 nor -1";
    if (declared == PG_TYPE_INFER) return "is not text and its type is not declared";
    return check_binary(p, target_of(p, declared));
}

bool rp_param_is_text(const struct pg_param *p, uint32_t declared)
{
    /* The server looks up the input function of a NULL too, and not every type has a binary one. */
    return p->type == 0 ? target_of(p, declared)->kind == RP_KIND_OTHER : p->scale == -1;
}

int rp_param_check(const struct pg_param *p, uint32_t declared, size_t *size, bool *text, const char **why)
{
    RP_ASSERT(p && size && text && why);
    const struct rp_type *to = target_of(p, declared);
    *text = rp_param_is_text(p, declared);
    if (p->type == 0) {
        *size = 0;
        return 0;
    }
    const char *complaint = complaint_about(p, declared);
    if (complaint) {
        *why = complaint;
        return PG_E_PARAMETER;
    }
    *size = *text || to->size == 0 ? p->size : to->size;
    return 0;
}

static void write_view(struct rp_writer *w, const struct pg_param *p)
{
    rp_write_u32(w, (uint32_t)p->size);
    if (p->size) rp_write_bytes(w, p->u.p, p->size);
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

void rp_param_write(struct rp_writer *w, const struct pg_param *p, uint32_t declared)
{
    RP_ASSERT(w && p);
    if (p->type == 0) {
        rp_write_u32(w, SQL_NULL);
        return;
    }
    const struct rp_type *to = target_of(p, declared);
    if (p->scale == -1 || to->size == 0) {
        write_view(w, p);
        return;
    }
    rp_write_u32(w, to->size);
    switch (to->kind) {
    case RP_KIND_BOOL:
        rp_write_u8(w, p->u.b ? 1 : 0);
        break;
    case RP_KIND_INTEGER:
        write_integer(w, p, to);
        break;
    case RP_KIND_FLOAT:
        write_float(w, p, to);
        break;
    default:
        RP_ASSERT(!"a checked parameter has an encoding");
    }
}
