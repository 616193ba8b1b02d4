/* Parameters of the types beyond numbers and text: what is refused and why, and the bytes, through windows of each
 * size. */
#include <stdio.h>
#include "unit/values.h"
#include "wire/message.h"
#include "wire/param.h"

enum { MINE = 16400 };

static void refuse(struct pg_param p, uint32_t declared, const char *wanted)
{
    size_t size = 0;
    bool text = false;
    const char *why = NULL;
    assert_int_equal(rp_param_check(&p, declared, &size, &text, &why), PG_E_PARAMETER);
    assert_string_equal(why, wanted);
}

/* Written at once, and in windows of every size: the same bytes. */
static size_t write_it(struct pg_param p, uint32_t declared, uint8_t *whole, size_t room)
{
    size_t size;
    bool text;
    const char *why = NULL;
    uint8_t pieces[512];
    if (rp_param_check(&p, declared, &size, &text, &why)) fail_msg("refused: %s", why);
    assert_true(size + 4 <= room && room <= sizeof pieces && !text);
    struct rp_writer w = { .to = whole, .capacity = room };
    rp_param_write(&w, &p, declared);
    assert_int_equal(w.used, size + 4);
    for (size_t window = 1; window < size + 4; window++) {
        struct rp_resume resume = { .of = &p };
        for (size_t at = 0; at < size + 4;) {
            size_t left = size + 4 - at;
            struct rp_writer part = { .to = pieces + at,
                                      .capacity = left < window ? left : window,
                                      .skip = at,
                                      .origin = at,
                                      .resume = &resume };
            rp_param_write(&part, &p, declared);
            assert_int_equal(part.used, part.capacity);
            at += part.used;
        }
        assert_memory_equal(pieces, whole, size + 4);
    }
    return size;
}

static void accept(struct pg_param p, uint32_t declared, const void *wanted, size_t n)
{
    uint8_t bytes[512], length[4];
    assert_int_equal(write_it(p, declared, bytes, sizeof bytes), n);
    put_big_endian(length, n, 4);
    assert_memory_equal(bytes, length, 4);
    if (n) assert_memory_equal(bytes + 4, wanted, n);
}

/* By what it is printed as: the bytes are a value of that type. */
static void accept_as(struct pg_param p, uint32_t declared, const char *wanted)
{
    uint8_t bytes[512];
    char text[256];
    struct pg_row row = { 0 };
    size_t size = write_it(p, declared, bytes, sizeof bytes);
    struct pg_value value = {
        .data = exactly(bytes + 4, size), .size = (uint32_t)size, .type = declared ? declared : p.type, .row = &row
    };
    pg_value_format(value, text, sizeof text);
    if (row.mark) fail_msg("not \"%s\": %s", wanted, row.why);
    assert_string_equal(text, wanted);
}

