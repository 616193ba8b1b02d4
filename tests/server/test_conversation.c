/* server/test_conversation.c - one of everything with a real PostgreSQL, on both hosts that the library brings. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/live.h"

static struct live live;
static struct pg_pool *pool;

static int open_uring(void **state)
{
    (void)state;
    if (!live_open(&live, LIVE_URING)) return -1;
    pool = live_pool(&live, NULL, "pool_max_conns=2 application_name=conversation");
    return 0;
}
static int open_epoll(void **state)
{
    (void)state;
    live_open(&live, LIVE_EPOLL);
    pool = live_pool(&live, live_env("RINGPG_TEST_TCP_URL"), "pool_max_conns=2 pool_max_row_bytes=1MB");
    return 0;
}
static int close_live(void **state)
{
    (void)state;
    live_close(&live);
    return 0;
}

/* ---- values ---- */

struct types {
    bool b;
    int32_t i2, i4;
    int64_t i8;
    double f4, f8;
    char text[32];
    unsigned char bytes[8];
    size_t nbytes;
    bool null;
    unsigned rows;
};
static enum pg_flow take_types(struct pg_query *q, struct pg_row *row)
{
    struct types *t = q->data;
    t->rows++;
    t->b = pg_row_bool(row, 0);
    t->i2 = pg_row_int4(row, 1);
    t->i4 = pg_row_int4(row, 2);
    t->i8 = pg_row_int8(row, 3);
    t->f4 = pg_row_float8(row, 4);
    t->f8 = pg_row_float8(row, 5);
    struct pg_text text = pg_row_text(row, 6);
    snprintf(t->text, sizeof t->text, "%.*s", (int)text.size, text.data);
    t->nbytes = pg_value_bytea(pg_row_value(row, 7), t->bytes, sizeof t->bytes);
    t->null = pg_row_is_null(row, 8);
    return PG_CONTINUE;
}
static struct pg_statement types_statement =
    PG_STATEMENT("SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9", PG_TYPE_BOOL, PG_TYPE_INT2, PG_TYPE_INT4, PG_TYPE_INT8,
                 PG_TYPE_FLOAT4, PG_TYPE_FLOAT8, PG_TYPE_TEXT, PG_TYPE_BYTEA, PG_TYPE_INT4);

static void types_in_both_formats(void **state)
{
    (void)state;
    struct pg_param p[] = { pg_bool(true),          pg_int2(-32768),         pg_int4(INT32_MIN),
                            pg_int8(INT64_MIN),     pg_float4(1.5f),         pg_float8(0.1),
                            pg_str("h\303\244llo"), pg_bytes("\0\1\xff", 3), pg_null() };
    for (int text = 0; text < 2; text++) {
        struct types t = { 0 };
        struct pg_error error;
        struct pg_query q = { .statement = &types_statement,
                              .params = p,
                              .nparams = 9,
                              .on_row = take_types,
                              .data = &t,
                              .error = &error,
                              .flags = text ? PG_QUERY_TEXT : 0 };
        if (live_query(&live, pool, NULL, &q)) fail_msg("%s", pg_error_field(&error, 'M'));
        assert_int_equal(t.rows, 1);
        assert_true(t.b && t.null);
        assert_int_equal(t.i2, -32768);
        assert_int_equal(t.i4, INT32_MIN);
        assert_true(t.i8 == INT64_MIN && t.f4 == 1.5 && t.f8 == 0.1);
        assert_string_equal(t.text, "h\303\244llo");
        assert_int_equal(t.nbytes, 3);
        assert_memory_equal(t.bytes, "\0\1\xff", 3);
    }
}

static enum pg_flow take_null(struct pg_query *q, struct pg_row *row)
{
    *(int64_t *)q->data = pg_row_int8(row, 0);
    return PG_CONTINUE;
}
static void a_forgotten_null_is_no_silent_zero(void **state)
{
    (void)state;
    int64_t value = 7;
    struct pg_error error;
    struct pg_query q = { .sql = "SELECT NULL::int8 AS price FROM generate_series(1, 3)",
                          .on_row = take_null,
                          .data = &value,
                          .error = &error };
    assert_int_equal(live_query(&live, pool, NULL, &q), PG_E_VALUE);
    assert_int_equal(value, 0);
    assert_non_null(strstr(pg_error_field(&error, 'M'), "price"));
}

static void bad_parameters_send_nothing(void **state)
{
    (void)state;
    static struct pg_statement one = PG_STATEMENT("SELECT $1", PG_TYPE_INT4);
    struct pg_param big = pg_int8(1ll << 40);
    struct pg_error error;
    struct pg_query q = { .statement = &one, .params = &big, .nparams = 1, .error = &error };
    assert_int_equal(live_query(&live, pool, NULL, &q), PG_E_PARAMETER);
    assert_int_equal(q.sent, PG_SENT_NO);
    assert_non_null(strstr(pg_error_field(&error, 'M'), "$1"));
    q.nparams = 0;
    assert_int_equal(live_query(&live, pool, NULL, &q), PG_E_PARAMETER);
}

