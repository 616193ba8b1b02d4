/* The getters and the printing of numeric and of floats. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include "unit/getters.h"

enum { ROUNDS = 20000 };

/* Digits in groups of four, behind the head that numeric_send writes. */
static size_t put_numeric(uint8_t *to, uint16_t count, int weight, unsigned sign, unsigned scale,
                          const uint16_t *digits)
{
    put_big_endian(to, count, 2);
    put_big_endian(to + 2, (uint64_t)(int64_t)weight, 2);
    put_big_endian(to + 4, sign, 2);
    put_big_endian(to + 6, scale, 2);
    for (uint16_t i = 0; i < count; i++) put_big_endian(to + 8 + 2 * i, digits[i], 2);
    return 8 + 2 * (size_t)count;
}

static const struct {
    const char *text;
    uint16_t count;
    int weight;
    unsigned sign, scale;
    uint16_t digits[8];
} numbers[] = {
    { "0", 0, 0, PG_SIGN_PLUS, 0, { 0 } },
    { "0.00", 0, 0, PG_SIGN_PLUS, 2, { 0 } },
    { "1", 1, 0, PG_SIGN_PLUS, 0, { 1 } },
    { "-1", 1, 0, PG_SIGN_MINUS, 0, { 1 } },
    { "10000", 1, 1, PG_SIGN_PLUS, 0, { 1 } },
    { "12345.678", 3, 1, PG_SIGN_PLUS, 3, { 1, 2345, 6780 } },
    { "0.0001", 1, -1, PG_SIGN_PLUS, 4, { 1 } },
    { "0.00001", 1, -2, PG_SIGN_PLUS, 5, { 1000 } },
    { "-0.05", 1, -1, PG_SIGN_MINUS, 2, { 500 } },
    { "19.90", 2, 0, PG_SIGN_PLUS, 2, { 19, 9000 } },
    { "100000000.00000001", 5, 2, PG_SIGN_PLUS, 8, { 1, 0, 0, 0, 1 } },
    { "9223372036854775807", 5, 4, PG_SIGN_PLUS, 0, { 922, 3372, 368, 5477, 5807 } },
    { "-9223372036854775808", 5, 4, PG_SIGN_MINUS, 0, { 922, 3372, 368, 5477, 5808 } },
    { "NaN", 0, 0, PG_SIGN_NAN, 0, { 0 } },
    { "Infinity", 0, 0, PG_SIGN_INFINITY, 0, { 0 } },
    { "-Infinity", 0, 0, PG_SIGN_MINUS_INFINITY, 0, { 0 } },
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static struct pg_value number_at(size_t i, bool text)
{
    uint8_t bytes[64];
    if (text) return in_text(PG_TYPE_NUMERIC, numbers[i].text);
    size_t size =
        put_numeric(bytes, numbers[i].count, numbers[i].weight, numbers[i].sign, numbers[i].scale, numbers[i].digits);
    return value_of(PG_TYPE_NUMERIC, false, bytes, size);
}

static void numerics(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUMBERS; i++) {
        for (int text = 0; text < 2; text++) {
            uint16_t digits[8] = { 0 };
            struct pg_value value = number_at(i, text);
            struct pg_numeric n = pg_value_numeric(value, digits, 8);
            expect_no_complaint();
            assert_int_equal(n.sign, numbers[i].sign);
            assert_int_equal(n.weight, numbers[i].weight);
            assert_int_equal(n.scale, numbers[i].scale);
            assert_int_equal(n.count, numbers[i].count);
            assert_ptr_equal(n.digits, digits);
            assert_memory_equal(digits, numbers[i].digits, 2 * (size_t)n.count);
            expect_printed(value, numbers[i].text);
            n = pg_value_numeric(value, digits, 0);
            assert_int_equal(n.count, numbers[i].count);
            assert_true(n.count == 0 || !n.digits);
        }
    }
}

