/* unit/test_pool_life.c - how long connections live, how many are kept, and when the first of them stand: lifetimes,
 * idle time, the minima, warm-up. Simulated host, virtual time. */
#include "support/world.h"
#include <string.h>

static struct pg_pool_stats at(struct world *w, uint64_t ns)
{
    uint64_t now = sim_now(w->sim);
    if (ns > now) world_run(w, ns - now);
    return world_stats(w);
}

/* As many connections as leases, all of them idle afterwards. */
static void make(struct world *w, int n)
{
    struct held h[16];
    for (int i = 0; i < n; i++) held_init(&h[i]), pg_pool_acquire(w->pool, &h[i].lease);
    world_run(w, WORLD_SECOND / 10);
    for (int i = 0; i < n; i++) {
        assert_int_equal(h[i].status, 0);
        assert_int_equal(h[i].grants, 1);
        pg_lease_release(&h[i].lease);
    }
    assert_int_equal(world_stats(w).idle_conns, n);
}

static int ask(struct world *w)
{
    struct seen s;
    seen_init(&s, &world_echo, 5);
    pg_pool_query(w->pool, &s.query);
    world_run(w, WORLD_SECOND / 10);
    assert_int_equal(s.done, 1);
    return s.status;
}

/* ---- lifetimes ---- */

static void old_connections_are_replaced(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "pool_max_conns=4 pool_min_conns=2 pool_max_conn_lifetime=10s");
    uint64_t start = sim_now(w.sim);
    assert_int_equal(at(&w, start + 9 * WORLD_SECOND).new_conns_count, 2);
    struct pg_pool_stats s = at(&w, start + 11 * WORLD_SECOND);
    assert_int_equal(s.new_conns_count, 4);
    assert_int_equal(s.max_lifetime_destroy_count, 2);
    assert_int_equal(s.idle_conns, 2); /* the minimum is there again */
    assert_int_equal(s.lost_conns_count + s.max_idle_destroy_count, 0);
    assert_int_equal(w.events[PG_EVENT_LOST], 0);
    assert_int_equal(model_stats(w.server)->terminates, 2); /* they were told goodbye */
    s = at(&w, start + 101 * WORLD_SECOND);
    assert_in_range(s.max_lifetime_destroy_count, 18, 20);
    world_close(&w);
}

static void without_a_lifetime_they_stay(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "pool_max_conns=2 pool_max_conn_lifetime=0 pool_max_conn_idle_time=0");
    make(&w, 2);
    assert_int_equal(sim_run(w.sim, w.reactor, 100000 * WORLD_SECOND), SIM_IDLE); /* and nothing wakes the reactor */
    assert_int_equal(world_stats(&w).idle_conns, 2);
    assert_int_equal(world_stats(&w).new_conns_count, 2);
    world_close(&w);
}

static void the_defaults_close_after_half_an_hour_and_an_hour(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "pool_max_conns=2 pool_min_conns=1");
    make(&w, 2);
    uint64_t start = sim_now(w.sim);
    assert_int_equal(at(&w, start + 1790 * WORLD_SECOND).total_conns, 2);
    struct pg_pool_stats s = at(&w, start + 1900 * WORLD_SECOND);
    assert_int_equal(s.total_conns, 1);
    assert_int_equal(s.max_idle_destroy_count, 1);
    s = at(&w, start + 3610 * WORLD_SECOND);
    assert_int_equal(s.max_lifetime_destroy_count, 1);
    assert_int_equal(s.total_conns, 1);
    assert_int_equal(s.new_conns_count, 3);
    world_close(&w);
}