/* ---- large things, on a small connection ---- */

static enum pg_flow take_size(struct pg_query *q, struct pg_row *row)
{
    struct pg_text text = pg_row_text(row, 0);
    size_t *sum = q->data;
    for (size_t i = 0; i < text.size; i++) *sum += text.data[i] == 'x';
    return PG_CONTINUE;
}
static void large_parameters_and_rows(void **state)
{
    (void)state;
    static struct pg_statement echo = PG_STATEMENT("SELECT $1", PG_TYPE_TEXT);
    for (size_t n = 1000; n <= 1000000; n *= 10) {
        char *text = malloc(n);
        size_t sum = 0;
        assert_non_null(text);
        memset(text, 'x', n);
        struct pg_param p = pg_strn(text, n);
        struct pg_query q = { .statement = &echo, .params = &p, .nparams = 1, .on_row = take_size, .data = &sum };
        assert_int_equal(live_query(&live, pool, NULL, &q), 0);
        assert_int_equal(sum, n);
        free(text);
    }
}
static void a_row_above_the_limit_ends_its_query_only(void **state)
{
    (void)state;
    struct pg_error error;
    size_t sum = 0;
    struct pg_query q = { .sql = "SELECT repeat('x', 3000000)", .on_row = take_size, .data = &sum, .error = &error };
    assert_int_equal(live_query(&live, pool, NULL, &q), PG_E_FULL);
    assert_int_equal(sum, 0);
    assert_non_null(strstr(pg_error_field(&error, 'M'), "pool_max_row_bytes"));
    struct pg_pool_stats stats = { .size = sizeof stats };
    pg_pool_stats(pool, &stats);
    assert_int_equal(stats.lost_conns_count, 0);
}

/* ---- errors ---- */

static void every_field_of_an_error(void **state)
{
    (void)state;
    struct pg_error error;
    struct pg_lease lease = { .tag = PG_HERE };
    assert_int_equal(live_acquire(&live, pool, &lease), 0);
    struct pg_query make = { .sql = "CREATE TEMP TABLE t (id int8 CONSTRAINT t_positive CHECK (id > 0))" };
    struct pg_query bad = { .sql = "INSERT INTO t VALUES (-1)", .error = &error };
    assert_int_equal(live_query(&live, NULL, &lease, &make), 0);
    assert_string_equal(make.tag, "CREATE TABLE");
    assert_int_equal(live_query(&live, NULL, &lease, &bad), PG_E_SERVER);
    assert_string_equal(bad.sqlstate, "23514");
    assert_string_equal(pg_error_field(&error, 'n'), "t_positive");
    assert_string_equal(pg_error_field(&error, 'S'), "ERROR");
    assert_true(*pg_error_field(&error, 'M') && *pg_error_field(&error, 'D'));
    struct pg_query typo = { .sql = "SELECT 1 FORM t", .error = &error };
    assert_int_equal(live_query(&live, NULL, &lease, &typo), PG_E_SERVER);
    assert_int_equal(error.position, 15);
    assert_int_equal(pg_lease_transaction(&lease), 'I');
    assert_non_null(pg_lease_parameter(&lease, "server_version"));
    pg_lease_release(&lease);
}

static void several_statements_by_the_simple_protocol(void **state)
{
    (void)state;
    int64_t value = 0;
    struct pg_lease lease = { .tag = PG_HERE };
    assert_int_equal(live_acquire(&live, pool, &lease), 0);
    struct pg_query q = {
        .sql = "SELECT 1::int8; SELECT 2::int8", .flags = PG_QUERY_SIMPLE, .on_row = take_null, .data = &value
    };
    assert_int_equal(live_query(&live, NULL, &lease, &q), 0);
    assert_int_equal(value, 2);
    pg_lease_release(&lease);
    assert_int_equal(live_query(&live, pool, NULL, &q), PG_E_NEEDS_LEASE);
}

/* ---- transactions ---- */

