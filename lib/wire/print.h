/* wire/print.h - printing values as text. Text goes into a sink: a buffer of the caller's that counts on when it is
 * full, or the quotes that an array or a record puts around it. Numbers are printed here, so that no locale has a say.
 */
#ifndef RP_WIRE_PRINT_H
#define RP_WIRE_PRINT_H
#include "wire/getter.h"

enum rp_sink_kind {
    RP_SINK_BUFFER,
    RP_SINK_ARRAY,  /* in an array's quotes: a backslash before a quote and a backslash     */
    RP_SINK_RECORD, /* in a record's or a range's: these two are doubled                    */
    RP_SINK_SEEK    /* goes nowhere: is there something that has to stand in quotes?        */
};
struct rp_sink {
    enum rp_sink_kind kind;
    struct rp_sink *outer; /* of the quotes                                                   */
    char *to;              /* of the buffer, which has room for `capacity`                    */
    size_t capacity;
    size_t size;         /* so far, also beyond the capacity                                */
    const char *special; /* of SEEK: the characters                                         */
    bool found;          /* of SEEK: one of them came; nothing that follows changes that    */
    char begin[4];       /* of SEEK: the first characters, for the word NULL                */
};

void rp_put(struct rp_sink *sink, const char *at, size_t n);
static inline void rp_put_text(struct rp_sink *sink, const char *text) { rp_put(sink, text, strlen(text)); }
static inline void rp_put_char(struct rp_sink *sink, char c) { rp_put(sink, &c, 1); }
/* Decimal, with zeros in front up to `width` (20 at most). */
void rp_put_number(struct rp_sink *sink, uint64_t number, int width);
void rp_put_integer(struct rp_sink *sink, int64_t number);
void rp_put_hex(struct rp_sink *sink, const uint8_t *at, size_t n);

/* A value that is not NULL, at a depth from 0. NULL, or a complaint: what was put until then is to be forgotten. */
const char *rp_print_value(struct rp_sink *sink, struct pg_value value, int depth);

/* By family; `value` is in binary format and of the type's kind. */
const char *rp_print_float(struct rp_sink *sink, struct pg_value value, const struct rp_type *type);
const char *rp_print_numeric(struct rp_sink *sink, struct pg_value value, const struct rp_type *type);
const char *rp_print_time(struct rp_sink *sink, struct pg_value value, const struct rp_type *type);
const char *rp_print_timetz(struct rp_sink *sink, struct pg_value value, const struct rp_type *type);
const char *rp_print_interval(struct rp_sink *sink, struct pg_value value, const struct rp_type *type);
const char *rp_print_uuid(struct rp_sink *sink, struct pg_value value, const struct rp_type *type);
const char *rp_print_inet(struct rp_sink *sink, struct pg_value value, const struct rp_type *type);
const char *rp_print_macaddr(struct rp_sink *sink, struct pg_value value, const struct rp_type *type);
const char *rp_print_bits(struct rp_sink *sink, struct pg_value value, const struct rp_type *type);
const char *rp_print_array(struct rp_sink *sink, struct pg_value value, const struct rp_type *type, int depth);
const char *rp_print_record(struct rp_sink *sink, struct pg_value value, const struct rp_type *type, int depth);
const char *rp_print_range(struct rp_sink *sink, struct pg_value value, const struct rp_type *type, int depth);

#endif