static void numerics(void **state)
{
    (void)state;
    static const struct {
        int64_t number;
        int32_t scale;
        const char *text;
    } list[] = { { 0, 0, "0" },
                 { 0, 2, "0.00" },
                 { 1999, 2, "19.99" },
                 { -5, 2, "-0.05" },
                 { 1, 4, "0.0001" },
                 { 1, 5, "0.00001" },
                 { INT64_MAX, 0, "9223372036854775807" },
                 { INT64_MIN, 0, "-9223372036854775808" },
                 { 10000, 0, "10000" },
                 { INT64_MIN, 1, "-922337203685477580.8" },
                 { INT64_MAX, 3, "9223372036854775.807" },
                 { 100000, 5, "1.00000" },
                 { 12345, 30, "0.000000000000000000000000012345" },
                 { 1000000, 4, "100.0000" } };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        accept_as(pg_decimal(list[i].number, list[i].scale), PG_TYPE_NUMERIC, list[i].text);
    accept(pg_decimal(1999, 2), 0, "\0\2\0\0\0\0\0\2\0\x13\x26\xac", 12);
    refuse(pg_decimal(1, -2), PG_TYPE_NUMERIC, "has a scale that is not from 0 to 16383");
    refuse(pg_decimal(1, 16384), PG_TYPE_NUMERIC, "has a scale that is not from 0 to 16383");
    refuse(pg_decimal(1, 0), PG_TYPE_INT4, "is a numeric, not an integer");
    refuse(pg_int4(1), PG_TYPE_NUMERIC, "is an integer, not a numeric");

    uint16_t digits[] = { 1, 2345, 6780 };
    struct pg_numeric n = { PG_SIGN_MINUS, 1, 3, 3, digits }, nan = { .sign = PG_SIGN_NAN },
                      big = { PG_SIGN_INFINITY, 0, 0, 0, NULL };
    accept_as(pg_numeric_of(&n), PG_TYPE_NUMERIC, "-12345.678");
    accept_as(pg_numeric_of(&nan), PG_TYPE_NUMERIC, "NaN");
    accept_as(pg_numeric_of(&big), PG_TYPE_NUMERIC, "Infinity");
    refuse(pg_numeric_of(&n), PG_TYPE_TEXT, "is a numeric, not text");
    refuse(pg_numeric_of(NULL), PG_TYPE_NUMERIC, "has no digits");
    n.scale = 2;
    refuse(pg_numeric_of(&n), PG_TYPE_NUMERIC, "has digits behind its scale");
    n.scale = 16384;
    refuse(pg_numeric_of(&n), PG_TYPE_NUMERIC, "has a scale that is not from 0 to 16383");
    n.scale = 3;
    digits[1] = 10000;
    refuse(pg_numeric_of(&n), PG_TYPE_NUMERIC, "has a digit above 9999");
    n.sign = 1;
    refuse(pg_numeric_of(&n), PG_TYPE_NUMERIC, "has a sign that is none");
    n.sign = PG_SIGN_NAN;
    refuse(pg_numeric_of(&n), PG_TYPE_NUMERIC, "is NaN or infinite and has digits");
    n.digits = NULL;
    refuse(pg_numeric_of(&n), PG_TYPE_NUMERIC, "has no digits");
}

static void times(void **state)
{
    (void)state;
    const int64_t day = INT64_C(86400000000);
    accept_as(pg_date(8825), PG_TYPE_DATE, "2024-02-29");
    accept_as(pg_date(PG_DATE_MINUS_INFINITY), 0, "-infinity");
    refuse(pg_date(-2451546), 0, "is out of range for date");
    refuse(pg_date(2145031949), 0, "is out of range for date");
    accept_as(pg_time(day), 0, "24:00:00");
    refuse(pg_time(day + 1), 0, "is out of range for time");
    refuse(pg_time(-1), 0, "is out of range for time");
    refuse(pg_time(PG_TIME_INFINITY), 0, "is out of range for time");
    accept_as(pg_timestamp(-1), 0, "1999-12-31 23:59:59.999999");
    accept_as(pg_timestamptz(PG_TIME_INFINITY), 0, "infinity");
    accept_as(pg_timestamptz(PG_TIME_MINUS_INFINITY), 0, "-infinity");
    refuse(pg_timestamp(INT64_C(9223371331200000000)), 0, "is out of range for timestamp");
    refuse(pg_timestamptz(INT64_C(-211813488000000001)), 0, "is out of range for timestamptz");
    refuse(pg_timestamp(0), PG_TYPE_TIMESTAMPTZ, "is a timestamp, not a timestamptz");
    struct pg_timetz late = { day, -57599 }, west = { 0, -57600 };
    accept_as(pg_timetz_of(late), 0, "24:00:00-15:59:59");
    refuse(pg_timetz_of(west), 0, "is out of range for timetz");
    struct pg_interval span = { -14, 3, -1 };
    accept_as(pg_interval_of(span), 0, "-1 years -2 mons +3 days -00:00:00.000001");
    accept(pg_interval_of(span), 0, "\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\3\xff\xff\xff\xf2", 16);
    refuse(pg_int8(1), PG_TYPE_INTERVAL, "is an integer, not an interval");
}

