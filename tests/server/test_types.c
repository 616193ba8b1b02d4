/* server/test_types.c - every type against a real PostgreSQL: what pg_value_format prints of the binary form is what
 * the server itself writes, both formats give the same to every getter, and a value that was read is the same when it
 * is sent again. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/types/types.h"
#include "support/live.h"
#include "wire/types.h"

static struct live live;
static struct pg_pool *pool, *elsewhere;
static int version;
static unsigned compared;
enum { RANDOM_VALUES = 2000 };

static enum pg_flow keep_value(struct pg_query *q, struct pg_row *row)
{
    struct kept *k = q->data;
    struct pg_value value = pg_row_value(row, 0);
    k->value = value;
    k->value.row = &k->row;
    if (pg_is_null(value)) return PG_CONTINUE;
    k->bytes = malloc(value.size ? value.size : 1); /* exactly, so that a read behind it is seen */
    assert_non_null(k->bytes);
    memcpy(k->bytes, value.data, value.size);
    k->value.data = k->bytes;
    return PG_CONTINUE;
}

static void fetch_from(struct pg_pool *from, const char *sql, const struct pg_param *p, unsigned flags, struct kept *k)
{
    struct pg_error error;
    struct pg_query q = { .sql = sql,
                          .params = p,
                          .nparams = p ? 1 : 0,
                          .on_row = keep_value,
                          .data = k,
                          .error = &error,
                          .flags = (uint16_t)flags };
    memset(k, 0, sizeof *k);
    if (live_query(&live, from, NULL, &q)) fail_msg("%s: %s", sql, pg_error_field(&error, 'M'));
    assert_int_equal(q.rows, 1);
}
static void fetch(const char *sql, const struct pg_param *p, unsigned flags, struct kept *k)
{
    fetch_from(pool, sql, p, flags, k);
}

static void expect_unmarked(const struct kept *k, const char *sql)
{
    if (k->row.mark) fail_msg("%s: a getter complained: %s", sql, k->row.why);
}

/* What is printed of `binary` is the server's text, also when the buffer is too small for it. */
static void expect_printed(struct kept *binary, const struct kept *text, const char *sql)
{
    size_t size = pg_value_format(binary->value, NULL, 0);
    char *printed = malloc(size + 1), few[8];
    assert_non_null(printed);
    assert_int_equal(pg_value_format(binary->value, printed, size + 1), size);
    if (size != text->value.size || memcmp(printed, text->bytes, size))
        fail_msg("%s: printed \"%s\", and the server says \"%.*s\"", sql, printed, (int)text->value.size, text->bytes);
    assert_int_equal(printed[size], 0);
    assert_int_equal(pg_value_format(binary->value, few, sizeof few), size);
    if (size) assert_memory_equal(few, printed, size < 7 ? size : 7);
    free(printed);
}

static void expect_same(struct kept *a, struct kept *b, const char *sql)
{
    const char *what = types_differ(a->value, b->value);
    expect_unmarked(a, sql);
    expect_unmarked(b, sql);
    if (what) fail_msg("%s: both formats differ in: %s", sql, what);
}

/* Sent as a binary parameter the value comes back as the same text. */
static void expect_returned(struct kept *from, const struct kept *text, const char *sql)
{
    struct kept again;
    struct pg_param p = types_param(from->value);
    expect_unmarked(from, sql);
    fetch("SELECT $1", &p, PG_QUERY_TEXT, &again);
    assert_int_equal(again.value.type, from->value.type);
    if (again.value.size != text->value.size || memcmp(again.bytes, text->bytes, text->value.size))
        fail_msg("%s: sent again it is \"%.*s\", and it was \"%.*s\"", sql, (int)again.value.size, again.bytes,
                 (int)text->value.size, text->bytes);
    free(again.bytes);
    types_forget();
}

static void check(const char *sql, const struct pg_param *p)
{
    struct kept text, binary;
    fetch(sql, p, PG_QUERY_TEXT, &text);
    fetch(sql, p, 0, &binary);
    assert_true(text.value.text && !binary.value.text);
    compared++;
    if (pg_is_null(text.value)) {
        assert_true(pg_is_null(binary.value));
        return;
    }
    expect_printed(&binary, &text, sql);
    expect_same(&text, &binary, sql);
    uint8_t kind = rp_type_of(text.value.type)->kind;
    if (kind != RP_KIND_RECORD && text.value.type != PG_TYPE_RECORD_ARRAY) {
        expect_returned(&binary, &text, sql);
        expect_returned(&text, &text, sql);
    }
    free(text.bytes);
    free(binary.bytes);
}

