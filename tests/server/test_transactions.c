/* test_transactions.c - what pg_begin_with says to a real server, and savepoints by pg_await_savepoint: what is kept,
 * what is rolled back, and what a failure inside of one leaves to those around it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ringpg.h"
#include "ringpg/loop.h"

static struct pg_statement modes = PG_STATEMENT("SELECT current_setting('transaction_isolation') || ' ' || "
                                                "current_setting('transaction_read_only') || ' ' || "
                                                "current_setting('transaction_deferrable')");
static struct pg_statement insert = PG_STATEMENT("INSERT INTO mark VALUES ($1)", PG_TYPE_INT4);
static struct pg_statement marks = PG_STATEMENT("SELECT coalesce(string_agg(n::text, ' ' ORDER BY n), '') FROM mark");
static struct pg_statement divide = PG_STATEMENT("SELECT 1 / (n - n) FROM mark");
static struct pg_statement nap = PG_STATEMENT("SELECT pg_sleep(60)");

static struct pg_pool *pool;
static struct pg_reactor *reactor;

/* ---- what the tests ask ---- */

struct text { char at[128]; };
static enum pg_flow keep(struct pg_query *q, struct pg_row *row)
{
    struct text *text = q->data;
    struct pg_text value = pg_row_text(row, 0);
    snprintf(text->at, sizeof text->at, "%.*s", (int)value.size, value.data);
    return PG_CONTINUE;
}
static struct text told(struct pg_lease *lease, struct pg_statement *statement)
{
    struct text text = { "" };
    struct pg_query q = { .statement = statement, .on_row = keep, .data = &text };
    pg_lease_query(lease, &q);
    assert_int_equal(pg_await(&q), 0);
    return text;
}
static int put(struct pg_lease *lease, int n)
{
    struct pg_param p = pg_int4(n);
    struct pg_query q = { .statement = &insert, .params = &p, .nparams = 1 };
    pg_lease_query(lease, &q);
    return pg_await(&q);
}
static int divide_by_zero(struct pg_lease *lease)
{
    struct pg_query q = { .statement = &divide };
    pg_lease_query(lease, &q);
    int rc = pg_await(&q);
    assert_string_equal(q.sqlstate, "22012");
    assert_int_equal(pg_lease_transaction(lease), 'E');
    return rc;
}
static void run_simple(struct pg_lease *lease, const char *sql)
{
    struct pg_query q = { .sql = sql, .flags = PG_QUERY_SIMPLE };
    pg_lease_query(lease, &q);
    assert_int_equal(pg_await(&q), 0);
}

static void in_loop(void (*program)(void *), void *arg)
{
    struct pg_loop *loop;
    struct pg_error error;
    struct pg_pool_config config = PG_POOL_CONFIG(getenv("DATABASE_URL"));
    config.max_conns = 1; /* the table is temporary */
    assert_int_equal(pg_loop_open(&loop, &error), 0);
    reactor = pg_loop_reactor(loop);
    assert_int_equal(pg_pool_open(&pool, reactor, &config, &error), 0);
    assert_int_equal(pg_loop_run(loop, program, arg), 0);
    pg_loop_close(loop);
}

/* ---- how it begins ---- */

static int look(struct pg_lease *lease, void *arg)
{
    *(struct text *)arg = told(lease, &modes);
    return 0;
}

static void begin_in_every_way(void *arg)
{
    static const struct { enum pg_isolation isolation; uint32_t modes; const char *told; } ways[] = {
        { PG_ISOLATION_DEFAULT, 0, "read committed off off" },
        { PG_ISOLATION_DEFAULT, PG_READ_ONLY, "read committed on off" },
        { PG_ISOLATION_DEFAULT, PG_READ_WRITE, "read committed off off" },
        { PG_READ_COMMITTED, 0, "read committed off off" },
        { PG_READ_COMMITTED, PG_READ_ONLY, "read committed on off" },
        { PG_REPEATABLE_READ, 0, "repeatable read off off" },
        { PG_REPEATABLE_READ, PG_READ_ONLY, "repeatable read on off" },
        { PG_REPEATABLE_READ, PG_READ_WRITE, "repeatable read off off" },
        { PG_SERIALIZABLE, 0, "serializable off off" },
        { PG_SERIALIZABLE, PG_READ_ONLY, "serializable on off" },
        { PG_SERIALIZABLE, PG_READ_WRITE, "serializable off off" },
        { PG_SERIALIZABLE, PG_READ_ONLY | PG_DEFERRABLE, "serializable on on" },
    };
    size_t *seen = arg;
    for (; *seen < sizeof ways / sizeof *ways; ++*seen) {
        struct text text = { "" };
        struct pg_statement *begin = pg_begin_with(ways[*seen].isolation, ways[*seen].modes);
        assert_int_equal(pg_await_transaction(pool, begin, 1, PG_NEVER, look, &text, NULL), 0);
        assert_string_equal(text.at, ways[*seen].told);
    }
}

static void test_isolation_and_modes(void **state)
{
    (void)state;
    size_t seen = 0;
    in_loop(begin_in_every_way, &seen);
    assert_int_equal(seen, 12);
}

/* ---- savepoints ---- */

