/* The getters of text, bytes and bytea: views and copies from both formats. */
#include <stdio.h>
#include "unit/getters.h"

enum { ROUNDS = 2000 };

static void texts(void **state)
{
    (void)state;
    static const uint32_t family[] = {PG_TYPE_TEXT, PG_TYPE_VARCHAR, PG_TYPE_BPCHAR, PG_TYPE_NAME, PG_TYPE_JSON};
    uint64_t seed = 4;
    for (int i = 0; i < ROUNDS; i++) {
        char text[40];
        size_t size = random_u64(&seed) % sizeof text;
        for (size_t k = 0; k < size; k++) text[k] = (char)(1 + random_u64(&seed) % 255);
        for (int format = 0; format < 2; format++) {
            struct pg_value value = value_of(family[(size_t)i % 5], format, text, size);
            struct pg_text got = pg_value_text(value), bytes = pg_value_bytes(value);
            expect_no_complaint();
            assert_ptr_equal(got.data, value.data);
            assert_ptr_equal(bytes.data, value.data);
            assert_int_equal(got.size, size);
            assert_int_equal(bytes.size, size);
        }
    }
    static const uint32_t every[] = {PG_TYPE_BOOL, PG_TYPE_INT4, PG_TYPE_FLOAT8, PG_TYPE_BYTEA, POINT, 0};
    for (size_t i = 0; i < sizeof every / sizeof *every; i++) {
        assert_memory_equal(pg_value_text(in_text(every[i], "12.50")).data, "12.50", 5);
        expect_no_complaint();
        struct pg_value value = in_binary(every[i], 0x3132, 2);
        assert_int_equal(pg_value_bytes(value).size, 2);
        expect_no_complaint();
        struct pg_text refused = pg_value_text(value);
        assert_int_equal(refused.size, 0);
        assert_string_equal(refused.data, "");
        assert_int_equal(row.mark, PG_E_VALUE);
    }
}

static size_t hex_text(char *to, const uint8_t *bytes, size_t n, bool upper)
{
    size_t at = (size_t)sprintf(to, "\\x");
    for (size_t i = 0; i < n; i++) at += (size_t)sprintf(to + at, upper ? "%02X" : "%02x", bytes[i]);
    return at;
}

static size_t escape_text(char *to, const uint8_t *bytes, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\\')
            at += (size_t)sprintf(to + at, "\\\\");
        else if (bytes[i] < 0x20 || bytes[i] > 0x7e)
            at += (size_t)sprintf(to + at, "\\%03o", bytes[i]);
        else
            to[at++] = (char)bytes[i];
    }
    return at;
}

static void expect_bytea(struct pg_value value, const uint8_t *bytes, size_t n)
{
    uint8_t got[64];
    for (size_t capacity = 0; capacity <= n + 1; capacity += 1 + n / 3) {
        memset(got, 0xee, sizeof got);
        assert_int_equal(pg_value_bytea(value, capacity ? got : NULL, capacity), n);
        expect_no_complaint();
        size_t written = capacity < n ? capacity : n;
        if (written) assert_memory_equal(got, bytes, written);
        for (size_t i = written; i < sizeof got; i++) assert_int_equal(got[i], 0xee);
    }
}

static void byteas(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t bytes[48];
        char text[4 * sizeof bytes + 3];
        size_t n = random_u64(&seed) % sizeof bytes;
        for (size_t k = 0; k < n; k++) bytes[k] = (uint8_t)(random_u64(&seed) % 4 ? random_u64(&seed) : '\\');
        expect_bytea(value_of(PG_TYPE_BYTEA, false, bytes, n), bytes, n);
        expect_bytea(value_of(PG_TYPE_BYTEA, true, text, hex_text(text, bytes, n, i % 2)), bytes, n);
        expect_bytea(value_of(PG_TYPE_BYTEA, true, text, escape_text(text, bytes, n)), bytes, n);
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t one = (uint8_t)byte;
        char text[8];
        expect_bytea(value_of(PG_TYPE_BYTEA, true, text, hex_text(text, &one, 1, false)), &one, 1);
        expect_bytea(value_of(PG_TYPE_BYTEA, true, text, escape_text(text, &one, 1)), &one, 1);
    }
}

static void byteas_malformed(void **state)
{
    (void)state;
    static const char *const malformed[] = {"\\",     "a\\",    "\\1",    "\\12",  "\\400",  "\\128",
                                            "\\18",   "\\y",    "\\\\\\", "\\x1",  "\\xg0",  "\\x0g",
                                            "\\x00 ", "\\x 00", "\\X00",  "\\08a", "\\x0\\", "abc\\9"};
    uint8_t out[8];
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        memset(out, 0xee, sizeof out);
        assert_int_equal(pg_value_bytea(in_text(PG_TYPE_BYTEA, malformed[i]), out, sizeof out), 0);
        expect_complaint("is not the text of a valid bytea");
        for (size_t k = 0; k < sizeof out; k++) assert_int_equal(out[k], 0xee);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(byteas),
        cmocka_unit_test(byteas_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