static void addresses(void **state)
{
    (void)state;
    static const uint8_t bytes[16] = { 0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    struct pg_inet net = { 4, 8, { 10 } }, host = { 4, 8, { 10, 1 } }, six = { 6, 64, { 0x20, 1 } },
                   none = { 5, 0, { 0 } }, far = { 4, 33, { 0 } };
    accept(pg_uuid(bytes), 0, bytes, 16);
    accept(pg_macaddr(bytes), 0, bytes, 6);
    accept(pg_macaddr8(bytes), 0, bytes, 8);
    refuse(pg_macaddr(bytes), PG_TYPE_MACADDR8, "has the wrong size for macaddr8");
    refuse(pg_view(PG_TYPE_UUID, bytes, 15), 0, "has the wrong size for uuid");
    refuse(pg_uuid(NULL), 0, "has a size but no address");
    accept_as(pg_inet_of(&host), PG_TYPE_INET, "10.1.0.0/8");
    accept_as(pg_cidr_of(&net), PG_TYPE_CIDR, "10.0.0.0/8");
    accept_as(pg_inet_of(&six), PG_TYPE_CIDR, "2001::/64");
    refuse(pg_cidr_of(&host), PG_TYPE_CIDR, "is a cidr with bits set to the right of its prefix");
    refuse(pg_inet_of(&none), PG_TYPE_INET, "has no valid family or prefix");
    refuse(pg_inet_of(&far), PG_TYPE_INET, "has no valid family or prefix");
    refuse(pg_inet_of(NULL), PG_TYPE_INET, "has no address");
    accept(pg_bits("\xaa\xff", 9), 0, "\0\0\0\x09\xaa\x80", 6);
    accept(pg_bits(NULL, 0), PG_TYPE_BIT, "\0\0\0\0", 4);
    refuse(pg_bits(NULL, 1), 0, "has a size but no address");
}

static void texts(void **state)
{
    (void)state;
    accept(pg_jsonb("[1]", 3), 0, "\1[1]", 4);
    accept(pg_json("[1]", 3), PG_TYPE_JSONB, "\1[1]", 4);
    accept(pg_jsonb("[1]", 3), PG_TYPE_JSON, "[1]", 3);
    accept(pg_view(PG_TYPE_CHAR, "x", 1), 0, "x", 1);
    accept(pg_view(PG_TYPE_CHAR, "", 0), 0, "\0", 1);
    refuse(pg_view(PG_TYPE_TEXT, "xy", 2), PG_TYPE_CHAR, "has the wrong size for \"char\"");
    accept(pg_raw(MINE, "happy", 5), MINE, "happy", 5);
    accept(pg_raw(600, "12345678", 8), 0, "12345678", 8);
    refuse(pg_raw(MINE, "happy", 5), MINE + 1, "is the raw form of another type");
    refuse(pg_raw(MINE, "happy", 5), PG_TYPE_INFER, "is not text and its type is not declared");
    uint8_t bytes[4];
    bool text;
    size_t size;
    const char *why;
    struct pg_param null = pg_null_of(PG_TYPE_DATE);
    assert_int_equal(rp_param_check(&null, PG_TYPE_DATE, &size, &text, &why), 0);
    assert_true(size == 0 && !text);
    struct rp_writer w = { .to = bytes, .capacity = 4 };
    rp_param_write(&w, &null, PG_TYPE_DATE);
    assert_memory_equal(bytes, "\xff\xff\xff\xff", 4);
}

static void arrays(void **state)
{
    (void)state;
    static const int32_t fours[] = { 1, -2, 3 };
    static const int64_t eights[] = { 1, INT64_MIN };
    static const double floats[] = { 0.5, 1e300 };
    static const struct pg_text list[] = { { "a b", 3 }, { NULL, 0 }, { "", 0 } };
    accept_as(pg_int4_array(fours, 3), PG_TYPE_INT4_ARRAY, "{1,-2,3}");
    accept_as(pg_int4_array(fours, 3), PG_TYPE_INT8_ARRAY, "{1,-2,3}");
    accept_as(pg_int4_array(NULL, 0), PG_TYPE_INT4_ARRAY, "{}");
    accept_as(pg_int8_array(eights, 2), 0, "{1,-9223372036854775808}");
    accept_as(pg_float8_array(floats, 2), 0, "{0.5,1e+300}");
    accept_as(pg_text_array(list, 3), PG_TYPE_TEXT_ARRAY, "{\"a b\",NULL,\"\"}");
    accept_as(pg_text_array(list, 3), PG_TYPE_VARCHAR_ARRAY, "{\"a b\",NULL,\"\"}");
    refuse(pg_int8_array(eights, 2), PG_TYPE_INT4_ARRAY, "is out of range for int4");
    refuse(pg_float8_array(floats, 2), PG_TYPE_FLOAT4_ARRAY, "is out of range for float4");
    refuse(pg_text_array(list, 3), PG_TYPE_INT4_ARRAY, "is in text format inside of a value in binary");
    refuse(pg_int4_array(fours, 3), PG_TYPE_INT4, "is an array, not an integer");
    refuse(pg_int4_array(NULL, 3), PG_TYPE_INT4_ARRAY, "has a size but no address");
    refuse(pg_int4_array(fours, SIZE_MAX / 4), PG_TYPE_INT4_ARRAY, "has too many elements");
    refuse(pg_int4(1), PG_TYPE_INT4_ARRAY, "is an integer, not an array");
    refuse(pg_view(PG_TYPE_INT4_ARRAY, fours, 3), 0, "is not made by a constructor of its type");

    struct pg_param mixed[] = { pg_decimal(125, 2), pg_null(), pg_decimal(-1, 0), pg_null_of(PG_TYPE_NUMERIC) };
    accept_as(pg_array_of(PG_TYPE_NUMERIC_ARRAY, mixed, 4), 0, "{1.25,NULL,-1,NULL}");
    struct pg_elements shape = { .at = mixed, .dimensions = 2, .length = { 2, 2 }, .lower = { 0, 1 } };
    accept_as(pg_array_shaped(PG_TYPE_NUMERIC_ARRAY, &shape), 0, "[0:1][1:2]={{1.25,NULL},{-1,NULL}}");
    refuse(pg_array_shaped(MINE, &shape), 0, "is an array of a type that is not known: pg_array_shaped says it");
    refuse(pg_array_shaped(PG_TYPE_NUMERIC_ARRAY, NULL), 0, "has a size but no address");
    shape.element_type = PG_TYPE_INT4;
    refuse(pg_array_shaped(PG_TYPE_NUMERIC_ARRAY, &shape), 0, "has elements of another type than is declared");
    shape.element_type = 0;
    shape.length[1] = 0;
    refuse(pg_array_shaped(PG_TYPE_NUMERIC_ARRAY, &shape), 0, "has a dimension without a length");
    shape.length[0] = shape.length[1] = INT32_MAX;
    refuse(pg_array_shaped(PG_TYPE_NUMERIC_ARRAY, &shape), 0, "has too many elements");
    shape.length[0] = shape.length[1] = 2;
    shape.lower[1] = INT32_MAX;
    refuse(pg_array_shaped(PG_TYPE_NUMERIC_ARRAY, &shape), 0, "has an upper bound out of range");
    shape.dimensions = 7;
    refuse(pg_array_shaped(PG_TYPE_NUMERIC_ARRAY, &shape), 0, "has more than 6 dimensions");
    shape.dimensions = 0;
    accept_as(pg_array_shaped(PG_TYPE_NUMERIC_ARRAY, &shape), 0, "{}");
    struct pg_param labels[] = { pg_str("happy"), pg_raw(MINE, "sad", 3) };
    struct pg_elements moods = { .at = labels, .element_type = MINE, .dimensions = 1, .length = { 2 }, .lower = { 1 } };
    accept(pg_array_shaped(MINE + 1, &moods), MINE + 1,
           "\0\0\0\1\0\0\0\1\0\0\x40\x10\0\0\0\2\0\0\0\1\0\0\0\5happy\0\0\0\3sad", 36);
}

static void records_and_ranges(void **state)
{
    (void)state;
    struct pg_param fields[] = { pg_int4(7), pg_str("a b"), pg_null_of(PG_TYPE_DATE) };
    accept(pg_record_of(MINE, fields, 3), MINE,
           "\0\0\0\3\0\0\0\x17\0\0\0\4\0\0\0\7\0\0\0\x19\0\0\0\3a b\0\0\x04\x3a\xff\xff\xff\xff", 35);
    refuse(pg_record_of(MINE, fields, 3), MINE + 1, "is a record of another type than is declared");
    fields[2] = pg_null();
    refuse(pg_record_of(MINE, fields, 3), 0, "has a NULL without a type: pg_null_of says it");
    fields[2] = pg_strn("a\0b", 3);
    refuse(pg_record_of(MINE, fields, 3), 0, "is text with a NUL byte");
    refuse(pg_record_of(MINE, NULL, 3), 0, "has a size but no address");
    refuse(pg_record_of(PG_TYPE_INT4, fields, 3), 0, "is a record, not an integer");

    struct pg_bounds b = { .lower = pg_int4(1), .upper = pg_int4(5), .lower_inclusive = true };
    accept_as(pg_range_of(PG_TYPE_INT4RANGE, &b), 0, "[1,5)");
    accept_as(pg_range_of(PG_TYPE_INT4RANGE, &b), PG_TYPE_INT8RANGE, "[1,5)");
    accept(pg_range_of(MINE, &b), MINE, "\2\0\0\0\4\0\0\0\1\0\0\0\4\0\0\0\5", 17);
    refuse(pg_range_of(PG_TYPE_INT4RANGE, &b), PG_TYPE_NUMRANGE, "is an integer, not a numeric");
    refuse(pg_range_of(PG_TYPE_INT4RANGE, &b), PG_TYPE_INT4, "is a range, not an integer");
    refuse(pg_range_of(PG_TYPE_INT4RANGE, NULL), 0, "has no bounds");
    b.upper = pg_null();
    b.upper_inclusive = true; /* of no bound: not a flag that the server knows */
    accept_as(pg_range_of(PG_TYPE_INT4RANGE, &b), 0, "[1,)");
    b.empty = true;
    accept_as(pg_range_of(PG_TYPE_INT4RANGE, &b), 0, "empty");

    struct pg_param nested[8] = { pg_int4(1) };
    for (int i = 1; i < 8; i++) nested[i] = pg_record_of(MINE, &nested[i - 1], 1);
    uint8_t bytes[512];
    assert_int_equal(write_it(nested[6], MINE, bytes, sizeof bytes), 6 * 12 + 4);
    refuse(nested[7], MINE, "is nested too deeply");
}

/* A Bind in windows, with what lies between arrays: where one has ended, the next begins. */
static void a_bind_in_pieces(void **state)
{
    (void)state;
    static uint8_t whole[4096], pieces[sizeof whole];
    static int64_t numbers[40];
    static struct pg_text list[40];
    struct pg_bounds b = { .lower = pg_int4(1), .upper = pg_null() };
    for (int i = 0; i < 40; i++) {
        numbers[i] = i * INT64_C(1000000007);
        list[i] = (struct pg_text){ i % 5 ? "some text" : NULL, (size_t)i % 9 };
    }
    struct pg_param p[] = { pg_int4(1),
                            pg_int8_array(numbers, 40),
                            pg_str("between"),
                            pg_text_array(list, 40),
                            pg_range_of(PG_TYPE_INT4RANGE, &b),
                            pg_int8_array(numbers, 3),
                            pg_bool(true) };
    struct rp_bind bind = { .statement = 1, .params = p, .nparams = 7 };
    size_t size;
    uint32_t which;
    const char *why;
    assert_int_equal(rp_bind_measure(&bind, sizeof whole, &size, &which, &why), 0);
    struct rp_writer w = { .to = whole, .capacity = sizeof whole };
    rp_write_bind(&w, &bind, size);
    assert_int_equal(w.used, size);
    for (size_t window = 1; window < size; window += 1 + window / 8) {
        struct rp_resume resume = { 0 };
        memset(pieces, 0, sizeof pieces);
        for (size_t at = 0; at < size;) {
            struct rp_writer part = { .to = pieces + at,
                                      .capacity = size - at < window ? size - at : window,
                                      .skip = at,
                                      .origin = at,
                                      .resume = &resume };
            rp_write_bind(&part, &bind, size);
            assert_int_equal(part.used, part.capacity);
            at += part.used;
        }
        assert_memory_equal(pieces, whole, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numerics),         cmocka_unit_test(times),
        cmocka_unit_test(addresses),        cmocka_unit_test(texts),
        cmocka_unit_test(arrays),           cmocka_unit_test(records_and_ranges),
        cmocka_unit_test(a_bind_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