static void expect_decimal(const char *text, int32_t scale, int64_t wanted)
{
    assert_true(pg_value_decimal(in_text(PG_TYPE_NUMERIC, text), scale) == wanted);
    expect_no_complaint();
}
static void refuse_decimal(const char *text, int32_t scale, const char *why)
{
    assert_true(pg_value_decimal(in_text(PG_TYPE_NUMERIC, text), scale) == 0);
    expect_complaint(why);
}

static void decimals(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUMBERS; i++) { /* the same from both formats, at every scale */
        for (int32_t scale = 0; scale < 20; scale++) {
            int64_t a = pg_value_decimal(number_at(i, false), scale);
            const char *why = row.why;
            int64_t b = pg_value_decimal(number_at(i, true), scale);
            assert_true(a == b && why == row.why);
        }
    }
    expect_decimal("19.90", 2, 1990);
    expect_decimal("19.9", 2, 1990);
    expect_decimal("19.9000", 1, 199);
    expect_decimal("-0.05", 2, -5);
    expect_decimal("12345.678", 3, 12345678);
    expect_decimal("0", 16383, 0);
    expect_decimal("9223372036854775807", 0, INT64_MAX);
    expect_decimal("-9223372036854775808", 0, INT64_MIN);
    expect_decimal("-92233720368547758.08", 2, INT64_MIN);
    expect_decimal("92233720368547758.07", 2, INT64_MAX);
    expect_decimal("1000000000000000000", 0, 1000000000000000000);
    refuse_decimal("12.345", 2, "has more decimals than were asked for");
    refuse_decimal("0.00001", 4, "has more decimals than were asked for");
    refuse_decimal("9223372036854775808", 0, "is out of range for 63 bits at that scale");
    refuse_decimal("-9223372036854775809", 0, "is out of range for 63 bits at that scale");
    refuse_decimal("92233720368547758.08", 2, "is out of range for 63 bits at that scale");
    refuse_decimal("1", 19, "is out of range for 63 bits at that scale");
    refuse_decimal("1", 16383, "is out of range for 63 bits at that scale");
    refuse_decimal("NaN", 2, "is NaN or infinite");
    refuse_decimal("-Infinity", 2, "is NaN or infinite");
    uint64_t seed = 21;
    for (int i = 0; i < ROUNDS; i++) {
        char text[48];
        int64_t number = random_integer(&seed);
        unsigned scale = (unsigned)(random_u64(&seed) % 19);
        uint64_t unit = 1, magnitude = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
        for (unsigned k = 0; k < scale; k++) unit *= 10;
        snprintf(text, sizeof text, "%s%llu.%0*llu", number < 0 ? "-" : "", (unsigned long long)(magnitude / unit),
                 (int)scale, (unsigned long long)(magnitude % unit));
        if (!scale) *strchr(text, '.') = 0;
        expect_decimal(text, (int32_t)scale, number);
    }
}

static void get_numeric(struct pg_value value)
{
    uint16_t digits[8];
    struct pg_numeric n = pg_value_numeric(value, digits, 8);
    assert_true(!row.mark || (n.count == 0 && n.sign == 0));
    if (!row.mark) return;
    row.mark = 0;
    row.why = NULL;
    assert_true(pg_value_decimal(value, 2) == 0);
}

