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

static inline void expect_some_complaint(void)
{
    assert_int_equal(row.mark, PG_E_VALUE);
    assert_int_equal(row.marked_column, COLUMN);
    assert_non_null(row.why);
}

/* What pg_value_format prints, at every capacity. */
static inline void expect_printed(struct pg_value value, const char *wanted)
{
    char out[512];
    size_t size = strlen(wanted);
    assert_true(size < sizeof out);
    for (size_t capacity = 0; capacity <= size + 1; capacity += 1 + capacity / 4) {
        memset(out, '#', sizeof out);
        assert_int_equal(pg_value_format(value, capacity ? out : NULL, capacity), size);
        if (capacity) assert_memory_equal(out, wanted, capacity - 1 < size ? capacity - 1 : size);
        if (capacity) assert_int_equal(out[capacity - 1 < size ? capacity - 1 : size], 0);
        assert_int_equal(out[capacity], '#');
    }
    assert_int_equal(pg_value_format(value, out, sizeof out), size);
    assert_string_equal(out, wanted);
}

static inline void print_nothing(struct pg_value value)
{
    char out[8] = "#######";
    row = (struct pg_row){0};
    assert_int_equal(pg_value_format(value, out, sizeof out), 0);
    assert_int_equal(out[0], 0);
    expect_some_complaint();
}

/* A binary body that is cut anywhere, or has a byte too many, is a complaint to the getter and to the printer. */
static inline void expect_no_other_size(uint32_t type, const void *bytes, size_t size, void (*get)(struct pg_value))
{
    uint8_t longer[256] = {0};
    assert_true(size < sizeof longer);
    memcpy(longer, bytes, size);
    get(value_of(type, false, longer, size));
    expect_no_complaint();
    for (size_t n = 0; n <= size + 1; n++) {
        if (n == size) continue;
        struct pg_value value = value_of(type, false, longer, n);
        get(value);
        expect_some_complaint();
        print_nothing(value);
    }
}

/* A text that is cut anywhere is one too, or it is printed as it came: only the getters look at it. */
static inline void expect_malformed(uint32_t type, const char *text, void (*get)(struct pg_value))
{
    get(in_text(type, text));
    if (!row.mark) fail_msg("taken: \"%s\"", text);
    expect_some_complaint();
}

#endif