/* Sixteen that were made together do not go together. */
static void jitter_spreads_the_ends(void **state)
{
    (void)state;
    enum { N = 16 };
    struct world w;
    world_open(&w, "pool_max_conns=16 pool_connecting_limit=16 pool_min_conns=0 pool_max_conn_lifetime=10s "
                   "pool_max_conn_lifetime_jitter=10s");
    make(&w, N);
    uint64_t start = sim_now(w.sim), before = 0;
    unsigned spread = 0;
    assert_int_equal(at(&w, start + 9800ull * WORLD_MS).max_lifetime_destroy_count, 0);
    for (int second = 10; second <= 20; second++) {
        uint64_t now = at(&w, start + (uint64_t)second * WORLD_SECOND).max_lifetime_destroy_count;
        assert_true(now - before <= N / 2);
        spread += now > before;
        before = now;
    }
    assert_true(spread >= 5);
    assert_int_equal(before, N);
    assert_int_equal(world_stats(&w).total_conns, 0);
    world_close(&w);
}

/* A lease outlives its connection's lifetime; what is made in its place goes to the oldest waiter (failures 56). */
static void an_expiry_at_release_serves_the_oldest(void **state)
{
    (void)state;
    struct world w;
    struct held holder, first, second;
    struct seen s;
    world_open(&w, "pool_max_conns=1 pool_max_conn_lifetime=1s");
    held_init(&holder);
    held_init(&first);
    held_init(&second);
    pg_pool_acquire(w.pool, &holder.lease);
    world_run(&w, 2 * WORLD_SECOND);
    pg_pool_acquire(w.pool, &first.lease);
    pg_pool_acquire(w.pool, &second.lease);
    seen_init(&s, &world_echo, 7);
    pg_lease_query(&holder.lease, &s.query); /* too old, and not disturbed */
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s.done + (unsigned)s.value, 8);
    assert_int_equal(model_stats(w.server)->connections_total, 1);
    pg_lease_release(&holder.lease);
    assert_int_equal(world_stats(&w).idle_conns, 0);
    assert_int_equal(world_stats(&w).max_lifetime_destroy_count, 1);
    world_run(&w, WORLD_SECOND / 10);
    assert_int_equal(model_stats(w.server)->connections_total, 2);
    assert_int_equal(first.grants, 1);
    assert_int_equal(first.status, 0);
    assert_int_equal(second.grants, 0);
    pg_lease_release(&first.lease); /* young: it goes on to the next as it is */
    world_run(&w, WORLD_SECOND / 10);
    assert_int_equal(second.grants, 1);
    assert_int_equal(model_stats(w.server)->connections_total, 2);
    assert_int_equal(model_stats(w.server)->connections_max, 1);
    pg_lease_release(&second.lease);
    world_close(&w);
}

/* Statement behind statement, so that the connection is never idle: it retires nevertheless, and nobody notices. */
static struct { struct world w; struct pg_query query[4]; unsigned outcomes, failures; bool over; } busy;
static void once_more(struct pg_query *q)
{
    busy.outcomes++;
    busy.failures += q->status != 0;
    if (!busy.over) pg_pool_query(busy.w.pool, q);
}
static void a_busy_shared_connection_retires(void **state)
{
    (void)state;
    memset(&busy, 0, sizeof busy);
    world_open(&busy.w, "pool_max_conns=1 pool_max_conn_lifetime=100ms");
    for (int i = 0; i < 4; i++) {
        busy.query[i] = (struct pg_query){ .sql = "SLEEP 3", .on_done = once_more };
        pg_pool_query(busy.w.pool, &busy.query[i]);
        world_run(&busy.w, WORLD_MS);
    }
    world_run(&busy.w, 2 * WORLD_SECOND);
    busy.over = true;
    world_run(&busy.w, WORLD_SECOND);
    assert_int_equal(busy.failures, 0);
    assert_true(busy.outcomes > 400);
    assert_in_range(world_stats(&busy.w).max_lifetime_destroy_count, 15, 30);
    assert_int_equal(model_stats(busy.w.server)->connections_max, 1);
    world_close(&busy.w);
}

/* ---- idle time and the minima ---- */