static void numerics_malformed(void **state)
{
    (void)state;
    uint8_t bytes[64];
    for (size_t i = 0; i < NUMBERS; i++) {
        size_t size = put_numeric(bytes, numbers[i].count, numbers[i].weight, numbers[i].sign, numbers[i].scale,
                                  numbers[i].digits);
        expect_no_other_size(PG_TYPE_NUMERIC, bytes, size, get_numeric);
    }
    static const struct {
        uint16_t count;
        unsigned sign, scale;
        uint16_t digit;
    } broken[] = { { 1, 0x1000, 0, 1 },
                   { 1, 0xffff, 0, 1 },
                   { 1, 0, 16384, 1 },
                   { 1, 0, 0, 10000 },
                   { 1, PG_SIGN_NAN, 0, 1 },
                   { 1, 0, 0, 0xffff },
                   { 1, PG_SIGN_INFINITY, 0, 1 },
                   { 2, 0, 0, 1 } };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        uint16_t digits[2] = { broken[i].digit, 1 };
        size_t size = put_numeric(bytes, broken[i].count, 0, broken[i].sign, broken[i].scale, digits);
        get_numeric(value_of(PG_TYPE_NUMERIC, false, bytes, size));
        expect_complaint("is not the binary form of a valid numeric");
        print_nothing(value_of(PG_TYPE_NUMERIC, false, bytes, size));
    }
    static const char *const texts[] = { "",   "-",     ".",   "1.",  ".5",  "+1",       "1e5", "1 ",
                                         " 1", "1.2.3", "nan", "--1", "1,5", "infinity", "0x1", "-Infinityx" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) expect_malformed(PG_TYPE_NUMERIC, texts[i], get_numeric);
}

/* The widest that a numeric can be. */
static void numerics_at_their_limits(void **state)
{
    (void)state;
    static char text[131072 + 16383 + 3], printed[sizeof text];
    static uint16_t digits[40000];
    static uint8_t bytes[2 * 40000];
    memset(text, '9', sizeof text - 1);
    text[131072] = '.';
    text[131072 + 1 + 16383] = 0;
    struct pg_numeric n = pg_value_numeric(in_text(PG_TYPE_NUMERIC, text), digits, 40000);
    expect_no_complaint();
    assert_int_equal(n.weight, 32767);
    assert_int_equal(n.scale, 16383);
    size_t size = put_numeric(bytes, n.count, n.weight, n.sign, n.scale, digits);
    struct pg_value value = value_of(PG_TYPE_NUMERIC, false, bytes, size);
    assert_int_equal(pg_value_format(value, printed, sizeof printed), strlen(text));
    assert_string_equal(printed, text);
    size = put_numeric(bytes, 1, -32768, PG_SIGN_PLUS, 0, digits);
    print_nothing(value_of(PG_TYPE_NUMERIC, false, bytes, size)); /* decimals without a scale */
}

/* ---- floats ---- */

static void expect_float8(double number, const char *wanted)
{
    expect_printed(in_binary(PG_TYPE_FLOAT8, double_bits(number), 8), wanted);
}
static void expect_float4(float number, const char *wanted)
{
    expect_printed(in_binary(PG_TYPE_FLOAT4, float_bits(number), 4), wanted);
}

static void floats_as_the_server(void **state)
{
    (void)state;
    expect_float8(0, "0");
    expect_float8(-0.0, "-0");
    expect_float8((double)NAN, "NaN");
    expect_float8(-(double)NAN, "NaN");
    expect_float8((double)INFINITY, "Infinity");
    expect_float8(-(double)INFINITY, "-Infinity");
    expect_float8(0.1, "0.1");
    expect_float8(-1.5, "-1.5");
    expect_float8(100, "100");
    expect_float8(1e14, "100000000000000");
    expect_float8(1e15, "1e+15");
    expect_float8(1e-4, "0.0001");
    expect_float8(1e-5, "1e-05");
    expect_float8(1.5e-7, "1.5e-07");
    expect_float8(DBL_MAX, "1.7976931348623157e+308");
    expect_float8(DBL_MIN, "2.2250738585072014e-308");
    expect_float8(4.9406564584124654e-324, "5e-324");
    expect_float8(9007199254740992.0, "9.007199254740992e+15");
    expect_float8(1e23, "9.999999999999999e+22"); /* half the way to a neighbour is not taken */
    expect_float8(2.0 / 3, "0.6666666666666666");
    expect_float4(0.1f, "0.1");
    expect_float4(999999, "999999");
    expect_float4(1e6f, "1e+06");
    expect_float4(16777216, "1.6777216e+07");
    expect_float4(FLT_MAX, "3.4028235e+38");
    expect_float4(1e-45f, "1e-45");
    expect_float4(-(float)INFINITY, "-Infinity");
}

