/* RowDescription and DataRow: what is well-formed is a view, what is not is refused at every cut. */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "unit/values.h"

enum { ROUNDS = 2000, BODY_BYTES = 1 << 16 };

struct body {
    uint8_t bytes[BODY_BYTES];
    size_t size;
};

static void put(struct body *body, uint64_t number, size_t size)
{
    body->size += put_big_endian(body->bytes + body->size, number, size);
}

static void put_column(struct body *body, const char *name, const struct rp_column *column)
{
    size_t n = strlen(name) + 1;
    memcpy(body->bytes + body->size, name, n);
    body->size += n;
    put(body, column->table, 4);
    put(body, (uint16_t)column->attribute, 2);
    put(body, column->type, 4);
    put(body, 8, 2);
    put(body, (uint32_t)column->type_modifier, 4);
    put(body, !column->text, 2);
}

/* `n` columns "0", "1" ..., every third one in text format. */
static void put_description(struct body *body, size_t n)
{
    char name[24];
    body->size = 0;
    put(body, n, 2);
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%zu", i);
        put_column(body, name, &(struct rp_column){.type = i % 3 ? PG_TYPE_INT4 : PG_TYPE_TEXT, .text = i % 3 == 0});
    }
}

static struct rp_columns *build(const uint8_t *bytes, size_t size)
{
    const char *why = NULL;
    size_t needed = rp_columns_measure(bytes, size, &why);
    if (!needed) fail_msg("refused: %s", why);
    struct rp_columns *columns = malloc(needed);
    assert_non_null(columns);
    memset(columns, 0xee, needed);
    rp_columns_build(columns, needed, bytes, size);
    assert_int_equal(columns->bytes, needed);
    return columns;
}

static struct rp_columns *described(size_t n)
{
    static struct body body;
    put_description(&body, n);
    return build(body.bytes, body.size);
}

static void refuse_description(const uint8_t *bytes, size_t size, const char *wanted)
{
    const char *why = NULL;
    assert_int_equal(rp_columns_measure(exactly(bytes, size), size, &why), 0);
    assert_non_null(why);
    if (wanted) assert_string_equal(why, wanted);
}

static void a_description(void **state)
{
    (void)state;
    static const struct rp_column wanted[] = {
        {.type = PG_TYPE_INT8, .table = 0xfffefdfc, .attribute = -7, .type_modifier = -1, .text = false},
        {.type = 0xffffffff, .table = 0, .attribute = 0, .type_modifier = 259, .text = true},
        {.type = 0, .table = 1, .attribute = 32767, .type_modifier = INT32_MIN, .text = false},
    };
    static const char *const names[] = {"id", "", "a longer name, with spaces"};
    struct body body = {.size = 0};
    put(&body, 3, 2);
    for (size_t i = 0; i < 3; i++) put_column(&body, names[i], &wanted[i]);
    struct rp_columns *columns = build(exactly(body.bytes, body.size), body.size);
    assert_int_equal(columns->count, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct rp_column *got = &columns->column[i];
        assert_int_equal(got->type, wanted[i].type);
        assert_int_equal(got->table, wanted[i].table);
        assert_int_equal(got->attribute, wanted[i].attribute);
        assert_int_equal(got->type_modifier, wanted[i].type_modifier);
        assert_int_equal(got->text, wanted[i].text);
        assert_int_equal(got->name_size, strlen(names[i]));
        assert_string_equal(columns->names + got->name_at, names[i]);
    }
    for (size_t cut = 0; cut < body.size; cut++) refuse_description(body.bytes, cut, NULL);
    refuse_description(body.bytes, body.size + 1, "RowDescription has bytes behind its last column");
    free(columns);
}