static void idle_ones_are_closed_down_to_the_minimum(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "pool_max_conns=4 pool_min_conns=1 pool_max_conn_idle_time=30s pool_health_check_period=10s");
    make(&w, 4);
    uint64_t start = sim_now(w.sim);
    for (int second = 5; second <= 25; second += 5) { /* the one that was used last is used again, and stays */
        (void)at(&w, start + (uint64_t)second * WORLD_SECOND);
        assert_int_equal(ask(&w), 0);
    }
    assert_int_equal(at(&w, start + 29 * WORLD_SECOND).total_conns, 4);
    struct pg_pool_stats s = at(&w, start + 41 * WORLD_SECOND);
    assert_int_equal(s.total_conns, 1);
    assert_int_equal(s.max_idle_destroy_count, 3);
    s = at(&w, start + 1000 * WORLD_SECOND);
    assert_int_equal(s.total_conns, 1);
    assert_int_equal(s.new_conns_count, 4); /* closed and made again it was not */
    world_close(&w);
}

static void idle_time_is_looked_at_once_a_period(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "pool_max_conns=3 pool_max_conn_idle_time=1s pool_health_check_period=1m");
    make(&w, 3);
    uint64_t start = sim_now(w.sim);
    assert_int_equal(at(&w, start + 59 * WORLD_SECOND).total_conns, 3);
    assert_int_equal(at(&w, start + 61 * WORLD_SECOND).total_conns, 0);
    assert_int_equal(sim_run(w.sim, w.reactor, 1000 * WORLD_SECOND), SIM_IDLE);
    assert_int_equal(ask(&w), 0);
    world_close(&w);
}

static void a_minimum_of_idle_ones_is_kept(void **state)
{
    (void)state;
    struct world w;
    struct held h[4];
    world_open(&w, "pool_max_conns=5 pool_min_idle_conns=2 pool_max_conn_idle_time=1s pool_health_check_period=1s");
    world_run(&w, WORLD_SECOND / 10);
    assert_int_equal(world_stats(&w).idle_conns, 2);
    for (int i = 0; i < 4; i++) {
        static const uint32_t idle[] = { 2, 2, 2, 1 };
        held_init(&h[i]);
        pg_pool_acquire(w.pool, &h[i].lease);
        world_run(&w, WORLD_SECOND / 10);
        assert_int_equal(h[i].grants, 1);
        assert_int_equal(world_stats(&w).idle_conns, idle[i]); /* of five at the most */
    }
    assert_int_equal(world_stats(&w).total_conns, 5);
    for (int i = 0; i < 4; i++) pg_lease_release(&h[i].lease);
    assert_int_equal(world_stats(&w).idle_conns, 5);
    world_run(&w, 10 * WORLD_SECOND);
    assert_int_equal(world_stats(&w).idle_conns, 2);
    assert_int_equal(world_stats(&w).max_idle_destroy_count, 3);
    assert_int_equal(model_stats(w.server)->connections_max, 5);
    model_conn_end(model_conn_at(w.server, 0), MODEL_END_RESET, NULL);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(world_stats(&w).idle_conns, 2);
    world_close(&w);
}

/* ---- what is told of it ---- */

static void assert_retired(struct world *w, unsigned times, const char *reason)
{
    assert_int_equal(w->events[PG_EVENT_RETIRED], 0); /* not inside of a call */
    world_run(w, WORLD_SECOND / 100);
    assert_int_equal(w->events[PG_EVENT_RETIRED], times);
    assert_int_equal(w->events[PG_EVENT_LOST], 0);
    if (times) {
        assert_int_equal(w->last_event.kind, PG_EVENT_RETIRED);
        assert_int_equal(w->event_error.code, PG_E_CLOSED);
        if (!strstr(pg_error_field(&w->event_error, 'M'), reason))
            fail_msg("not for %s: %s", reason, pg_error_field(&w->event_error, 'M'));
    }
    w->events[PG_EVENT_RETIRED] = 0;
}

