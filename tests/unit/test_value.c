/* The getters of scalars: the same value from both formats, and a complaint for everything that is none. */
#include <float.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>
#include "unit/getters.h"

enum { ROUNDS = 2000 };

static void expect_double(double got, double wanted)
{
    expect_no_complaint();
    if (isnan(wanted))
        assert_true(isnan(got));
    else
        assert_int_equal(double_bits(got), double_bits(wanted));
}

static void bools(void **state)
{
    (void)state;
    assert_true(pg_value_bool(in_text(PG_TYPE_BOOL, "t")));
    expect_no_complaint();
    assert_false(pg_value_bool(in_text(PG_TYPE_BOOL, "f")));
    expect_no_complaint();
    assert_true(pg_value_bool(in_binary(PG_TYPE_BOOL, 1, 1)));
    expect_no_complaint();
    assert_false(pg_value_bool(in_binary(PG_TYPE_BOOL, 0, 1)));
    expect_no_complaint();
    static const char *const malformed[] = {"", "T", "true", "1", " t", "tt", "x"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        assert_false(pg_value_bool(in_text(PG_TYPE_BOOL, malformed[i])));
        expect_complaint("is not the text of a valid bool");
    }
    assert_false(pg_value_bool(in_binary(PG_TYPE_BOOL, 2, 1)));
    expect_complaint("is out of range for bool");
    assert_false(pg_value_bool(in_binary(PG_TYPE_BOOL, 1, 0)));
    expect_complaint("has the wrong size for bool");
    assert_false(pg_value_bool(in_binary(PG_TYPE_BOOL, 1, 4)));
    expect_complaint("has the wrong size for bool");
}

static const struct integer_type {
    uint32_t type;
    size_t size;
    int64_t min, max;
    const char *name, *below, *above;
} integer_types[] = {
    {PG_TYPE_INT2, 2, INT16_MIN, INT16_MAX, "int2", "-32769", "32768"},
    {PG_TYPE_INT4, 4, INT32_MIN, INT32_MAX, "int4", "-2147483649", "2147483648"},
    {PG_TYPE_INT8, 8, INT64_MIN, INT64_MAX, "int8", "-9223372036854775809", "9223372036854775808"},
    {PG_TYPE_OID, 4, 0, UINT32_MAX, "oid", "-1", "4294967296"},
};
enum { INTEGER_TYPES = sizeof integer_types / sizeof *integer_types };

static const int64_t exact_bound = INT64_C(1) << 53;

static void expect_integer_once(struct pg_value value, int64_t number)
{
    assert_int_equal(pg_value_int8(value), number);
    expect_no_complaint();
    if (number >= INT32_MIN && number <= INT32_MAX) {
        assert_int_equal(pg_value_int4(value), number);
        expect_no_complaint();
    } else {
        assert_int_equal(pg_value_int4(value), 0);
        expect_complaint("is out of range for int4");
    }
    row = (struct pg_row){0};
    if (number >= -exact_bound && number <= exact_bound) {
        expect_double(pg_value_float8(value), (double)number);
    } else {
        assert_true(pg_value_float8(value) == 0);
        expect_complaint("is beyond 2^53 and not exact in float8");
    }
}

static void expect_integer(const struct integer_type *type, int64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, number);
    expect_integer_once(in_text(type->type, text), number);
    expect_integer_once(in_binary(type->type, (uint64_t)number, type->size), number);
}

static void integers(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (size_t t = 0; t < INTEGER_TYPES; t++) {
        const struct integer_type *type = &integer_types[t];
        static const int64_t extremes[] = {0,
                                           1,
                                           -1,
                                           INT16_MIN,
                                           INT16_MAX,
                                           INT32_MIN,
                                           INT32_MAX,
                                           INT64_C(1) + INT32_MAX,
                                           INT64_MIN,
                                           INT64_MAX,
                                           UINT32_MAX,
                                           INT64_C(1) << 53,
                                           (INT64_C(1) << 53) + 1,
                                           -(INT64_C(1) << 53),
                                           -(INT64_C(1) << 53) - 1};
        for (size_t i = 0; i < sizeof extremes / sizeof *extremes; i++)
            if (extremes[i] >= type->min && extremes[i] <= type->max) expect_integer(type, extremes[i]);
        for (int i = 0; i < ROUNDS;) {
            int64_t number = random_integer(&seed);
            if (number < type->min || number > type->max) continue;
            expect_integer(type, number);
            i++;
        }
    }
}