static void literals(void **state)
{
    (void)state;
    for (size_t i = 0; i < types_literal_count; i++) {
        const struct literals *l = &types_literals[i];
        if (version < l->since) continue;
        for (const char *const *literal = l->list; *literal; literal++) {
            char sql[64];
            snprintf(sql, sizeof sql, "SELECT $1::%s", l->type);
            struct pg_param p = pg_str(*literal);
            print_message("%s '%.60s'\n", l->type, *literal);
            check(sql, &p);
        }
    }
}

static void expressions(void **state)
{
    (void)state;
    for (size_t i = 0; i < types_expression_count; i++) {
        char sql[200];
        snprintf(sql, sizeof sql, "SELECT %s", types_expressions[i]);
        check(sql, NULL);
    }
}

static void random_values(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < RANDOM_VALUES; i++) {
        const char *type;
        char sql[64];
        struct pg_param p = types_random(&seed, &type);
        snprintf(sql, sizeof sql, "SELECT $1::%s", type);
        check(sql, &p);
    }
}

/* In whatever zone the server writes a timestamptz, it is the same instant. */
static void another_zone(void **state)
{
    (void)state;
    for (size_t i = 0; i < types_literal_count; i++) {
        if (strncmp(types_literals[i].type, "timestamptz", 11) != 0) continue;
        for (const char *const *literal = types_literals[i].list; *literal; literal++) {
            char sql[64];
            struct kept text, binary;
            struct pg_param p = pg_str(*literal);
            snprintf(sql, sizeof sql, "SELECT $1::%s", types_literals[i].type);
            fetch_from(elsewhere, sql, &p, PG_QUERY_TEXT, &text);
            fetch_from(elsewhere, sql, &p, 0, &binary);
            expect_same(&text, &binary, sql);
            free(text.bytes);
            free(binary.bytes);
        }
    }
}

/* Composites, enums and arrays of them are the test's own: their OIDs are asked for. */
static uint32_t oid_of(const char *type)
{
    struct kept k;
    struct pg_param p = pg_str(type);
    fetch("SELECT $1::regtype", &p, 0, &k);
    uint32_t oid = (uint32_t)pg_value_int8(k.value);
    free(k.bytes);
    return oid;
}

static void expect_text(const char *sql, struct pg_param p, const char *wanted)
{
    struct kept k;
    fetch(sql, &p, PG_QUERY_TEXT, &k);
    assert_int_equal(k.value.size, strlen(wanted));
    assert_memory_equal(k.bytes, wanted, k.value.size);
    free(k.bytes);
}

static void types_of_ones_own(void **state)
{
    (void)state;
    uint32_t item = oid_of("types_item"), items = oid_of("types_item[]"), mood = oid_of("types_mood");
    struct pg_param fields[] = { pg_int4(7), pg_str("a \"b\""), pg_decimal(-1250, 2), pg_raw(mood, "sad day", 7) };
    struct pg_param holes[] = { pg_null_of(PG_TYPE_INT4), pg_str(""), pg_null_of(PG_TYPE_NUMERIC), pg_null_of(mood) };
    struct pg_param records[] = { pg_record_of(item, fields, 4), pg_null(), pg_record_of(item, holes, 4) };
    struct pg_elements shape = {
        .at = records, .element_type = item, .dimensions = 1, .length = { 3 }, .lower = { 0 }
    };
    expect_text("SELECT $1", records[0], "(7,\"a \"\"b\"\"\",-12.50,\"sad day\")");
    expect_text("SELECT $1", records[2], "(,\"\",,)");
    expect_text("SELECT $1", pg_array_shaped(items, &shape),
                "[0:2]={\"(7,\\\"a \\\"\\\"b\\\"\\\"\\\",-12.50,\\\"sad day\\\")\",NULL,\"(,\\\"\\\",,)\"}");
    struct pg_param moods[] = { pg_str("happy"), pg_null(), pg_raw(mood, "sad day", 7) };
    struct pg_elements list = { .at = moods, .element_type = mood, .dimensions = 1, .length = { 3 }, .lower = { 1 } };
    expect_text("SELECT $1", pg_array_shaped(oid_of("types_mood[]"), &list), "{happy,NULL,\"sad day\"}");
    struct pg_bounds bounds = { .lower = pg_float8(1.5), .upper = pg_null(), .lower_inclusive = true };
    expect_text("SELECT $1", pg_range_of(oid_of("types_span"), &bounds), "[1.5,)");

    /* Read as what the caller says that they are. */
    struct kept k;
    char text[100];
    struct pg_param p = pg_array_shaped(items, &shape);
    fetch("SELECT $1", &p, 0, &k);
    struct pg_array array = pg_value_array(k.value);
    struct pg_value element, field;
    assert_int_equal(array.count, 3);
    assert_true(pg_array_next(&array, &element));
    assert_int_equal(element.type, item);
    struct pg_record record = pg_value_record(element);
    assert_int_equal(record.count, 4);
    assert_true(pg_record_next(&record, &field) && pg_value_int4(field) == 7);
    assert_true(pg_record_next(&record, &field) && pg_value_text(field).size == 5);
    assert_true(pg_record_next(&record, &field) && pg_value_decimal(field, 2) == -1250);
    assert_true(pg_record_next(&record, &field) && pg_value_text(field).size == 7);
    element.type = PG_TYPE_RECORD;
    pg_value_format(element, text, sizeof text);
    assert_string_equal(text, "(7,\"a \"\"b\"\"\",-12.50,\"sad day\")");
    expect_unmarked(&k, "types_item[]");
    assert_int_equal(pg_value_format(k.value, text, sizeof text), 0); /* not known to be an array: nothing is guessed */
    assert_int_equal(k.row.mark, PG_E_VALUE);
    free(k.bytes);
}