static void a_retirement_is_told_with_its_reason(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    world_open(&w, "pool_max_conns=3 pool_max_conn_lifetime=1h pool_max_conn_idle_time=10m");
    make(&w, 3);
    assert_int_equal(pg_pool_resize(w.pool, 0, 2), 0);
    assert_retired(&w, 1, "made smaller");
    held_init(&h);
    assert_int_equal(pg_pool_try_acquire(w.pool, &h.lease), 0);
    pg_pool_reset(w.pool);
    assert_retired(&w, 1, "reset");
    pg_lease_release(&h.lease); /* it goes inside of this call, and that is told afterwards */
    assert_retired(&w, 1, "reset");
    make(&w, 1);
    sim_run(w.sim, w.reactor, 700 * WORLD_SECOND);
    w.last_event.kind = PG_EVENT_CONNECTED;
    assert_int_equal(w.events[PG_EVENT_RETIRED], 1);
    assert_non_null(strstr(pg_error_field(&w.event_error, 'M'), "pool_max_conn_idle_time"));
    w.events[PG_EVENT_RETIRED] = 0;
    make(&w, 1);
    assert_int_equal(pg_pool_try_acquire(w.pool, &h.lease), 0);
    world_run(&w, 3700 * WORLD_SECOND);
    pg_lease_release(&h.lease);
    assert_retired(&w, 1, "pool_max_conn_lifetime");
    make(&w, 2);
    model_conn_end(model_conn_at(w.server, model_conn_count(w.server) - 1), MODEL_END_FATAL, "57P01");
    world_run(&w, WORLD_SECOND);
    assert_int_equal(w.events[PG_EVENT_LOST], 1); /* that one was not healthy */
    w.events[PG_EVENT_LOST] = 0;
    assert_int_equal(world_stats(&w).retired_count, 5);
    pg_pool_close(w.pool, 0, NULL, NULL); /* and this is no retirement */
    assert_retired(&w, 0, NULL);
    w.pool = NULL;
    world_close(&w);
}

/* ---- warm-up ---- */

struct warm { unsigned told; int status; uint64_t at_ns; struct world *world; struct pg_pool_stats stats; };
static void on_warm(void *arg, int status)
{
    struct warm *m = arg;
    m->told++;
    m->status = status;
    m->at_ns = sim_now(m->world->sim);
    m->stats = world_stats(m->world);
}