static void hostile_descriptions(void **state)
{
    (void)state;
    static struct body body;
    refuse_description((const uint8_t *)"\xff\xff\0\0\0\0", 6, "RowDescription claims more columns than it holds");
    refuse_description((const uint8_t *)"\xff\xff", 2, "RowDescription claims more columns than it holds");
    refuse_description((const uint8_t *)"\0", 1, "RowDescription has an impossible size");
    refuse_description((const uint8_t *)"", 0, "RowDescription has an impossible size");
    const char *why = NULL;
    assert_int_equal(rp_columns_measure((const uint8_t *)"\0\0", (size_t)INT32_MAX + 1, &why), 0);
    assert_int_equal(rp_columns_measure((const uint8_t *)"\0\0", SIZE_MAX, &why), 0);
    put_description(&body, 1);
    memset(body.bytes + 2, 'n', body.size - 2);
    refuse_description(body.bytes, body.size, "RowDescription ends inside a name");
    body.bytes[body.size - 2] = '\0';
    refuse_description(body.bytes, body.size, "RowDescription ends inside a column");
    put_description(&body, 2);
    for (unsigned format = 2; format < 65536; format += 1 + format / 2) {
        put_big_endian(body.bytes + body.size - 2, format, 2);
        refuse_description(body.bytes, body.size, "RowDescription has a format that is not 0 or 1");
    }
    struct rp_columns *none = build((const uint8_t *)"\0\0", 2);
    assert_int_equal(none->count, 0);
    free(none);
}

/* Random damage: refused, or a description that is as long as it says. */
static void damaged_descriptions(void **state)
{
    (void)state;
    static struct body body;
    uint64_t seed = 21;
    size_t refused = 0;
    for (int round = 0; round < ROUNDS; round++) {
        put_description(&body, 1 + random_u64(&seed) % 40);
        for (uint64_t k = 0; k <= random_u64(&seed) % 3; k++)
            body.bytes[random_u64(&seed) % body.size] ^= (uint8_t)(1 << random_u64(&seed) % 8);
        const uint8_t *at = exactly(body.bytes, body.size);
        const char *why = NULL;
        size_t needed = rp_columns_measure(at, body.size, &why);
        refused += needed == 0;
        assert_true(needed || why);
        if (!needed) continue;
        struct rp_columns *columns = build(at, body.size), *again = build(at, body.size);
        size_t names = 0;
        for (uint32_t i = 0; i < columns->count; i++) {
            assert_int_equal(columns->column[i].name_at, names);
            names += columns->column[i].name_size + 1;
        }
        assert_int_equal(2 + 18 * columns->count + names, body.size);
        assert_true(rp_columns_equal(columns, again));
        free(columns);
        free(again);
    }
    assert_in_range(refused, ROUNDS / 10, ROUNDS);
}

static void equality(void **state)
{
    (void)state;
    static struct body body;
    put_description(&body, 3);
    struct rp_columns *first = build(body.bytes, body.size), *fewer = described(2);
    assert_true(rp_columns_equal(first, first));
    assert_false(rp_columns_equal(first, fewer));
    size_t unequal = 0, type_lengths = 0;
    put_description(&body, 3);
    for (size_t i = 2; i < body.size; i++) {
        size_t in_column = (i - 2) % 20; /* name of one character, NUL, 18 bytes of fields */
        if (in_column == 1) continue;    /* without its NUL the name would be another length */
        body.bytes[i] ^= 1;
        const char *why;
        if (rp_columns_measure(body.bytes, body.size, &why)) {
            struct rp_columns *other = build(body.bytes, body.size);
            /* The length of the type is not kept, and the format is the request's. */
            bool type_length = in_column == 12 || in_column == 13 || in_column == 19;
            assert_int_equal(rp_columns_equal(first, other), type_length);
            assert_int_equal(rp_columns_equal(other, first), type_length);
            unequal += !type_length;
            type_lengths += type_length;
            free(other);
        }
        body.bytes[i] ^= 1;
    }
    assert_int_equal(type_lengths, 3 * 3);
    assert_int_equal(unequal, 3 * 15); /* of 19 bytes a column: less the type length and the format */
    free(first);
    free(fewer);
}

/* The assertion's abort, seen from outside. */
static void expect_abort(void (*mistake)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr)) _exit(1);
        mistake();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static struct body description;
static void build_with(size_t bytes)
{
    static uint8_t block[4096];
    rp_columns_build((void *)block, bytes, description.bytes, description.size);
}
static void build_one_short(void)
{
    const char *why;
    build_with(rp_columns_measure(description.bytes, description.size, &why) - 1);
}
static void build_one_long(void)
{
    const char *why;
    build_with(rp_columns_measure(description.bytes, description.size, &why) + 1);
}
static void build_with_nothing(void)
{
    build_with(0);
}
static void parse_without_columns(void)
{
    struct pg_row row;
    const char *why;
    (void)rp_row_parse(&row, (const uint8_t *)"\0\0", 2, NULL, &why);
}