static int put_two(struct pg_lease *lease, void *arg)
{
    (void)arg;
    int rc = put(lease, 2);
    return rc ? rc : put(lease, 2 * 10);
}
static int put_and_refuse(struct pg_lease *lease, void *arg)
{
    (void)arg;
    assert_int_equal(put(lease, 3), 0);
    return 409;
}
static int put_and_fail(struct pg_lease *lease, void *arg)
{
    (void)arg;
    assert_int_equal(put(lease, 4), 0);
    return divide_by_zero(lease);
}
/* One that fails inside of one that does not. */
static int nest(struct pg_lease *lease, void *arg)
{
    assert_int_equal(put(lease, 5), 0);
    assert_int_equal(pg_await_savepoint(lease, PG_NEVER, put_and_fail, arg, NULL), PG_E_SERVER);
    assert_int_equal(pg_lease_transaction(lease), 'T');
    return put(lease, 6);
}
/* One that succeeds inside of one that does not. */
static int nest_in_vain(struct pg_lease *lease, void *arg)
{
    assert_int_equal(pg_await_savepoint(lease, PG_NEVER, put_two, arg, NULL), 0);
    return divide_by_zero(lease);
}

static int use_savepoints(struct pg_lease *lease, void *arg)
{
    struct pg_error error;
    assert_int_equal(put(lease, 1), 0);
    assert_int_equal(pg_await_savepoint(lease, PG_NEVER, nest_in_vain, NULL, NULL), PG_E_SERVER);
    assert_string_equal(told(lease, &marks).at, "1");
    assert_int_equal(pg_await_savepoint(lease, PG_NEVER, put_two, NULL, &error), 0);
    assert_int_equal(error.code, 0);
    assert_int_equal(pg_await_savepoint(lease, PG_NEVER, put_and_refuse, NULL, NULL), 409);
    assert_int_equal(pg_await_savepoint(lease, PG_NEVER, nest, NULL, NULL), 0);
    assert_int_equal(pg_lease_transaction(lease), 'T');
    *(struct text *)arg = told(lease, &marks);
    return 0;
}

static void savepoints(void *arg)
{
    struct pg_lease lease = { .tag = PG_HERE };
    assert_int_equal(pg_await_acquire(pool, &lease), 0);
    run_simple(&lease, "CREATE TEMP TABLE mark (n int4)");
    pg_lease_release(&lease);
    assert_int_equal(pg_await_transaction(pool, NULL, 1, PG_NEVER, use_savepoints, arg, NULL), 0);
    assert_int_equal(pg_await_acquire(pool, &lease), 0);
    assert_string_equal(told(&lease, &marks).at, "1 2 5 6 20");
    pg_lease_release(&lease);
}

static void test_savepoints(void **state)
{
    (void)state;
    struct text text = { "" };
    in_loop(savepoints, &text);
    assert_string_equal(text.at, "1 2 5 6 20");
}

static int never(struct pg_lease *lease, void *arg)
{
    (void)lease, (void)arg;
    fail_msg("the body runs though there is no savepoint");
    return 0;
}
static void outside(void *arg)
{
    struct pg_error error;
    struct pg_lease lease = { .tag = PG_HERE };
    assert_int_equal(pg_await_acquire(pool, &lease), 0);
    assert_int_equal(pg_await_savepoint(&lease, PG_NEVER, never, NULL, &error), PG_E_SERVER);
    assert_string_equal(error.sqlstate, "25P01");
    pg_lease_release(&lease);
    *(bool *)arg = true;
}

static void test_savepoint_outside_of_a_transaction(void **state)
{
    (void)state;
    bool ended = false;
    in_loop(outside, &ended);
    assert_true(ended);
}

/* ---- whoever waits inside of one is cancelled ---- */

struct sleeper { struct pg_fiber fiber, driver; int inner, outer; bool asleep; };
static int sleep_in_it(struct pg_lease *lease, void *arg)
{
    struct sleeper *s = arg;
    struct pg_query q = { .statement = &nap };
    pg_lease_query(lease, &q);
    s->asleep = true;
    pg_fiber_unpark(s->driver);
    return pg_await(&q);
}
static int sleep_at_a_savepoint(struct pg_lease *lease, void *arg)
{
    struct sleeper *s = arg;
    return s->inner = pg_await_savepoint(lease, PG_NEVER, sleep_in_it, s, NULL);
}
static void sleeper(void *arg)
{
    struct sleeper *s = arg;
    s->outer = pg_await_transaction(pool, NULL, 1, PG_NEVER, sleep_at_a_savepoint, s, NULL);
    pg_fiber_unpark(s->driver);
}
static void cancel_it(void *arg)
{
    struct sleeper *s = arg;
    struct text text = { "" };
    s->driver = pg_fiber_self();
    assert_int_equal(pg_fiber_spawn(reactor, sleeper, s, &s->fiber), 0);
    while (!s->asleep) assert_int_equal(pg_fiber_park(PG_NEVER), 0);
    pg_fiber_cancel(s->fiber);
    while (!s->outer) assert_int_equal(pg_fiber_park(PG_NEVER), 0);
    /* The connection comes back clean, by way of the server's answer to the cancel. */
    assert_int_equal(pg_await_transaction(pool, NULL, 1, PG_NEVER, look, &text, NULL), 0);
    assert_string_equal(text.at, "read committed off off");
}

static void test_cancelled_inside_of_a_savepoint(void **state)
{
    (void)state;
    struct sleeper s = { .inner = 0 };
    in_loop(cancel_it, &s);
    assert_int_equal(s.inner, PG_E_CANCELLED);
    assert_int_equal(s.outer, PG_E_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_isolation_and_modes),
        cmocka_unit_test(test_savepoints),
        cmocka_unit_test(test_savepoint_outside_of_a_transaction),
        cmocka_unit_test(test_cancelled_inside_of_a_savepoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
