/* wire/param.h - one parameter of a Bind: checked first, then written. No allocation; the value stays in the caller's
 * memory. Source: protocol chapter "Message Formats", Bind; the send functions of the server's types. */
#ifndef RP_WIRE_PARAM_H
#define RP_WIRE_PARAM_H
#include "wire/types.h"
#include "wire/write.h"

/* Most parameters are keys. One that holds an integer and goes to a type of integers, which is returned; NULL: it is
 * something else. */
static inline const struct rp_type *rp_param_integer(const struct pg_param *p, uint32_t declared)
{
    const struct rp_type *to = rp_type_of(declared ? declared : p->type);
    if (to->kind != RP_KIND_INTEGER || p->scale != 0 || p->size != 0) return NULL;
    return p->type == declared || rp_type_of(p->type)->kind == RP_KIND_INTEGER ? to : NULL;
}

/* Checks `p` against the declared type. 0: the statement declares nothing and the Parse names the parameter's own type,
 * so that is meant; PG_TYPE_INFER: the server decides, so only text format and NULL are legal.
 * 0: `*size` is the value's size in bytes on the wire (without its length word; 0 for NULL), `*text` the format.
 * PG_E_PARAMETER: `*why` says what is wrong in a static string ("is an int8 out of range for int4", "is text with a NUL
 * byte"). */
int rp_param_check_other(const struct pg_param *p, uint32_t declared, size_t *size, bool *text, const char **why);
static inline int rp_param_check(const struct pg_param *p, uint32_t declared, size_t *size, bool *text,
                                 const char **why)
{
    const struct rp_type *to = rp_param_integer(p, declared);
    if (!to || p->u.i < to->min || p->u.i > to->max) return rp_param_check_other(p, declared, size, text, why);
    *text = false;
    *size = to->size;
    return 0;
}

/* The same format for a parameter that was checked, without looking at its value. */
bool rp_param_null_is_text(const struct pg_param *p, uint32_t declared);
static inline bool rp_param_is_text(const struct pg_param *p, uint32_t declared)
{
    return p->type && p->scale >= PG_FORM_TEXT ? p->scale == PG_FORM_TEXT : rp_param_null_is_text(p, declared);
}

/* It has elements, fields or bounds: to measure it is to walk through them. */
static inline bool rp_param_is_nested(const struct pg_param *p) { return p->scale < PG_FORM_NUMERIC && p->type; }

/* Writes length word and value. Only after rp_param_check gave 0 for the same arguments. */
void rp_param_write(struct rp_writer *w, const struct pg_param *p, uint32_t declared);

#endif
