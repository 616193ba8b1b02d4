/* Parameters: which one goes to which declared type, in which bytes, through windows of every size. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include "unit/values.h"
#include "wire/param.h"

enum { ROUNDS = 1000, POINT = 600, ACLITEM = 1033 }; /* types that have no binary form here */

static const uint32_t integer_types[] = {PG_TYPE_INT2, PG_TYPE_INT4, PG_TYPE_INT8, PG_TYPE_OID};
static const uint32_t text_types[] = {PG_TYPE_TEXT, PG_TYPE_VARCHAR, PG_TYPE_BPCHAR, PG_TYPE_NAME, PG_TYPE_JSON};
static const uint32_t every_type[] = {0,
                                      PG_TYPE_INFER,
                                      PG_TYPE_BOOL,
                                      PG_TYPE_INT2,
                                      PG_TYPE_INT4,
                                      PG_TYPE_INT8,
                                      PG_TYPE_OID,
                                      PG_TYPE_FLOAT4,
                                      PG_TYPE_FLOAT8,
                                      PG_TYPE_TEXT,
                                      PG_TYPE_VARCHAR,
                                      PG_TYPE_BPCHAR,
                                      PG_TYPE_NAME,
                                      PG_TYPE_JSON,
                                      PG_TYPE_BYTEA,
                                      POINT,
                                      ACLITEM};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static void refuse(struct pg_param p, uint32_t declared, const char *wanted)
{
    size_t size = 0;
    bool text = false;
    const char *why = NULL;
    assert_int_equal(rp_param_check(&p, declared, &size, &text, &why), PG_E_PARAMETER);
    assert_non_null(why);
    assert_string_equal(why, wanted);
}

static size_t check(struct pg_param p, uint32_t declared, bool wanted_text)
{
    size_t size = SIZE_MAX;
    bool text = !wanted_text;
    const char *why = NULL;
    int rc = rp_param_check(&p, declared, &size, &text, &why);
    if (rc) fail_msg("refused: %s", why);
    assert_int_equal(text, wanted_text);
    return size;
}

static size_t write_all(struct pg_param p, uint32_t declared, uint8_t *to, size_t capacity)
{
    struct rp_writer w = {.to = to, .capacity = capacity};
    rp_param_write(&w, &p, declared);
    return w.used;
}

/* The value's bytes behind its length word are `wanted`. */
static void accept(struct pg_param p, uint32_t declared, bool text, const void *wanted, size_t n)
{
    uint8_t bytes[256], length[4];
    assert_int_equal(check(p, declared, text), n);
    put_big_endian(length, n, 4);
    assert_int_equal(write_all(p, declared, bytes, sizeof bytes), 4 + n);
    assert_memory_equal(bytes, length, 4);
    if (n) assert_memory_equal(bytes + 4, wanted, n);
}

static void accept_number(struct pg_param p, uint32_t declared, uint64_t number, size_t size)
{
    uint8_t bytes[8];
    put_big_endian(bytes, number, size);
    accept(p, declared, false, bytes, size);
}

static void nulls(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(every_type); i++) {
        uint32_t type = every_type[i];
        bool text = type == 0 || type == PG_TYPE_INFER || type == POINT || type == ACLITEM;
        struct pg_param both[] = {pg_null(), pg_str(NULL)};
        for (size_t k = 0; k < 2; k++) {
            uint8_t bytes[8];
            assert_int_equal(check(both[k], type, text), 0);
            assert_int_equal(write_all(both[k], type, bytes, sizeof bytes), 4);
            assert_memory_equal(bytes, "\xff\xff\xff\xff", 4);
        }
    }
}

static void encodings(void **state)
{
    (void)state;
    for (int own = 0; own < 2; own++) {
        accept(pg_bool(true), own ? 0 : PG_TYPE_BOOL, false, "\1", 1);
        accept(pg_bool(false), own ? 0 : PG_TYPE_BOOL, false, "\0", 1);
        accept(pg_int2(-2), own ? 0 : PG_TYPE_INT2, false, "\xff\xfe", 2);
        accept(pg_int4(0x01020304), own ? 0 : PG_TYPE_INT4, false, "\1\2\3\4", 4);
        accept(pg_int8(-2), own ? 0 : PG_TYPE_INT8, false, "\xff\xff\xff\xff\xff\xff\xff\xfe", 8);
        accept(pg_oid(0xfffefdfc), own ? 0 : PG_TYPE_OID, false, "\xff\xfe\xfd\xfc", 4);
        accept(pg_float4(1), own ? 0 : PG_TYPE_FLOAT4, false, "\x3f\x80\0\0", 4);
        accept(pg_float8(-2), own ? 0 : PG_TYPE_FLOAT8, false, "\xc0\0\0\0\0\0\0\0", 8);
        accept(pg_bytes("a\0b", 3), own ? 0 : PG_TYPE_BYTEA, false, "a\0b", 3);
        accept(pg_bytes(NULL, 0), own ? 0 : PG_TYPE_BYTEA, false, "", 0);
    }
    for (size_t i = 0; i < COUNT(text_types); i++)
        for (size_t k = 0; k < COUNT(text_types); k++)
            for (int own = 0; own < 2; own++)
                accept(pg_view(text_types[i], "{\"a\":1}", 7), own ? 0 : text_types[k], false, "{\"a\":1}", 7);
}

