/* unit/getters.h - values for the tests of getters, on a row that takes the complaints. */
#ifndef TESTS_UNIT_GETTERS_H
#define TESTS_UNIT_GETTERS_H
#include "unit/values.h"

enum { COLUMN = 7, POINT = 600 }; /* point: a type that has no binary form here */
static struct pg_row row;

static inline struct pg_value value_of(uint32_t type, bool text, const void *bytes, size_t size)
{
    row = (struct pg_row){0};
    return (struct pg_value){.data = exactly(bytes, size),
                             .size = (uint32_t)size,
                             .type = type,
                             .text = text,
                             .row = &row,
                             .column = COLUMN};
}

static inline struct pg_value in_text(uint32_t type, const char *text)
{
    return value_of(type, true, text, strlen(text));
}

static inline struct pg_value in_binary(uint32_t type, uint64_t number, size_t size)
{
    uint8_t bytes[16] = {0};
    put_big_endian(bytes, number, size);
    return value_of(type, false, bytes, size);
}

static inline void expect_no_complaint(void)
{
    if (row.mark) fail_msg("complaint: %s", row.why);
    assert_null(row.why);
}

static inline void expect_complaint(const char *why)
{
    assert_int_equal(row.mark, PG_E_VALUE);
    assert_int_equal(row.marked_column, COLUMN);
    assert_string_equal(row.why, why);
}

#endif