/* An array that is larger than every buffer on its way flows in pieces; the second time from the same memory, with less
 * in it: what was known of the first request is forgotten. */
static void large_arrays(void **state)
{
    (void)state;
    enum { MANY = 100000 };
    static struct pg_text texts[MANY];
    static int32_t numbers[MANY];
    struct pg_param p[3];
    for (size_t many = MANY; many > 1000; many /= 3) {
        char sum[32];
        int64_t total = 0;
        for (size_t i = 0; i < many; i++) {
            texts[i] = (struct pg_text){ &"a text of some length"[i % 20], 21 - i % 20 };
            numbers[i] = (int32_t)(i % 7 ? i : many - i);
            total += numbers[i] + (int64_t)texts[i].size;
        }
        snprintf(sum, sizeof sum, "%lld", (long long)total);
        struct kept k = { .bytes = NULL };
        struct pg_error error;
        p[0] = pg_int4_array(numbers, many);
        p[1] = pg_text_array(texts, many);
        p[2] = pg_int4(1);
        struct pg_query q = { .sql = "SELECT sum(n + length(t)) * $3 FROM unnest($1, $2) AS u(n, t)",
                              .params = p,
                              .nparams = 3,
                              .on_row = keep_value,
                              .data = &k,
                              .error = &error,
                              .flags = PG_QUERY_TEXT };
        if (live_query(&live, pool, NULL, &q)) fail_msg("%s", pg_error_field(&error, 'M'));
        assert_int_equal(k.value.size, strlen(sum));
        assert_memory_equal(k.bytes, sum, k.value.size);
        free(k.bytes);
    }
}

static void set_up(const char *sql)
{
    struct pg_error error;
    struct pg_lease lease = { .tag = PG_HERE };
    struct pg_query q = { .sql = sql, .flags = PG_QUERY_SIMPLE, .error = &error };
    assert_int_equal(live_acquire(&live, pool, &lease), 0);
    if (live_query(&live, NULL, &lease, &q)) fail_msg("%s", pg_error_field(&error, 'M'));
    pg_lease_release(&lease);
}

static struct pg_pool *open_in(const char *zone)
{
    struct pg_pool_config config = PG_POOL_CONFIG(NULL);
    config.connect_sql = zone;
    return live_pool_with(&live, &config, NULL, "pool_max_conns=1");
}

static const char drop[] =
    "DROP TYPE IF EXISTS types_span; DROP TYPE IF EXISTS types_item; DROP TYPE IF EXISTS types_mood;";
static int open_live(void **state)
{
    (void)state;
    struct kept k;
    live_open(&live, LIVE_EPOLL);
    pool = open_in("SET TimeZone = 'UTC'");
    elsewhere = open_in("SET TimeZone = 'America/New_York'");
    fetch("SELECT current_setting('server_version_num')::int4", NULL, 0, &k);
    version = pg_value_int4(k.value);
    free(k.bytes);
    set_up(drop);
    set_up("CREATE TYPE types_mood AS ENUM ('happy', 'sad day');"
           "CREATE TYPE types_item AS (a int4, b text, c numeric, d types_mood);"
           "CREATE TYPE types_span AS RANGE (subtype = float8)");
    return 0;
}
static int close_live(void **state)
{
    (void)state;
    set_up(drop);
    live_close(&live);
    print_message("%u values compared\n", compared);
    return compared < 1000;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals),     cmocka_unit_test(expressions),       cmocka_unit_test(random_values),
        cmocka_unit_test(another_zone), cmocka_unit_test(types_of_ones_own), cmocka_unit_test(large_arrays),
    };
    return cmocka_run_group_tests(tests, open_live, close_live);
}
