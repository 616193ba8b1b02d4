/* test_rows.c - rows of a real server that are as large as the protocol lets them be, in pieces and refused; and rows
 * that are kept. RINGPG_QUICK=1: a twentieth of the size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>
#include "ringpg.h"
#include "ringpg/loop.h"

enum { MILLION = 1000000 };
static struct pg_statement large = PG_STATEMENT("SELECT 7, repeat('0123456789', $1), 8", PG_TYPE_INT4);
static struct pg_statement one = PG_STATEMENT("SELECT 1::int4");

struct test {
    struct pg_pool *pool;
    int32_t megabytes;
    /* What came. */
    uint64_t bytes;
    uint32_t pieces, others;
    bool wrong;
};

static void in_loop(void (*program)(void *), struct test *test)
{
    struct pg_loop *loop;
    struct pg_error error;
    struct pg_pool_config config = PG_POOL_CONFIG(getenv("DATABASE_URL"));
    config.max_conns = 1;
    assert_int_equal(pg_loop_open(&loop, &error), 0);
    assert_int_equal(pg_pool_open(&test->pool, pg_loop_reactor(loop), &config, &error), 0);
    assert_int_equal(pg_loop_run(loop, program, test), 0);
    pg_loop_close(loop);
}

static long peak_kib(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

/* ---- as large as a row may be ---- */

static enum pg_flow take(struct pg_query *q, const struct pg_chunk *chunk)
{
    struct test *t = q->data;
    if (chunk->value.column != 1) {
        t->others += (uint32_t)pg_value_int4(chunk->value);
        return PG_CONTINUE;
    }
    t->wrong |= chunk->offset != t->bytes || chunk->size != (uint32_t)t->megabytes * MILLION;
    for (uint32_t i = 0; i < chunk->value.size; i += 4099)
        t->wrong |= chunk->value.data[i] != '0' + (chunk->offset + i) % 10;
    t->bytes += chunk->value.size;
    t->pieces++;
    return PG_CONTINUE;
}

static void stream(void *arg)
{
    struct test *t = arg;
    struct pg_param p = pg_int4(t->megabytes * (MILLION / 10));
    struct pg_error error;
    struct pg_query q = { .statement = &large, .params = &p, .nparams = 1, .on_chunk = take, .data = t,
                          .error = &error, .deadline_ns = PG_NEVER };
    long before = peak_kib();
    pg_pool_query(t->pool, &q);
    if (pg_await(&q)) fail_msg("%s", pg_error_field(&error, 'M'));
    printf("%d MB in %u pieces; peak of memory %ld KiB more\n", (int)t->megabytes, t->pieces, peak_kib() - before);
    assert_true(peak_kib() - before < 16 * 1024);
}

static void refuse(void *arg)
{
    struct test *t = arg;
    struct pg_param p = pg_int4(t->megabytes * (MILLION / 10));
    struct pg_error error;
    struct pg_query q = { .statement = &large, .params = &p, .nparams = 1, .error = &error, .deadline_ns = PG_NEVER };
    struct pg_query next = { .statement = &one };
    pg_pool_query(t->pool, &q);
    pg_pool_query(t->pool, &next);
    assert_int_equal(pg_await(&q), PG_E_FULL);
    assert_non_null(strstr(pg_error_field(&error, 'M'), "pool_max_row_bytes"));
    assert_int_equal(pg_await(&next), 0); /* on the same connection */
    assert_int_equal(next.rows, 1);
}

static void test_a_row_as_large_as_it_may_be(void **state)
{
    (void)state;
    struct test t = { .megabytes = getenv("RINGPG_QUICK") ? 50 : 1000 };
    in_loop(stream, &t);
    assert_false(t.wrong);
    assert_int_equal(t.bytes, (uint64_t)t.megabytes * MILLION);
    assert_int_equal(t.others, 15);
    t.megabytes = 20; /* the default of pool_max_row_bytes is 16 */
    in_loop(refuse, &t);
}

/* ---- rows that are kept ---- */

static struct pg_statement squares =
    PG_STATEMENT("SELECT i, (i * i)::int8 AS square, 'row ' || i FROM generate_series(1, 1000) i");

static void keep(void *arg)
{
    struct test *t = arg;
    static char buffer[100 * 1024];
    struct pg_rows rows = { .buffer = buffer, .capacity = sizeof buffer };
    struct pg_query q = { .statement = &squares, .collect = &rows };
    pg_pool_query(t->pool, &q);
    assert_int_equal(pg_await(&q), 0);
    assert_int_equal(rows.count, 1000);
    for (uint32_t i = 0; i < rows.count; i++) {
        struct pg_row *row = pg_rows_at(&rows, i);
        char text[20];
        int n = snprintf(text, sizeof text, "row %u", i + 1);
        assert_int_equal(pg_row_int4(row, 0), i + 1);
        assert_int_equal(pg_row_int8(row, 1), (i + 1) * (i + 1));
        assert_int_equal(pg_row_text(row, 2).size, n);
        assert_memory_equal(pg_row_text(row, 2).data, text, (size_t)n);
        assert_memory_equal(pg_row_column(row, 1).name.data, "square", 6);
        t->others++;
    }
}

/* Results of several shapes, by the simple protocol. */
static void keep_several(void *arg)
{
    struct test *t = arg;
    static char buffer[4096];
    struct pg_lease lease = { .tag = PG_HERE };
    struct pg_rows rows = { .buffer = buffer, .capacity = sizeof buffer };
    struct pg_query q = { .sql = "SELECT 1 AS a UNION ALL SELECT 2; SELECT 'x' AS b, NULL AS c; SELECT 3 AS a",
                          .flags = PG_QUERY_SIMPLE, .collect = &rows };
    assert_int_equal(pg_await_acquire(t->pool, &lease), 0);
    pg_lease_query(&lease, &q);
    assert_int_equal(pg_await(&q), 0);
    pg_lease_release(&lease);
    assert_int_equal(rows.count, 4);
    assert_int_equal(pg_row_result(pg_rows_at(&rows, 2)), 1);
    assert_int_equal(pg_row_columns(pg_rows_at(&rows, 2)), 2);
    assert_memory_equal(pg_row_column(pg_rows_at(&rows, 2), 0).name.data, "b", 1);
    assert_true(pg_row_is_null(pg_rows_at(&rows, 2), 1));
    assert_int_equal(pg_row_result(pg_rows_at(&rows, 1)), 0);
    assert_int_equal(pg_row_int4(pg_rows_at(&rows, 1), 0), 2);
    assert_int_equal(pg_row_result(pg_rows_at(&rows, 3)), 2);
    assert_int_equal(pg_row_int4(pg_rows_at(&rows, 3), 0), 3);
    t->others++;
}

static enum pg_flow look(struct pg_query *q, struct pg_row *row)
{
    struct test *t = q->data;
    bool binary = !pg_query_column(q, 0).text, cursor = pg_row_int4(row, 0) == 42;
    t->wrong |= binary != cursor || pg_row_column(row, 0).text == cursor;
    t->others++;
    return PG_CONTINUE;
}

/* By the simple protocol a cursor may be a binary one: the description says which. */
static void fetch(void *arg)
{
    struct test *t = arg;
    struct pg_lease lease = { .tag = PG_HERE };
    struct pg_query q = { .sql = "BEGIN; DECLARE c BINARY CURSOR FOR SELECT 42; FETCH c; SELECT 43; COMMIT",
                          .flags = PG_QUERY_SIMPLE, .on_row = look, .data = t };
    assert_int_equal(pg_await_acquire(t->pool, &lease), 0);
    pg_lease_query(&lease, &q);
    assert_int_equal(pg_await(&q), 0);
    pg_lease_release(&lease);
}

static void test_a_binary_cursor_says_so(void **state)
{
    (void)state;
    struct test t = { .others = 0 };
    in_loop(fetch, &t);
    assert_int_equal(t.others, 2);
    assert_false(t.wrong);
}

static void test_rows_are_kept(void **state)
{
    (void)state;
    struct test t = { .others = 0 };
    in_loop(keep, &t);
    assert_int_equal(t.others, 1000);
    in_loop(keep_several, &t);
    assert_int_equal(t.others, 1001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_as_large_as_it_may_be),
        cmocka_unit_test(test_rows_are_kept),
        cmocka_unit_test(test_a_binary_cursor_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