static void text_goes_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(every_type); i++) {
        accept(pg_str("12.5"), every_type[i], true, "12.5", 4);
        accept(pg_str(""), every_type[i], true, "", 0);
        accept(pg_strn("abc", 2), every_type[i], true, "ab", 2);
        accept(pg_strn(NULL, 0), every_type[i], true, "", 0);
        struct pg_param named = pg_view(POINT, "now", 3);
        named.scale = -1;
        accept(named, every_type[i], true, "now", 3);
        refuse(pg_strn("a\0b", 3), every_type[i], "is text with a NUL byte");
        refuse(pg_strn("a", 2), every_type[i], "is text with a NUL byte");
        refuse(pg_strn(NULL, 3), every_type[i], "has a size but no address");
        refuse(pg_strn("a", (size_t)INT32_MAX + 1), every_type[i], "is larger than the protocol allows");
        refuse(pg_strn("a", SIZE_MAX), every_type[i], "is larger than the protocol allows");
    }
}

static void views(void **state)
{
    (void)state;
    refuse(pg_view(PG_TYPE_TEXT, "a\0b", 3), PG_TYPE_VARCHAR, "is text with a NUL byte");
    refuse(pg_view(PG_TYPE_TEXT, NULL, 1), PG_TYPE_TEXT, "has a size but no address");
    refuse(pg_bytes(NULL, 1), PG_TYPE_BYTEA, "has a size but no address");
    refuse(pg_bytes("a", (size_t)INT32_MAX + 1), PG_TYPE_BYTEA, "is larger than the protocol allows");
    refuse(pg_bytes("a", (size_t)UINT32_MAX + 2), PG_TYPE_BYTEA, "is larger than the protocol allows");
    assert_int_equal(check(pg_bytes("a", INT32_MAX), PG_TYPE_BYTEA, false), INT32_MAX);
    refuse(pg_view(PG_TYPE_INT4, "abcd", 4), PG_TYPE_INT4, "is a view where a number is due");
    struct pg_param scaled = pg_int4(1);
    scaled.scale = 2;
    refuse(scaled, PG_TYPE_INT4, "has a scale, which is numeric's alone");
    scaled.scale = -100;
    refuse(scaled, PG_TYPE_INT4, "has a scale below 0 that is no enum pg_form");
}

/* What a parameter of each kind is called, and the kinds that take it. */
static const struct {
    struct pg_param p;
    const char *is;
} samples[] = {
    {{PG_TYPE_BOOL, 0, {.b = true}, {0}}, "is a bool"}, {{PG_TYPE_INT4, 0, {.i = 1}, {0}}, "is an integer"},
    {{PG_TYPE_OID, 0, {.i = 1}, {0}}, "is an integer"}, {{PG_TYPE_FLOAT4, 0, {.f = 1}, {0}}, "is a float"},
    {{PG_TYPE_FLOAT8, 0, {.f = 1}, {0}}, "is a float"}, {{PG_TYPE_TEXT, 0, {.p = "1"}, {1}}, "is text"},
    {{PG_TYPE_JSON, 0, {.p = "1"}, {1}}, "is text"},    {{PG_TYPE_BYTEA, 0, {.p = "1"}, {1}}, "is bytea"},
};
static const struct {
    uint32_t type;
    const char *wanted;
} targets[] = {
    {PG_TYPE_BOOL, "a bool"},    {PG_TYPE_INT2, "an integer"}, {PG_TYPE_INT8, "an integer"},
    {PG_TYPE_OID, "an integer"}, {PG_TYPE_FLOAT4, "a float"},  {PG_TYPE_FLOAT8, "a float"},
    {PG_TYPE_TEXT, "text"},      {PG_TYPE_NAME, "text"},       {PG_TYPE_BYTEA, "bytea"},
};