static void integers_malformed(void **state)
{
    (void)state;
    static const char *const malformed[] = {"",    "-",   "+5",   " 5",  "5 ",  "5x",
                                            "x5",  "--5", "0x10", "1e3", "5.0", "5-",
                                            "1_0", "NaN", "\n5",  "٣",   "-+5", "99999999999999999999x"};
    static const char *const huge[] = {"99999999999999999999999999", "-99999999999999999999999999",
                                       "18446744073709551616", "18446744073709551617", "-18446744073709551616"};
    char why[64];
    for (size_t t = 0; t < INTEGER_TYPES; t++) {
        const struct integer_type *type = &integer_types[t];
        snprintf(why, sizeof why, "is not the text of a valid %s", type->name);
        for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
            assert_int_equal(pg_value_int8(in_text(type->type, malformed[i])), 0);
            expect_complaint(why);
            assert_int_equal(pg_value_int4(in_text(type->type, malformed[i])), 0);
            expect_complaint(why);
            assert_true(pg_value_float8(in_text(type->type, malformed[i])) == 0);
            expect_complaint(why);
        }
        assert_int_equal(pg_value_int8(value_of(type->type, true, "5\0", 2)), 0);
        expect_complaint(why);
        snprintf(why, sizeof why, "is out of range for %s", type->name);
        for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
            assert_int_equal(pg_value_int8(in_text(type->type, huge[i])), 0);
            expect_complaint(why);
        }
        assert_int_equal(pg_value_int8(in_text(type->type, type->below)), 0);
        expect_complaint(why);
        assert_int_equal(pg_value_int8(in_text(type->type, type->above)), 0);
        expect_complaint(why);
        snprintf(why, sizeof why, "has the wrong size for %s", type->name);
        for (size_t size = 0; size <= 12; size++) {
            if (size == type->size) continue;
            assert_int_equal(pg_value_int8(in_binary(type->type, UINT64_MAX, size)), 0);
            expect_complaint(why);
        }
    }
}

static void expect_float8(double number)
{
    char text[64];
    snprintf(text, sizeof text, "%.17g", number);
    expect_double(pg_value_float8(in_text(PG_TYPE_FLOAT8, text)), number);
    expect_double(pg_value_float8(in_binary(PG_TYPE_FLOAT8, double_bits(number), 8)), number);
}

static void expect_float4(float number)
{
    char text[64];
    snprintf(text, sizeof text, "%.9g", (double)number);
    expect_double(pg_value_float8(in_text(PG_TYPE_FLOAT4, text)), (double)number);
    expect_double(pg_value_float8(in_binary(PG_TYPE_FLOAT4, float_bits(number), 4)), (double)number);
}

static void floats(void **state)
{
    (void)state;
    static const double extremes[] = {0.0,  -0.0,   1,       -1,      0.1,      1e22,
                                      1e23, 5e-324, DBL_MIN, DBL_MAX, -DBL_MAX, DBL_EPSILON};
    for (size_t i = 0; i < sizeof extremes / sizeof *extremes; i++) expect_float8(extremes[i]);
    static const float narrow[] = {0.0f, -0.0f, 1, -1, 0.1f, 1e-45f, FLT_MIN, FLT_MAX, -FLT_MAX, FLT_EPSILON, 16777216};
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++) expect_float4(narrow[i]);
    uint64_t seed = 2;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t bits = random_u64(&seed);
        double number;
        memcpy(&number, &bits, sizeof number);
        if (isfinite(number)) expect_float8(number);
        expect_float8((double)random_integer(&seed) / 1000);
        float single;
        memcpy(&single, &bits, sizeof single);
        if (isfinite(single)) expect_float4(single);
        expect_float4((float)random_integer(&seed) / 1000);
    }
    static const uint32_t types[] = {PG_TYPE_FLOAT4, PG_TYPE_FLOAT8};
    for (size_t i = 0; i < 2; i++) {
        bool single = types[i] == PG_TYPE_FLOAT4;
        size_t size = single ? 4 : 8;
        expect_double(pg_value_float8(in_text(types[i], "NaN")), (double)NAN);
        expect_double(pg_value_float8(in_text(types[i], "Infinity")), (double)INFINITY);
        expect_double(pg_value_float8(in_text(types[i], "-Infinity")), -(double)INFINITY);
        expect_double(pg_value_float8(in_binary(types[i], single ? 0x7fc00000 : UINT64_C(0x7ff8) << 48, size)),
                      (double)NAN);
        expect_double(pg_value_float8(in_binary(types[i], single ? 0x7f800000 : UINT64_C(0x7ff0) << 48, size)),
                      (double)INFINITY);
        expect_double(pg_value_float8(in_binary(types[i], single ? 0xff800000 : UINT64_C(0xfff0) << 48, size)),
                      -(double)INFINITY);
    }
}

