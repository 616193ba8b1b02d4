/* wire/param.h - one parameter of a Bind: checked first, then written. No allocation; the value stays in the caller's
 * memory. Source: protocol chapter "Message Formats", Bind; the send functions of the server's types. */
#ifndef RP_WIRE_PARAM_H
#define RP_WIRE_PARAM_H
#include "ringpg/value.h"
#include "wire/write.h"

/* Checks `p` against the declared type. 0: the statement declares nothing and the Parse names the parameter's own type,
 * so that is meant; PG_TYPE_INFER: the server decides, so only text format and NULL are legal.
 * 0: `*size` is the value's size in bytes on the wire (without its length word; 0 for NULL), `*text` the format.
 * PG_E_PARAMETER: `*why` says what is wrong in a static string ("is an int8 out of range for int4", "is text with a NUL
 * byte"). */
int rp_param_check(const struct pg_param *p, uint32_t declared, size_t *size, bool *text, const char **why);

/* The same format for a parameter that was checked, without looking at its value. */
bool rp_param_is_text(const struct pg_param *p, uint32_t declared);

/* It has elements, fields or bounds: to measure it is to walk through them. */
static inline bool rp_param_is_nested(const struct pg_param *p) { return p->scale < PG_FORM_NUMERIC && p->type; }

/* Writes length word and value. Only after rp_param_check gave 0 for the same arguments. */
void rp_param_write(struct rp_writer *w, const struct pg_param *p, uint32_t declared);

#endif
