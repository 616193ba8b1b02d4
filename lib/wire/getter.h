/* wire/getter.h - what the families of getters share: complaints, and the reading of one value into C's words, which
 * the printing of values uses too. Each rp_read_ returns NULL, or a complaint in static storage, and looks only at the
 * value's bytes, of which any may be wrong. The value is not NULL and of the kind that the name says. */
#ifndef RP_WIRE_GETTER_H
#define RP_WIRE_GETTER_H
#include "wire/row.h"
#include "wire/types.h"

static inline bool rp_complain(struct pg_value value, const char *why)
{
    rp_row_mark(value.row, value.column, why);
    return false;
}

/* What every getter asks first: is there a value, and is it of the wanted kind? */
static inline bool rp_is_kind(struct pg_value value, enum rp_kind kind, enum rp_kind wanted)
{
    if (!value.data) return rp_complain(value, "is NULL");
    return kind == wanted || rp_complain(value, rp_kind_complaint[kind][wanted]);
}

/* For what a type of somebody's own may be: the caller's word counts where the library knows nothing. */
static inline bool rp_may_be_kind(struct pg_value value, enum rp_kind wanted)
{
    enum rp_kind kind = rp_type_of(value.type)->kind;
    return rp_is_kind(value, kind == RP_KIND_OTHER || kind == RP_KIND_USER ? wanted : kind, wanted);
}

/* value.c */
const char *rp_read_bool(struct pg_value value, const struct rp_type *type, bool *out);
const char *rp_read_integer(struct pg_value value, const struct rp_type *type, int64_t *out);
const char *rp_read_float(struct pg_value value, const struct rp_type *type, double *out);
/* value_text.c: the text of the binary form, and the complaint about a text that no view can show */
extern const char rp_escaped[];
const char *rp_read_text(struct pg_value value, const struct rp_type *type, struct pg_text *out);

/* value_time.c; of date, time, timestamp and timestamptz, in their own units */
const char *rp_read_time(struct pg_value value, const struct rp_type *type, int64_t *out);
const char *rp_read_timetz(struct pg_value value, const struct rp_type *type, struct pg_timetz *out);
const char *rp_read_interval(struct pg_value value, const struct rp_type *type, struct pg_interval *out);

/* value_net.c */
const char *rp_read_uuid(struct pg_value value, const struct rp_type *type, uint8_t out[16]);
const char *rp_read_macaddr(struct pg_value value, const struct rp_type *type, uint8_t out[8]);
const char *rp_read_inet(struct pg_value value, const struct rp_type *type, struct pg_inet *out);
/* Of the binary form: the number of bits, and where they are. */
const char *rp_read_bits(struct pg_value value, const struct rp_type *type, size_t *count, const uint8_t **at);

/* value_number.c: a numeric where it stands. Digit i < count is that of 10000^(weight - i). */
struct rp_digits {
    uint16_t sign, scale;
    int32_t weight;
    uint32_t count;
    const uint8_t *at;  /* binary: two bytes a digit; text: the first decimal digit      */
    const uint8_t *end; /* text: behind the last one; NULL: binary                       */
    uint32_t whole;     /* text: decimal digits before the point                         */
    uint32_t first;     /* text: the group of four that digit 0 is                       */
};
const char *rp_read_numeric(struct pg_value value, const struct rp_type *type, struct rp_digits *out);
uint16_t rp_digit(const struct rp_digits *digits, uint32_t i);

/* value_array.c, value_record.c: checked to the last byte */
const char *rp_read_array(struct pg_value value, const struct rp_type *type, struct pg_array *out);
const char *rp_read_record(struct pg_value value, const struct rp_type *type, struct pg_record *out);
const char *rp_read_range(struct pg_value value, const struct rp_type *type, struct pg_range *out);

#endif