static void kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(samples); i++) {
        for (size_t k = 0; k < COUNT(targets); k++) {
            char why[64];
            snprintf(why, sizeof why, "%s, not %s", samples[i].is, targets[k].wanted);
            if (strcmp(samples[i].is + 3, targets[k].wanted) == 0)
                check(samples[i].p, targets[k].type, false);
            else
                refuse(samples[i].p, targets[k].type, why);
        }
        refuse(samples[i].p, PG_TYPE_INFER, "is not text and its type is not declared");
        refuse(samples[i].p, POINT, "is of a type that can only be sent as text");
    }
    static const uint32_t unknown[] = {POINT, ACLITEM, PG_TYPE_INFER};
    for (size_t i = 0; i < COUNT(unknown); i++) {
        refuse(pg_view(unknown[i], "12345678", 8), unknown[i],
               unknown[i] == PG_TYPE_INFER ? "is not text and its type is not declared"
                                           : "is of a type that can only be sent as text");
        refuse(pg_view(unknown[i], "12345678", 8), 0, "is of a type that can only be sent as text");
        refuse(pg_view(unknown[i], "12345678", 8), PG_TYPE_INT8, "is of a type that can only be sent as text");
    }
}

static void integers_by_range(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        size_t size;
        int64_t min, max;
        const char *why;
    } to[] = {{PG_TYPE_INT2, 2, INT16_MIN, INT16_MAX, "is out of range for int2"},
              {PG_TYPE_INT4, 4, INT32_MIN, INT32_MAX, "is out of range for int4"},
              {PG_TYPE_INT8, 8, INT64_MIN, INT64_MAX, "is out of range for int8"},
              {PG_TYPE_OID, 4, 0, UINT32_MAX, "is out of range for oid"}};
    static const int64_t edges[] = {0,         -1,         INT16_MIN, INT16_MAX, INT32_MIN,
                                    INT32_MAX, UINT32_MAX, INT64_MIN, INT64_MAX};
    uint64_t seed = 11;
    for (size_t t = 0; t < COUNT(to); t++) {
        for (size_t i = 0; i < ROUNDS + 3 * COUNT(edges); i++) {
            int64_t number = i < ROUNDS ? random_integer(&seed)
                                        : (int64_t)((uint64_t)edges[(i - ROUNDS) / 3] + (i - ROUNDS) % 3 - 1);
            struct pg_param p = pg_param_of(integer_types[i % 4], number);
            if (number < to[t].min || number > to[t].max)
                refuse(p, to[t].type, to[t].why);
            else
                accept_number(p, to[t].type, (uint64_t)number, to[t].size);
        }
    }
    refuse(pg_param_of(PG_TYPE_INT2, 32768), 0, "is out of range for int2");
    refuse(pg_int8(INT64_C(1) << 32), PG_TYPE_OID, "is out of range for oid");
    refuse(pg_int2(-1), PG_TYPE_OID, "is out of range for oid");
}

static void floats(void **state)
{
    (void)state;
    uint64_t seed = 12;
    static const double edges[] = {0.0,
                                   -0.0,
                                   (double)NAN,
                                   (double)INFINITY,
                                   -(double)INFINITY,
                                   (double)FLT_MAX,
                                   -(double)FLT_MAX,
                                   (double)FLT_MIN,
                                   1e-45,
                                   0.1,
                                   3.40282350000000005e38};
    for (size_t i = 0; i < ROUNDS + COUNT(edges); i++) {
        uint64_t bits = random_u64(&seed);
        float single;
        memcpy(&single, &bits, sizeof single);
        double number = i < ROUNDS ? (double)single * (1 + 1e-12 * (double)(bits >> 60)) : edges[i - ROUNDS];
        accept_number(pg_float8(number), PG_TYPE_FLOAT8, double_bits(number), 8);
        if (isinf((float)number) && !isinf(number)) continue;
        if (!isnan(number)) accept_number(pg_float8(number), PG_TYPE_FLOAT4, float_bits((float)number), 4);
        if (!isnan(single)) accept_number(pg_float4(single), PG_TYPE_FLOAT8, double_bits((double)single), 8);
        if (!isnan(single)) accept_number(pg_float4(single), 0, float_bits(single), 4);
    }
    accept_number(pg_float4((float)NAN), PG_TYPE_FLOAT4, float_bits((float)NAN), 4);
    refuse(pg_float8(1e39), PG_TYPE_FLOAT4, "is out of range for float4");
    refuse(pg_float8(-DBL_MAX), PG_TYPE_FLOAT4, "is out of range for float4");
    refuse(pg_float8(1e-60), PG_TYPE_FLOAT4, "is out of range for float4");
    refuse(pg_float8(3.4028236e38), PG_TYPE_FLOAT4, "is out of range for float4");
}

