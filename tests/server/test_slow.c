/* server/test_slow.c - slow statements among fast ones on PostgreSQL: whoever asks for something short is not held up
 * by those that sleep, whether these were declared to be slow or are found out to be. On io_uring, where it can be had,
 * else on epoll. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "support/live.h"

enum { SLEEPERS = 6, ASKERS = 4, ENOUGH = 400 };

static struct live live;
static struct pg_pool *pool;
static struct pg_statement brief = PG_STATEMENT("SELECT 1");
static struct pg_statement declared = { .sql = "SELECT pg_sleep(0.2)", .flags = PG_STATEMENT_SLOW };
static struct pg_statement tardy = PG_STATEMENT("SELECT pg_sleep(0.2) WHERE true");
static struct pg_query sleeper[SLEEPERS], asker[ASKERS];
static unsigned slept, answered, solo_most;

static void woke(struct pg_query *q)
{
    assert_int_equal(q->status, 0);
    slept++;
    if (answered < ENOUGH) pg_pool_query(pool, q);
}
static void replied(struct pg_query *q)
{
    struct pg_pool_stats s = { .size = sizeof s };
    assert_int_equal(q->status, 0);
    pg_pool_stats(pool, &s);
    if (s.solo_conns > solo_most) solo_most = s.solo_conns;
    if (++answered < ENOUGH) pg_pool_query(pool, q);
}
static bool enough(void *arg) { return (void)arg, answered >= ENOUGH; }
static bool at_rest(void *arg)
{
    struct pg_pool_stats s = { .size = sizeof s };
    (void)arg;
    pg_pool_stats(pool, &s);
    return s.pending == 0 && s.shared_conns == 0;
}

/* Six at a time sleep, of whom three can; meanwhile the others are asked by hundreds. Held up by each sleep, four of
 * them at a time, these would take 20 s. */
static void sleepers_beside_askers(struct pg_statement *slow, const char *options)
{
    uint64_t began_ns;
    slept = answered = solo_most = 0;
    if (!live_open(&live, LIVE_URING)) assert_true(live_open(&live, LIVE_EPOLL));
    pool = live_pool(&live, live_env("DATABASE_URL"), options);
    for (int i = 0; i < 20; i++) { /* what both take is known then */
        struct pg_query q = { .statement = i % 4 ? &brief : slow };
        assert_int_equal(live_query(&live, pool, NULL, &q), 0);
    }
    began_ns = pg_reactor_now(live.reactor);
    for (int i = 0; i < SLEEPERS; i++) {
        sleeper[i] = (struct pg_query){ .statement = slow, .on_done = woke };
        pg_pool_query(pool, &sleeper[i]);
    }
    for (int i = 0; i < ASKERS; i++) {
        asker[i] = (struct pg_query){ .statement = &brief, .on_done = replied };
        pg_pool_query(pool, &asker[i]);
    }
    assert_true(live_until(&live, enough, NULL));
    uint64_t took_ns = pg_reactor_now(live.reactor) - began_ns;
    assert_true(took_ns < 5000000000u);
    assert_in_range(solo_most, 1, 3);
    assert_true(live_until(&live, at_rest, NULL));
    assert_true(slept >= SLEEPERS);
    live_close(&live);
}

static void declared_ones(void **state)
{
    (void)state;
    sleepers_beside_askers(&declared, "pool_max_conns=4 pool_min_conns=4 pool_slow_statement=0");
}
static void those_found_out(void **state)
{
    (void)state;
    sleepers_beside_askers(&tardy, "pool_max_conns=4 pool_min_conns=4 pool_slow_statement=20ms");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(declared_ones), cmocka_unit_test(those_found_out) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