/* Decimal digits beyond what a float can hold decide the rounding; a float4 must not be rounded twice. */
static void floats_round_once(void **state)
{
    (void)state;
    expect_double(pg_value_float8(in_text(PG_TYPE_FLOAT4, "1.000000178813934326171874999999999999")), 0x1.000002p0);
    expect_double(pg_value_float8(in_text(PG_TYPE_FLOAT4, "1.000000178813934326171875")), 0x1.000004p0);
    expect_double(pg_value_float8(in_text(PG_TYPE_FLOAT8, "9007199254740993")), 9007199254740992.0);
    expect_double(pg_value_float8(in_text(PG_TYPE_FLOAT8, "9007199254740993.0000000000000000000000001")),
                  9007199254740994.0);
    expect_double(pg_value_float8(in_text(PG_TYPE_FLOAT8, "2.2250738585072011e-308")), 0x0.fffffffffffffp-1022);
    expect_double(pg_value_float8(in_text(PG_TYPE_FLOAT8, "0e999")), 0);
    uint64_t seed = 3;
    for (int i = 0; i < ROUNDS; i++) {
        char text[64];
        snprintf(text, sizeof text, "%" PRIu64 ".%020" PRIu64 "e%d", random_u64(&seed), random_u64(&seed),
                 (int)(random_u64(&seed) % 40) - 20);
        expect_double(pg_value_float8(in_text(PG_TYPE_FLOAT8, text)), strtod(text, NULL));
        expect_double(pg_value_float8(in_text(PG_TYPE_FLOAT4, text)), (double)strtof(text, NULL));
    }
}

static void expect_float_complaint(uint32_t type, const char *text, const char *what)
{
    char why[64];
    snprintf(why, sizeof why, "%s %s", what, type == PG_TYPE_FLOAT4 ? "float4" : "float8");
    assert_true(pg_value_float8(in_text(type, text)) == 0);
    expect_complaint(why);
}

static void floats_malformed(void **state)
{
    (void)state;
    static const char *const malformed[] = {"",     "+1",       " 1",      "1 ",        ".",   "-",   "e5",   "1e",
                                            "1e+",  "0x1p3",    "inf",     "nan",       "INF", "NAN", "NaN ", "-NaN",
                                            "1,5",  "1.2.3",    "1_0",     "1d5",       "1E5", "--1", "1-",   "1ee5",
                                            "1e5.", "infinity", "Infinit", "+Infinity", "1.e"};
    char long_text[131];
    memset(long_text, '1', sizeof long_text);
    long_text[129] = '\0';
    static const uint32_t types[] = {PG_TYPE_FLOAT4, PG_TYPE_FLOAT8};
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
            expect_float_complaint(types[t], malformed[i], "is not the text of a valid");
        expect_float_complaint(types[t], long_text, "is not the text of a valid");
        assert_true(pg_value_float8(value_of(types[t], true, "1\0", 2)) == 0);
        assert_int_equal(row.mark, PG_E_VALUE);
        expect_float_complaint(types[t], "1e400", "is out of range for");
        expect_float_complaint(types[t], "-1e400", "is out of range for");
        expect_float_complaint(types[t], "1e-400", "is out of range for");
        expect_float_complaint(types[t], "1e99999999999999999999", "is out of range for");
        for (size_t size = 0; size <= 12; size++) {
            if (size == (types[t] == PG_TYPE_FLOAT4 ? 4 : 8)) continue;
            assert_true(pg_value_float8(in_binary(types[t], UINT64_MAX, size)) == 0);
            expect_complaint(types[t] == PG_TYPE_FLOAT4 ? "has the wrong size for float4"
                                                        : "has the wrong size for float8");
        }
    }
    expect_float_complaint(PG_TYPE_FLOAT4, "1e39", "is out of range for");
    expect_float_complaint(PG_TYPE_FLOAT4, "1e-60", "is out of range for");
}

/* A locale whose decimal point is a comma: an installed one, else one that localedef makes. */
static bool set_comma_locale(char *made)
{
    static const char *const installed[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "ru_RU.UTF-8"};
    for (size_t i = 0; i < sizeof installed / sizeof *installed; i++)
        if (setlocale(LC_NUMERIC, installed[i])) return true;
    char command[256];
    if (!mkdtemp(made)) return false;
    snprintf(command, sizeof command, "localedef -f UTF-8 -i de_DE %s/de_DE.UTF-8 >%s/log 2>&1", made, made);
    if (system(command) || setenv("LOCPATH", made, 1)) return false;
    return setlocale(LC_NUMERIC, "de_DE.UTF-8") != NULL;
}

