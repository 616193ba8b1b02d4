/* server/test_cancel.c - cancel requests to a real PostgreSQL, on both hosts: the statement stops, the connection
 * stays, and nobody else is hit. No test here depends on how fast anything is: the statements would run far longer than
 * the time that a test has. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "support/live.h"

static struct live live;
static struct pg_pool *pool;

static const char options[] = "pool_max_conns=1 pool_close_linger=20s";
static int open_uring(void **state)
{
    (void)state;
    if (!live_open(&live, LIVE_URING)) return -1;
    pool = live_pool(&live, NULL, options);
    return 0;
}
static int open_epoll(void **state)
{
    (void)state;
    live_open(&live, LIVE_EPOLL);
    pool = live_pool(&live, live_env("RINGPG_TEST_TCP_URL"), options);
    return 0;
}
static int close_live(void **state)
{
    (void)state;
    live_close(&live);
    return 0;
}

static enum pg_flow take_int4(struct pg_query *q, struct pg_row *row)
{
    *(int32_t *)q->data = pg_row_int4(row, 0);
    return PG_CONTINUE;
}
static int32_t backend(struct pg_lease *lease)
{
    int32_t pid = 0;
    struct pg_query q = { .sql = "SELECT pg_backend_pid()", .on_row = take_int4, .data = &pid };
    assert_int_equal(live_query(&live, lease ? NULL : pool, lease, &q), 0);
    return pid;
}

struct outcome { unsigned done; int status; };
static void note(struct pg_query *q)
{
    struct outcome *o = q->data;
    o->done++;
    o->status = q->status;
}
static bool is_done(void *arg) { return ((struct outcome *)arg)->done > 0; }

static void run_for(uint64_t ns)
{
    uint64_t end = pg_reactor_now(live.reactor) + ns;
    while (pg_reactor_now(live.reactor) < end) live_step(&live);
}

static void a_timeout_stops_the_statement(void **state)
{
    (void)state;
    int32_t pid = backend(NULL);
    uint64_t start = pg_reactor_now(live.reactor);
    struct pg_query slow = { .sql = "SELECT pg_sleep(600)", .deadline_ns = start + 100000000 };
    assert_int_equal(live_query(&live, pool, NULL, &slow), PG_E_TIMEOUT);
    assert_int_equal(slow.sent, PG_SENT_MAYBE);
    assert_int_equal(backend(NULL), pid); /* the same connection, long before the statement's end */
    assert_true(pg_reactor_now(live.reactor) - start < 15000000000ull);
}

static void a_lease_is_told_and_rolls_back(void **state)
{
    (void)state;
    struct pg_lease lease = { .tag = PG_HERE };
    struct outcome o = { 0 };
    struct pg_query begin = { .statement = &pg_begin }, rollback = { .statement = &pg_rollback };
    struct pg_query slow = { .sql = "SELECT pg_sleep(600)", .on_done = note, .data = &o };
    assert_int_equal(live_acquire(&live, pool, &lease), 0);
    int32_t pid = backend(&lease);
    assert_int_equal(live_query(&live, NULL, &lease, &begin), 0);
    pg_lease_query(&lease, &slow);
    run_for(50000000);
    pg_query_cancel(&slow);
    assert_true(live_until(&live, is_done, &o));
    assert_int_equal(o.status, PG_E_CANCELLED);
    assert_string_equal(slow.sqlstate, "57014");
    assert_int_equal(slow.sent, PG_SENT_YES);
    assert_int_equal(pg_lease_transaction(&lease), 'E');
    assert_int_equal(live_query(&live, NULL, &lease, &rollback), 0);
    assert_int_equal(backend(&lease), pid);
    pg_lease_release(&lease);
}

static void an_abandoned_lease_leaves_its_connection(void **state)
{
    (void)state;
    struct pg_lease gone = { .tag = PG_HERE }, next = { .tag = PG_HERE };
    struct outcome o = { 0 };
    struct pg_query begin = { .statement = &pg_begin };
    struct pg_query slow = { .sql = "SELECT pg_sleep(600)", .on_done = note, .data = &o };
    assert_int_equal(live_acquire(&live, pool, &gone), 0);
    int32_t pid = backend(&gone);
    assert_int_equal(live_query(&live, NULL, &gone, &begin), 0);
    pg_lease_query(&gone, &slow);
    run_for(50000000);
    pg_lease_abandon(&gone);
    assert_int_equal(live_acquire(&live, pool, &next), 0);
    assert_int_equal(pg_lease_transaction(&next), 'I');
    assert_int_equal(backend(&next), pid);
    assert_int_equal(o.done, 0);
    pg_lease_release(&next);
}

/* Requests that arrive about when their statement ends: whatever they hit, it is never the next one. */
static void the_next_one_is_never_hit(void **state)
{
    (void)state;
    int32_t pid = backend(NULL);
    unsigned hits = 0;
    for (unsigned i = 0; i < 300; i++) {
        struct outcome o = { 0 };
        struct pg_query brief = { .sql = "SELECT pg_sleep(0.0005)", .on_done = note, .data = &o };
        struct pg_query next = { .sql = "SELECT pg_sleep(0.001)" };
        pg_pool_query(pool, &brief);
        for (unsigned turn = 0; turn < i % 4; turn++) (void)!pg_reactor_turn(live.reactor);
        if (i % 4 == 3) run_for((i % 13) * 100000);
        pg_query_cancel(&brief);
        assert_int_equal(live_query(&live, pool, NULL, &next), 0);
        assert_true(live_until(&live, is_done, &o));
        assert_true(o.status == 0 || o.status == PG_E_CANCELLED);
        hits += o.status != 0;
    }
    print_message("%u of 300 were stopped\n", hits);
    assert_int_equal(backend(NULL), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timeout_stops_the_statement),
        cmocka_unit_test(a_lease_is_told_and_rolls_back),
        cmocka_unit_test(an_abandoned_lease_leaves_its_connection),
        cmocka_unit_test(the_next_one_is_never_hit),
    };
    int failed = cmocka_run_group_tests_name("uring, Unix socket", tests, open_uring, close_live);
    return failed + cmocka_run_group_tests_name("epoll, TCP", tests, open_epoll, close_live);
}