/* The shortest: it gives the same float again, and no text with a digit less does. */
static void floats_are_shortest(void **state)
{
    (void)state;
    uint64_t seed = 22;
    for (int i = 0; i < ROUNDS; i++) {
        char text[40], less[40];
        uint64_t bits = random_u64(&seed);
        double number;
        memcpy(&number, &bits, sizeof number);
        if (i % 2) number = (double)(bits % 100000) / 1000;
        if (isnan(number) || isinf(number) || number == 0) continue;
        pg_value_format(in_binary(PG_TYPE_FLOAT8, double_bits(number), 8), text, sizeof text);
        assert_true(strtod(text, NULL) == number);
        int digits = 0;
        for (const char *at = text; *at && *at != 'e'; at++)
            digits += *at >= '0' && *at <= '9' && (digits || *at != '0');
        if (strpbrk(text, ".e") == NULL || digits < 2)
            continue; /* zeros at the end of a whole number count for nothing */
        snprintf(less, sizeof less, "%.*e", digits - 2, number);
        /* Half the way to a neighbour is not good enough, though strtod may take it. */
        long double off = strtold(less, NULL) - (long double)number;
        uint64_t beside = (off > 0) == (number > 0) ? double_bits(number) + 1 : double_bits(number) - 1;
        double next;
        memcpy(&next, &beside, sizeof next);
        if (fabsl(off) < fabsl(((long double)next - (long double)number) / 2))
            fail_msg("%s is shorter than %s", less, text);
        float single = (float)number;
        if (isinf(single) || single == 0) continue;
        pg_value_format(in_binary(PG_TYPE_FLOAT4, float_bits(single), 4), text, sizeof text);
        assert_true(strtof(text, NULL) == single);
    }
}

static void get_float(struct pg_value value) { assert_true(pg_value_float8(value) == 0 || !row.mark); }

static void floats_malformed(void **state)
{
    (void)state;
    expect_no_other_size(PG_TYPE_FLOAT8, "\x3f\xf0\0\0\0\0\0\0", 8, get_float);
    expect_no_other_size(PG_TYPE_FLOAT4, "\x3f\x80\0\0", 4, get_float);
}

static void plain_ones(void **state)
{
    (void)state;
    expect_printed(in_binary(PG_TYPE_BOOL, 1, 1), "t");
    expect_printed(in_binary(PG_TYPE_BOOL, 0, 1), "f");
    print_nothing(in_binary(PG_TYPE_BOOL, 2, 1));
    expect_printed(in_binary(PG_TYPE_INT2, 0x8000, 2), "-32768");
    expect_printed(in_binary(PG_TYPE_INT4, 0x80000000, 4), "-2147483648");
    expect_printed(in_binary(PG_TYPE_INT8, (uint64_t)INT64_MIN, 8), "-9223372036854775808");
    expect_printed(in_binary(PG_TYPE_INT8, INT64_MAX, 8), "9223372036854775807");
    expect_printed(in_binary(PG_TYPE_OID, UINT32_MAX, 4), "4294967295");
    enum { REGCLASS = 2205 };
    expect_printed(in_binary(REGCLASS, UINT32_MAX, 4), "4294967295");
    assert_true(pg_value_int8(in_binary(REGCLASS, UINT32_MAX, 4)) == UINT32_MAX);
    expect_no_complaint();
    print_nothing(in_binary(PG_TYPE_INT4, 1, 3));
    print_nothing((struct pg_value){ .type = PG_TYPE_INT4, .row = &row, .column = COLUMN });
    print_nothing(in_binary(POINT, 0, 16));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numerics),
        cmocka_unit_test(decimals),
        cmocka_unit_test(numerics_malformed),
        cmocka_unit_test(numerics_at_their_limits),
        cmocka_unit_test(floats_as_the_server),
        cmocka_unit_test(floats_are_shortest),
        cmocka_unit_test(floats_malformed),
        cmocka_unit_test(plain_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