static void floats_under_a_comma(void **state)
{
    (void)state;
    char made[] = "/tmp/ringpg-locale-XXXXXX", command[64];
    bool comma = set_comma_locale(made) && strcmp(localeconv()->decimal_point, ",") == 0;
    if (comma) {
        assert_true(strtod("1.5", NULL) == 1);
        expect_double(pg_value_float8(in_text(PG_TYPE_FLOAT8, "-1.5e3")), -1500);
        expect_double(pg_value_float8(in_text(PG_TYPE_FLOAT4, "0.1")), (double)0.1f);
        assert_true(pg_value_float8(in_text(PG_TYPE_FLOAT8, "1,5")) == 0);
        expect_complaint("is not the text of a valid float8");
    }
    setlocale(LC_NUMERIC, "C");
    unsetenv("LOCPATH");
    snprintf(command, sizeof command, "rm -rf %s", made);
    assert_int_equal(system(command), 0);
    if (!comma) skip();
}

/* One value for each getter's "nothing". */
static void call_getter(int getter, struct pg_value value)
{
    switch (getter) {
    case 0:
        assert_false(pg_value_bool(value));
        break;
    case 1:
        assert_int_equal(pg_value_int4(value), 0);
        break;
    case 2:
        assert_int_equal(pg_value_int8(value), 0);
        break;
    case 3:
        assert_true(pg_value_float8(value) == 0);
        break;
    case 4:
        assert_int_equal(pg_value_text(value).size, 0);
        break;
    case 5:
        assert_int_equal(pg_value_bytea(value, NULL, 0), 0);
        break;
    default:
        assert_int_equal(pg_value_bytes(value).size, 0);
    }
}

static void nulls(void **state)
{
    (void)state;
    static const uint32_t right[] = {
        PG_TYPE_BOOL, PG_TYPE_INT4, PG_TYPE_INT8, PG_TYPE_FLOAT8, PG_TYPE_TEXT, PG_TYPE_BYTEA, 0};
    for (int getter = 0; getter < 7; getter++) {
        for (size_t type = 0; type < 7; type++) {
            row = (struct pg_row){0};
            struct pg_value value = {.type = right[type], .row = &row, .column = COLUMN, .text = type % 2};
            assert_true(pg_is_null(value));
            call_getter(getter, value);
            expect_complaint("is NULL");
            value.row = NULL;
            call_getter(getter, value);
        }
        assert_false(pg_is_null(in_text(right[getter], "")));
    }
}

static void wrong_kinds(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        const char *is;
    } types[] = {{PG_TYPE_BOOL, "is a bool"},     {PG_TYPE_INT2, "is an integer"}, {PG_TYPE_OID, "is an integer"},
                 {PG_TYPE_FLOAT4, "is a float"},  {PG_TYPE_VARCHAR, "is text"},    {PG_TYPE_BYTEA, "is bytea"},
                 {POINT, "is of another type"}, {0, "is of another type"}};
    static const char *const wanted[] = {"a bool", "an integer", "an integer", "a float", "text", "bytea"};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (int getter = 0; getter < 6; getter++) {
            bool integer_as_float = getter == 3 && !strcmp(types[t].is, "is an integer");
            bool same = strstr(types[t].is, wanted[getter]) != NULL;
            if (integer_as_float || same) continue;
            char why[64];
            snprintf(why, sizeof why, "%s, not %s", types[t].is, wanted[getter]);
            call_getter(getter, in_binary(types[t].type, 0, 4));
            expect_complaint(why);
            if (getter == 4) continue; /* the text of every type is text */
            call_getter(getter, in_text(types[t].type, "1"));
            expect_complaint(why);
        }
    }
}

static void the_first_complaint_stays(void **state)
{
    (void)state;
    struct pg_value value = in_text(PG_TYPE_INT4, "x");
    pg_value_int4(value);
    value.column = 3;
    pg_value_bool(value);
    expect_complaint("is not the text of a valid int4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bools),
        cmocka_unit_test(integers),
        cmocka_unit_test(integers_malformed),
        cmocka_unit_test(floats),
        cmocka_unit_test(floats_round_once),
        cmocka_unit_test(floats_malformed),
        cmocka_unit_test(floats_under_a_comma),
        cmocka_unit_test(nulls),
        cmocka_unit_test(wrong_kinds),
        cmocka_unit_test(the_first_complaint_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