static void mistakes_of_the_caller(void **state)
{
    (void)state;
    put_description(&description, 3);
    expect_abort(build_one_short);
    expect_abort(build_one_long);
    expect_abort(build_with_nothing);
    expect_abort(parse_without_columns);
}

/* Column i is NULL, or i % 7 bytes of the value i. */
static bool null_at(size_t i, uint64_t nulls)
{
    return nulls >> i % 61 & 1;
}

static void put_row(struct body *body, size_t n, uint64_t nulls)
{
    body->size = 0;
    put(body, n, 2);
    for (size_t i = 0; i < n; i++) {
        put(body, null_at(i, nulls) ? UINT32_MAX : i % 7, 4);
        for (size_t k = 0; k < i % 7 && !null_at(i, nulls); k++) put(body, i & 0xff, 1);
    }
}

static void expect_row(struct pg_row *row, size_t n, uint64_t nulls)
{
    assert_int_equal(pg_row_columns(row), n);
    for (size_t i = 0; i < n; i++) {
        struct pg_value value = pg_row_value(row, (uint32_t)i);
        assert_int_equal(value.type, i % 3 ? PG_TYPE_INT4 : PG_TYPE_TEXT);
        assert_int_equal(value.text, i % 3 == 0);
        assert_ptr_equal(value.row, row);
        assert_int_equal(value.column, i);
        assert_int_equal(pg_is_null(value), null_at(i, nulls));
        assert_int_equal(pg_row_is_null(row, (uint32_t)i), null_at(i, nulls));
        assert_int_equal(value.size, null_at(i, nulls) ? 0 : i % 7);
        for (size_t k = 0; k < value.size; k++) assert_int_equal(value.data[k], i & 0xff);
    }
    assert_int_equal(pg_row_mark(row), 0);
}

static void rows(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, RP_ROW_CACHED - 1, RP_ROW_CACHED, RP_ROW_CACHED + 1, 100, 1600};
    static struct body body;
    uint64_t seed = 22;
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        struct rp_columns *columns = described(counts[c]);
        for (int round = 0; round < 8; round++) {
            uint64_t nulls = round == 0 ? 0 : round == 1 ? UINT64_MAX : random_u64(&seed);
            struct pg_row row = {.result = 5, .mark = PG_E_VALUE, .why = "of an earlier row"};
            const char *why = NULL;
            put_row(&body, counts[c], nulls);
            assert_int_equal(rp_row_parse(&row, exactly(body.bytes, body.size), body.size, columns, &why), 0);
            assert_int_equal(pg_row_result(&row), 5);
            expect_row(&row, counts[c], nulls);
        }
        free(columns);
    }
}

static void refuse_row(const uint8_t *bytes, size_t size, const struct rp_columns *columns, const char *wanted)
{
    struct pg_row row;
    const char *why = NULL;
    assert_int_equal(rp_row_parse(&row, exactly(bytes, size), size, columns, &why), PG_E_PROTOCOL);
    assert_non_null(why);
    if (wanted) assert_string_equal(why, wanted);
}

static void cut_rows(void **state)
{
    (void)state;
    static struct body body;
    for (size_t n = 0; n <= RP_ROW_CACHED + 8; n += 5) {
        struct rp_columns *columns = described(n), *other = described(n + 1);
        put_row(&body, n, UINT64_C(0x1249249249249249));
        for (size_t cut = 0; cut < body.size; cut++) refuse_row(body.bytes, cut, columns, NULL);
        body.bytes[body.size] = 0;
        refuse_row(body.bytes, body.size + 1, columns, "DataRow has bytes behind its last value");
        refuse_row(body.bytes, body.size, other, "DataRow and RowDescription differ in their columns");
        free(columns);
        free(other);
    }
}

