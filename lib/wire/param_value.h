/* wire/param_value.h - the body of one value in binary format, for param.c and the values inside of arrays, records and
 * ranges. `oid` is the type that it goes to, `depth` counts the containers around it.
 *
 * A value is checked first; then its size is asked for and it is written, as often as it takes to send it in pieces.
 * What was checked has an encoding of exactly the size that rp_value_size tells. No NULL comes here. */
#ifndef RP_WIRE_PARAM_VALUE_H
#define RP_WIRE_PARAM_VALUE_H
#include "wire/types.h"
#include "wire/write.h"

static inline bool rp_param_is_null(const struct pg_param *p) { return p->type == 0 || p->scale == PG_FORM_NULL; }

/* NULL, or a complaint. */
const char *rp_value_check(const struct pg_param *p, uint32_t oid, int depth);
size_t rp_value_size(const struct pg_param *p, uint32_t oid);
void rp_value_write(struct rp_writer *w, const struct pg_param *p, uint32_t oid);

/* The caller's memory behind a view. */
const char *rp_check_view(const struct pg_param *p, bool nul_allowed);

/* param_number.c: numeric, from either form */
const char *rp_check_numeric(const struct pg_param *p);
size_t rp_numeric_size(const struct pg_param *p);
void rp_write_numeric(struct rp_writer *w, const struct pg_param *p);

/* param_nested.c: what has elements, fields or bounds */
const char *rp_check_nested(const struct pg_param *p, uint32_t oid, int depth);
size_t rp_nested_size(const struct pg_param *p, uint32_t oid);
void rp_write_nested(struct rp_writer *w, const struct pg_param *p, uint32_t oid);

#endif