static void transactions_on_a_lease(void **state)
{
    (void)state;
    struct pg_lease lease = { .tag = PG_HERE };
    int64_t value = 0;
    assert_int_equal(live_acquire(&live, pool, &lease), 0);
    struct pg_query make = { .sql = "CREATE TEMP TABLE d (id int8 UNIQUE DEFERRABLE INITIALLY DEFERRED)" };
    assert_int_equal(live_query(&live, NULL, &lease, &make), 0);
    struct pg_query insert = { .sql = "INSERT INTO d VALUES (1)" }, begin = { .statement = &pg_begin, .next = &insert };
    assert_int_equal(live_query(&live, NULL, &lease, &begin), 0); /* one flight, one Sync */
    assert_int_equal(pg_lease_transaction(&lease), 'T');
    struct pg_query wrong = { .sql = "SELECT 1/0" }, commit = { .statement = &pg_commit };
    assert_int_equal(live_query(&live, NULL, &lease, &wrong), PG_E_SERVER);
    assert_int_equal(pg_lease_transaction(&lease), 'E');
    assert_int_equal(live_query(&live, NULL, &lease, &commit), PG_E_ROLLED_BACK); /* COMMIT, answered by ROLLBACK */
    assert_int_equal(pg_lease_transaction(&lease), 'I');
    /* A deferred constraint fails at ReadyForQuery, behind INSERT 0 2. */
    struct pg_query deferred = { .sql = "INSERT INTO d VALUES (5), (5)" };
    assert_int_equal(live_query(&live, NULL, &lease, &deferred), PG_E_SERVER);
    assert_string_equal(deferred.sqlstate, "23505");
    struct pg_query count = { .sql = "SELECT count(*) FROM d", .on_row = take_null, .data = &value };
    assert_int_equal(live_query(&live, NULL, &lease, &count), 0);
    assert_int_equal(value, 0);
    /* Released inside of a transaction: rolled back before the next one gets it. */
    struct pg_query again = { .statement = &pg_begin };
    assert_int_equal(live_query(&live, NULL, &lease, &again), 0);
    pg_lease_release(&lease);
    for (int i = 0; i < 2; i++) {
        struct pg_lease next = { .tag = PG_HERE };
        assert_int_equal(live_acquire(&live, pool, &next), 0);
        assert_int_equal(pg_lease_transaction(&next), 'I');
        pg_lease_release(&next);
    }
}

static void a_batch_is_all_or_nothing(void **state)
{
    (void)state;
    static struct pg_statement wrong = PG_STATEMENT("SELECT 1 / $1", PG_TYPE_INT4);
    struct pg_param zero = pg_int4(0);
    struct pg_query third = { .sql = "SELECT 3" },
                    second = { .statement = &wrong, .params = &zero, .nparams = 1, .next = &third },
                    first = { .sql = "SELECT 1", .next = &second };
    assert_int_equal(live_query(&live, pool, NULL, &first), PG_E_BATCH);
    assert_int_equal(first.status, PG_E_BATCH);
    assert_int_equal(second.status, PG_E_SERVER);
    assert_string_equal(third.sqlstate, "22012"); /* the culprit's */
}

/* ---- statements that the server lost ---- */

static void lost_statements_heal(void **state)
{
    (void)state;
    static struct pg_statement find = PG_STATEMENT("SELECT * FROM heal_me");
    int64_t value = 0;
    struct pg_lease lease = { .tag = PG_HERE };
    assert_int_equal(live_acquire(&live, pool, &lease), 0);
    struct pg_query make = { .sql = "CREATE TEMP TABLE heal_me AS SELECT 1::int4 AS v" };
    assert_int_equal(live_query(&live, NULL, &lease, &make), 0);
    struct pg_query q = { .statement = &find, .on_row = take_null, .data = &value };
    assert_int_equal(live_query(&live, NULL, &lease, &q), 0);
    assert_int_equal(value, 1);
    struct pg_query alter = { .sql = "ALTER TABLE heal_me ALTER v TYPE int8 USING 2" };
    assert_int_equal(live_query(&live, NULL, &lease, &alter), 0);
    assert_int_equal(live_query(&live, NULL, &lease, &q), 0); /* 0A000, Close, Parse, once */
    assert_int_equal(value, 2);
    struct pg_query forget = { .sql = "DEALLOCATE ALL" };
    assert_int_equal(live_query(&live, NULL, &lease, &forget), 0);
    assert_int_equal(live_query(&live, NULL, &lease, &q), 0);
    /* Behind our back, by a function's dynamic SQL: 26000. */
    struct pg_query hidden = { .sql = "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$" };
    assert_int_equal(live_query(&live, NULL, &lease, &hidden), 0);
    assert_int_equal(live_query(&live, NULL, &lease, &q), 0);
    assert_int_equal(value, 2);
    pg_lease_release(&lease);
}

int main(void)
{
#define BODY                                                                                                      \
    cmocka_unit_test(types_in_both_formats), cmocka_unit_test(a_forgotten_null_is_no_silent_zero),                \
        cmocka_unit_test(bad_parameters_send_nothing), cmocka_unit_test(large_parameters_and_rows),               \
        cmocka_unit_test(every_field_of_an_error), cmocka_unit_test(several_statements_by_the_simple_protocol),   \
        cmocka_unit_test(transactions_on_a_lease), cmocka_unit_test(a_batch_is_all_or_nothing),                   \
        cmocka_unit_test(lost_statements_heal)
    const struct CMUnitTest on_uring[] = { BODY };
    const struct CMUnitTest on_epoll[] = { BODY, cmocka_unit_test(a_row_above_the_limit_ends_its_query_only) };
    int failed = cmocka_run_group_tests_name("uring, Unix socket", on_uring, open_uring, close_live);
    return failed + cmocka_run_group_tests_name("epoll, TCP", on_epoll, open_epoll, close_live);
}
