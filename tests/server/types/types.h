/* server/types/types.h - what the parts of test_types.c share: values that are kept, values that are compared, and
 * values that become parameters again. */
#ifndef TESTS_SERVER_TYPES_H
#define TESTS_SERVER_TYPES_H
#include "ringpg/query.h"
#include "wire/row.h"

/* One value out of a row that is gone, with a row of its own to be marked. */
struct kept {
    struct pg_value value;
    struct pg_row row;
    uint8_t *bytes;
};

/* Literals of one type, as they stand between quotes; the last is NULL. From `since` on (server_version_num). */
struct literals {
    const char *type;
    int since;
    const char *const *list;
};
extern const struct literals types_literals[];
extern const size_t types_literal_count;
/* Whole SELECT lists, for values that no literal makes. */
extern const char *const types_expressions[];
extern const size_t types_expression_count;

/* The values are the same by every getter that is for them, whatever their formats: NULL, or what is different. */
const char *types_differ(struct pg_value a, struct pg_value b);

/* The value as a parameter of the same type, read by the getters; what it points at lives until types_forget. */
struct pg_param types_param(struct pg_value value);
void types_forget(void);

/* A value of any but the nested types, by the seed; the type's name in *type. */
struct pg_param types_random(uint64_t *seed, const char **type);

#endif