/* What was sent reads back as the same value, as the server would echo it. */
static void round_trips(void **state)
{
    (void)state;
    uint64_t seed = 13;
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t bytes[16];
        int64_t number = random_integer(&seed);
        double real = (double)number / 7;
        struct pg_row row = {0};
        size_t n = write_all(pg_int8(number), PG_TYPE_INT8, bytes, sizeof bytes);
        struct pg_value value = {.data = bytes + 4, .size = (uint32_t)n - 4, .type = PG_TYPE_INT8, .row = &row};
        assert_int_equal(pg_value_int8(value), number);
        write_all(pg_float8(real), PG_TYPE_FLOAT8, bytes, sizeof bytes);
        value.type = PG_TYPE_FLOAT8;
        assert_true(pg_value_float8(value) == real);
        n = write_all(pg_bool(i % 2), PG_TYPE_BOOL, bytes, sizeof bytes);
        value.type = PG_TYPE_BOOL;
        value.size = (uint32_t)n - 4;
        assert_int_equal(pg_value_bool(value), i % 2);
        assert_int_equal(row.mark, 0);
    }
}

struct listed {
    struct pg_param p;
    uint32_t declared;
};

static struct listed random_listed(uint64_t *seed, const char *bytes, size_t n)
{
    size_t at = random_u64(seed) % n, size = random_u64(seed) % (n - at);
    switch (random_u64(seed) % 8) {
    case 0:
        return (struct listed){pg_null(), PG_TYPE_INT4};
    case 1:
        return (struct listed){pg_bool(at % 2), PG_TYPE_BOOL};
    case 2:
        return (struct listed){pg_int8((int16_t)random_u64(seed)), integer_types[random_u64(seed) % 3]};
    case 3:
        return (struct listed){pg_float8((double)random_integer(seed)), at % 2 ? PG_TYPE_FLOAT4 : PG_TYPE_FLOAT8};
    case 4:
        return (struct listed){pg_strn(bytes + at, size), every_type[random_u64(seed) % COUNT(every_type)]};
    case 5:
        return (struct listed){pg_view(PG_TYPE_TEXT, bytes + at, size), text_types[random_u64(seed) % 5]};
    case 6:
        return (struct listed){pg_bytes(bytes + at, size), at % 2 ? PG_TYPE_BYTEA : 0};
    default:
        return (struct listed){pg_bytes(NULL, 0), PG_TYPE_BYTEA};
    }
}

static size_t write_list(const struct listed *list, size_t count, uint8_t *to, size_t capacity, size_t skip)
{
    struct rp_writer w = {.to = to, .capacity = capacity, .skip = skip};
    for (size_t i = 0; i < count; i++) rp_param_write(&w, &list[i].p, list[i].declared);
    assert_true(w.used <= capacity);
    return w.used;
}

/* Windows of every size, each one behind the bytes before it, give the bytes of one large write. */
static void windows(void **state)
{
    (void)state;
    char bytes[48];
    uint64_t seed = 14;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)('!' + random_u64(&seed) % 90);
    for (int round = 0; round < 200; round++) {
        struct listed list[8];
        uint8_t whole[512], part[512];
        size_t count = random_u64(&seed) % COUNT(list) + 1, expected = 0;
        for (size_t i = 0; i < count; i++) {
            list[i] = random_listed(&seed, bytes, sizeof bytes);
            size_t size;
            bool text;
            const char *why;
            assert_int_equal(rp_param_check(&list[i].p, list[i].declared, &size, &text, &why), 0);
            expected += 4 + size;
        }
        size_t n = write_list(list, count, whole, sizeof whole, 0);
        assert_int_equal(n, expected);
        for (size_t window = 1; window <= n; window++) {
            size_t sent = 0;
            while (sent < n) {
                uint8_t *to = exactly(part, window);
                size_t used = write_list(list, count, to, window, sent);
                assert_int_equal(used, window < n - sent ? window : n - sent);
                assert_memory_equal(to, whole + sent, used);
                sent += used;
            }
            assert_int_equal(write_list(list, count, part, window, n), 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nulls),  cmocka_unit_test(encodings),   cmocka_unit_test(text_goes_everywhere),
        cmocka_unit_test(views),  cmocka_unit_test(kinds),       cmocka_unit_test(integers_by_range),
        cmocka_unit_test(floats), cmocka_unit_test(round_trips), cmocka_unit_test(windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