static void warm_when_the_minimum_stands(void **state)
{
    (void)state;
    struct world w;
    struct warm one = { .world = &w }, two = { .world = &w }, late = { .world = &w };
    world_open(&w, "pool_max_conns=5 pool_min_conns=3 pool_connecting_limit=1");
    assert_int_equal(pg_pool_warm(w.pool, PG_NEVER, on_warm, &one), 0);
    assert_int_equal(pg_pool_warm(w.pool, 0, on_warm, &two), 0);
    assert_int_equal(pg_pool_warm(w.pool, 0, NULL, NULL), 0); /* in the background */
    assert_int_equal(one.told, 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(one.told, 1);
    assert_int_equal(one.status, 0);
    assert_int_equal(one.stats.idle_conns, 3);
    assert_int_equal(two.told, 1);
    assert_int_equal(two.status, 0);
    assert_int_equal(pg_pool_warm(w.pool, 0, on_warm, &late), 0); /* warm already, and still not inside the call */
    assert_int_equal(late.told, 0);
    world_run(&w, WORLD_MS);
    assert_int_equal(late.told, 1);
    assert_int_equal(late.status, 0);
    world_close(&w);
}

static void warm_says_why_not(void **state)
{
    (void)state;
    struct world w;
    struct warm silent = { .world = &w }, refused = { .world = &w }, closed = { .world = &w };
    world_open(&w, "pool_max_conns=2 pool_min_conns=2 pool_acquire_timeout=3s");
    model_server_connects(w.server, SIM_HANG);
    uint64_t start = sim_now(w.sim);
    assert_int_equal(pg_pool_warm(w.pool, start + WORLD_SECOND, on_warm, &silent), 0);
    world_run(&w, 2 * WORLD_SECOND);
    assert_int_equal(silent.told, 1);
    assert_int_equal(silent.status, PG_E_TIMEOUT);
    assert_in_range(silent.at_ns - start, WORLD_SECOND, WORLD_SECOND + 5 * WORLD_MS);
    model_server_connects(w.server, SIM_REFUSE);
    world_run(&w, 60 * WORLD_SECOND); /* the hanging ones give up */
    start = sim_now(w.sim);
    assert_int_equal(pg_pool_warm(w.pool, 0, on_warm, &refused), 0);
    world_run(&w, 4 * WORLD_SECOND);
    assert_int_equal(refused.told, 1);
    assert_int_equal(refused.status, PG_E_UNAVAILABLE);
    assert_in_range(refused.at_ns - start, 3 * WORLD_SECOND, 3 * WORLD_SECOND + 5 * WORLD_MS); /* the acquire's */
    assert_int_equal(pg_pool_warm(w.pool, PG_NEVER, on_warm, &closed), 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(closed.told, 0);
    pg_pool_close(w.pool, sim_now(w.sim) + WORLD_SECOND, NULL, NULL);
    assert_int_equal(closed.told, 0);
    assert_int_equal(pg_pool_warm(w.pool, PG_NEVER, on_warm, &silent), PG_E_CLOSED);
    world_run(&w, 3 * WORLD_SECOND);
    assert_int_equal(closed.told, 1);
    assert_int_equal(closed.status, PG_E_CLOSED);
    assert_int_equal(silent.told, 1);
    w.pool = NULL;
    world_close(&w);
}

static void warm_fails_at_once_with_a_wrong_password(void **state)
{
    (void)state;
    struct world w;
    struct warm m = { .world = &w };
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
    struct model_config server = { .auth = MODEL_MD5, .password = "right" };
    world_open_with(&w, &sim, &server, "pool_min_conns=1 password=wrong");
    assert_int_equal(pg_pool_warm(w.pool, PG_NEVER, on_warm, &m), 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(m.told, 1);
    assert_int_equal(m.status, PG_E_UNAVAILABLE);
    assert_string_equal(w.event_error.sqlstate, "28P01");
    world_close(&w);
}

static void warm_without_a_timeout_waits(void **state)
{
    (void)state;
    struct world w;
    struct warm m = { .world = &w };
    world_open(&w, "pool_min_conns=1 pool_acquire_timeout=0");
    model_server_connects(w.server, SIM_REFUSE);
    assert_int_equal(pg_pool_warm(w.pool, 0, on_warm, &m), 0);
    world_run(&w, 60 * WORLD_SECOND);
    assert_int_equal(m.told, 0);
    model_server_connects(w.server, SIM_ACCEPT);
    world_run(&w, 10 * WORLD_SECOND);
    assert_int_equal(m.told, 1);
    assert_int_equal(m.status, 0);
    world_close(&w);
}

/* Also where nobody had to wait: another one is made for the one that was taken. */
static void idle_ones_are_replaced_when_they_are_taken(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct seen s;
    world_open(&w, "pool_max_conns=4 pool_min_idle_conns=1");
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    held_init(&h);
    assert_int_equal(pg_pool_try_acquire(w.pool, &h.lease), 0);
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    seen_sql(&s, "SLEEP 500");
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(s.done, 0);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    pg_lease_release(&h.lease);
    world_run(&w, WORLD_SECOND);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_connections_are_replaced),
        cmocka_unit_test(without_a_lifetime_they_stay),
        cmocka_unit_test(the_defaults_close_after_half_an_hour_and_an_hour),
        cmocka_unit_test(jitter_spreads_the_ends),
        cmocka_unit_test(an_expiry_at_release_serves_the_oldest),
        cmocka_unit_test(a_busy_shared_connection_retires),
        cmocka_unit_test(idle_ones_are_closed_down_to_the_minimum),
        cmocka_unit_test(idle_time_is_looked_at_once_a_period),
        cmocka_unit_test(a_minimum_of_idle_ones_is_kept),
        cmocka_unit_test(idle_ones_are_replaced_when_they_are_taken),
        cmocka_unit_test(a_retirement_is_told_with_its_reason),
        cmocka_unit_test(warm_when_the_minimum_stands),
        cmocka_unit_test(warm_says_why_not),
        cmocka_unit_test(warm_fails_at_once_with_a_wrong_password),
        cmocka_unit_test(warm_without_a_timeout_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