static void hostile_rows(void **state)
{
    (void)state;
    struct rp_columns *one = described(1), *three = described(3);
    static const uint32_t lengths[] = {5, 6, 255, 0x7fffffff, 0x80000000, 0xfffffffe, 0xfffffff0};
    uint8_t body[10] = {0, 1};
    memcpy(body + 6, "abcd", 4);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        put_big_endian(body + 2, lengths[i], 4);
        refuse_row(body, sizeof body, one, "DataRow has a value that ends behind it, or a negative length");
    }
    for (uint32_t length = 0; length < 4; length++) {
        put_big_endian(body + 2, length, 4);
        refuse_row(body, sizeof body, one, "DataRow has bytes behind its last value");
    }
    put_big_endian(body + 2, UINT32_MAX, 4);
    refuse_row(body, sizeof body, one, "DataRow has bytes behind its last value");
    refuse_row((const uint8_t *)"\xff\xff\0\0\0\0", 6, one, "DataRow and RowDescription differ in their columns");
    refuse_row((const uint8_t *)"\0\3\0\0\0\0\0\0\0", 9, three, "DataRow ends inside a length");
    struct pg_row row;
    const char *why = NULL;
    assert_int_equal(rp_row_parse(&row, body, (size_t)INT32_MAX + 1, one, &why), PG_E_PROTOCOL);
    assert_string_equal(why, "DataRow has an impossible size");
    free(one);
    free(three);
}

/* Random damage: refused, or every value lies inside the body. */
static void damaged_rows(void **state)
{
    (void)state;
    static struct body body;
    uint64_t seed = 23;
    size_t accepted = 0;
    struct rp_columns *columns = described(40);
    for (int round = 0; round < ROUNDS; round++) {
        put_row(&body, 40, random_u64(&seed));
        body.bytes[2 + random_u64(&seed) % (body.size - 2)] = (uint8_t)random_u64(&seed);
        const uint8_t *at = exactly(body.bytes, body.size);
        struct pg_row row;
        const char *why = NULL;
        int rc = rp_row_parse(&row, at, body.size, columns, &why);
        assert_true(rc == 0 || (rc == PG_E_PROTOCOL && why));
        if (rc) continue;
        accepted++;
        for (uint32_t i = 0; i < 40; i++) {
            struct pg_value value = pg_row_value(&row, i);
            if (pg_is_null(value)) continue;
            assert_true(value.data >= at + 6);
            assert_true(value.data + value.size <= at + body.size);
        }
    }
    assert_in_range(accepted, ROUNDS / 10, ROUNDS - ROUNDS / 10);
    free(columns);
}

static void marks(void **state)
{
    (void)state;
    struct body body;
    struct pg_row row = {0};
    const char *why;
    struct rp_columns *columns = described(3);
    put_row(&body, 3, 4);
    assert_int_equal(rp_row_parse(&row, body.bytes, body.size, columns, &why), 0);
    struct pg_value absent = pg_row_value(&row, 3);
    assert_true(pg_is_null(absent));
    assert_int_equal(pg_row_mark(&row), PG_E_VALUE);
    assert_int_equal(row.marked_column, 3);
    assert_string_equal(row.why, "does not exist");
    assert_int_equal(pg_row_int4(&row, 2), 0);
    assert_string_equal(row.why, "does not exist");
    assert_int_equal(rp_row_parse(&row, body.bytes, body.size, columns, &why), 0);
    assert_int_equal(pg_row_mark(&row), 0);
    assert_int_equal(pg_row_int4(&row, 2), 0);
    assert_int_equal(row.marked_column, 2);
    assert_string_equal(row.why, "is NULL");
    assert_int_equal(pg_row_value(&row, UINT32_MAX).size, 0);
    rp_row_mark(&row, 0, "later");
    assert_string_equal(row.why, "is NULL");
    rp_row_mark(NULL, 0, "nobody");
    free(columns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_description),
        cmocka_unit_test(hostile_descriptions),
        cmocka_unit_test(damaged_descriptions),
        cmocka_unit_test(equality),
        cmocka_unit_test(mistakes_of_the_caller),
        cmocka_unit_test(rows),
        cmocka_unit_test(cut_rows),
        cmocka_unit_test(hostile_rows),
        cmocka_unit_test(damaged_rows),
        cmocka_unit_test(marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
