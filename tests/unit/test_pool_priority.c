/* unit/test_pool_priority.c - leases of high priority: their place before all others, the connections that are kept for
 * them, and that nobody else suffers more from it than the header says. */
#define _GNU_SOURCE
#include "support/world.h"
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 12 };

static void acquire(struct world *w, struct held *h, uint32_t priority)
{
    held_init(h);
    h->lease.priority = priority;
    pg_pool_acquire(w->pool, &h->lease);
}
static void high(struct world *w, struct held *h) { acquire(w, h, PG_PRIORITY_HIGH); }
static void normal(struct world *w, struct held *h) { acquire(w, h, PG_PRIORITY_NORMAL); }

static bool is_held(const struct held *h) { return h->grants == 1 && h->status == 0; }
static void release_all(struct held *h, unsigned n)
{
    for (unsigned i = 0; i < n; i++) pg_lease_abandon(&h[i].lease);
}

/* ---- the order ---- */

static void high_ones_come_first_and_in_their_order(void **state)
{
    (void)state;
    struct world w;
    struct held holder, n[3], h[3], *const order[] = { &h[0], &h[1], &h[2], &n[0], &n[1], &n[2] };
    world_open(&w, "pool_max_conns=1");
    normal(&w, &holder);
    world_run(&w, 10 * WORLD_MS);
    for (int i = 0; i < 3; i++) normal(&w, &n[i]), high(&w, &h[i]);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(world_stats(&w).pending, 6);
    pg_lease_release(&holder.lease);
    for (int i = 0; i < 6; i++) {
        world_run(&w, 10 * WORLD_MS);
        assert_true(is_held(order[i]));
        for (int k = i + 1; k < 6; k++) assert_int_equal(order[k]->grants, 0);
        pg_lease_release(&order[i]->lease);
    }
    world_close(&w);
}

/* A connection that comes back is the high waiter's, whoever asks for it before the next turn. */
static void nobody_slips_in_between(void **state)
{
    (void)state;
    struct world w;
    struct held holder, h, trying;
    struct seen s;
    world_open(&w, "pool_max_conns=1");
    normal(&w, &holder);
    world_run(&w, 10 * WORLD_MS);
    high(&w, &h);
    world_run(&w, 10 * WORLD_MS);
    pg_lease_release(&holder.lease);
    held_init(&trying);
    assert_int_equal(pg_pool_try_acquire(w.pool, &trying.lease), PG_E_REFUSED);
    trying.lease.priority = PG_PRIORITY_HIGH;
    assert_int_equal(pg_pool_try_acquire(w.pool, &trying.lease), PG_E_REFUSED); /* behind the other high one */
    seen_init(&s, &world_echo, 1);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 10 * WORLD_MS);
    assert_true(is_held(&h));
    assert_int_equal(s.done, 0);
    pg_lease_release(&h.lease);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(s.status + (int)s.done, 1);
    world_close(&w);
}

/* Behind a normal lease that waits a high one may still try. */
static void trying_passes_by_normal_waiters(void **state)
{
    (void)state;
    struct world w;
    struct held n[4], h;
    world_open(&w, "pool_max_conns=3 pool_min_conns=3 pool_reserved_conns=1");
    world_run(&w, 10 * WORLD_MS);
    for (int i = 0; i < 3; i++) normal(&w, &n[i]);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(n[2].grants, 0);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    held_init(&n[3]);
    assert_int_equal(pg_pool_try_acquire(w.pool, &n[3].lease), PG_E_REFUSED);
    held_init(&h);
    h.lease.priority = PG_PRIORITY_HIGH;
    assert_int_equal(pg_pool_try_acquire(w.pool, &h.lease), 0);
    pg_lease_release(&h.lease);
    release_all(n, 3);
    world_close(&w);
}

/* ---- what is kept ---- */

static void normal_leases_leave_the_last_ones(void **state)
{
    (void)state;
    struct world w;
    struct held n[MOST], h[2];
    world_open(&w, "pool_max_conns=4 pool_reserved_conns=1");
    for (int i = 0; i < MOST; i++) normal(&w, &n[i]);
    world_run(&w, 50 * WORLD_MS);
    for (int i = 0; i < MOST; i++) assert_int_equal(n[i].grants, i < 3);
    assert_int_equal(world_stats(&w).total_conns, 3); /* nobody wants the fourth, so that it is not made */
    high(&w, &h[0]);
    world_run(&w, 10 * WORLD_MS);
    assert_true(is_held(&h[0]));
    assert_int_equal(model_stats(w.server)->connections_now, 4);
    high(&w, &h[1]); /* beyond what is kept: like anybody, but first */
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(h[1].grants, 0);
    pg_lease_release(&n[0].lease);
    world_run(&w, 10 * WORLD_MS);
    assert_true(is_held(&h[1]));
    assert_int_equal(n[3].grants, 0);
    pg_lease_release(&h[0].lease); /* the reserved one is taken by h[1], so that this one is anybody's */
    world_run(&w, 10 * WORLD_MS);
    assert_true(is_held(&n[3]));
    pg_lease_release(&h[1].lease); /* and this one is kept */
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(n[4].grants, 0);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    release_all(n, MOST);
    world_close(&w);
}

static void statements_leave_the_last_ones(void **state)
{
    (void)state;
    struct world w;
    struct seen s[MOST];
    struct held h;
    world_open(&w, "pool_max_conns=3 pool_reserved_conns=2 pool_max_pipeline=4");
    high(&w, &h); /* one of the two that are kept is made, and idle */
    world_run(&w, 10 * WORLD_MS);
    pg_lease_release(&h.lease);
    world_run(&w, 10 * WORLD_MS);
    for (int i = 0; i < MOST; i++) {
        seen_sql(&s[i], "SLEEP 20");
        pg_pool_query(w.pool, &s[i].query);
    }
    world_run(&w, 15 * WORLD_MS);
    assert_int_equal(world_stats(&w).shared_conns, 1);
    assert_int_equal(world_stats(&w).pending, MOST - 4);
    high(&w, &h); /* which is not made yet */
    world_run(&w, 5 * WORLD_MS);
    assert_true(is_held(&h));
    assert_int_equal(world_stats(&w).shared_conns, 1);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < MOST; i++) assert_int_equal(s[i].status + (int)s[i].done, 1);
    assert_int_equal(model_stats(w.server)->connections_max, 2);
    pg_lease_release(&h.lease);
    world_close(&w);
}

/* A normal lease must not wait for an idle connection that it may not have: one that is shared is drained for it. */
static void a_normal_lease_drains_beside_one_that_is_kept(void **state)
{
    (void)state;
    struct world w;
    struct seen s[2];
    struct held n;
    world_open(&w, "pool_max_conns=2 pool_min_conns=2 pool_reserved_conns=1");
    world_run(&w, 10 * WORLD_MS);
    seen_sql(&s[0], "SLEEP 20");
    pg_pool_query(w.pool, &s[0].query);
    normal(&w, &n);
    world_run(&w, 2 * WORLD_MS);
    seen_init(&s[1], &world_echo, 1);
    pg_pool_query(w.pool, &s[1].query); /* behind the lease */
    world_run(&w, 30 * WORLD_MS);
    assert_int_equal(s[0].status + (int)s[0].done, 1);
    assert_true(is_held(&n));
    assert_int_equal(s[1].done, 0);
    pg_lease_release(&n.lease);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(s[1].status + (int)s[1].done, 1);
    world_close(&w);
}

/* While it waits for a connection to run dry, statements go on on the others. */
static void a_high_lease_drains_one_and_holds_up_nobody(void **state)
{
    (void)state;
    struct world w;
    struct seen slow[2], s;
    struct held h;
    world_open(&w, "pool_max_conns=2 pool_min_conns=2");
    world_run(&w, 10 * WORLD_MS);
    for (int i = 0; i < 2; i++) {
        seen_sql(&slow[i], "SLEEP 50");
        pg_pool_query(w.pool, &slow[i].query);
    }
    world_run(&w, 5 * WORLD_MS);
    high(&w, &h);
    world_run(&w, 5 * WORLD_MS);
    seen_init(&s, &world_echo, 1);
    pg_pool_query(w.pool, &s.query);
    assert_int_equal(world_stats(&w).pending, 1); /* the lease alone */
    world_run(&w, 50 * WORLD_MS);
    assert_true(is_held(&h));
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s.status + (int)s.done, 1);
    pg_lease_release(&h.lease);
    world_close(&w);
}

/* While a connection is not gone its place is taken: then the idle one is the last that may be had. */
static void a_closing_connection_is_no_place_to_be_had(void **state)
{
    (void)state;
    struct world w;
    struct held n[2], h;
    world_open(&w, "pool_max_conns=2 pool_reserved_conns=1 pool_max_conn_lifetime=1s");
    model_settings(w.server)->exit_delay_ns = 200 * WORLD_MS;
    normal(&w, &n[0]);
    world_run(&w, 500 * WORLD_MS);
    high(&w, &h);
    world_run(&w, 10 * WORLD_MS);
    pg_lease_release(&h.lease);
    normal(&w, &n[1]);
    world_run(&w, 500 * WORLD_MS);
    pg_lease_release(&n[0].lease); /* its connection is too old */
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(world_stats(&w).total_conns, 2);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    assert_int_equal(n[1].grants, 0);
    world_run(&w, 120 * WORLD_MS);
    assert_true(is_held(&n[1]));
    pg_lease_release(&n[1].lease);
    world_close(&w);
}

/* ---- limits ---- */

static void a_full_queue_does_not_shut_administration_out(void **state)
{
    (void)state;
    struct world w;
    struct held n[4], h[4];
    world_open(&w, "pool_max_conns=1 pool_max_waiters=2");
    normal(&w, &n[0]);
    world_run(&w, 10 * WORLD_MS);
    for (int i = 1; i < 4; i++) normal(&w, &n[i]);
    for (int i = 0; i < 3; i++) high(&w, &h[i]);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(n[3].status, PG_E_REFUSED);
    assert_int_equal(h[0].grants + h[1].grants, 0);
    assert_int_equal(h[2].status, PG_E_REFUSED); /* theirs has a bound, too: the same */
    assert_int_equal(world_stats(&w).refused_count, 2);
    release_all(n, 3);
    world_run(&w, 10 * WORLD_MS);
    assert_true(is_held(&h[0]));
    release_all(h, 2);
    world_close(&w);
}

static void a_resize_keeps_all_but_one_at_the_most(void **state)
{
    (void)state;
    struct world w;
    struct held n[4];
    world_open(&w, "pool_max_conns=4 pool_reserved_conns=3");
    for (int i = 0; i < 4; i++) normal(&w, &n[i]);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(n[0].grants + n[1].grants, 1);
    pg_lease_release(&n[0].lease);
    assert_int_equal(pg_pool_resize(w.pool, 0, 1), 0); /* the only one serves everybody */
    world_run(&w, 10 * WORLD_MS);
    assert_true(is_held(&n[1]));
    assert_int_equal(pg_pool_resize(w.pool, 0, 3), 0); /* two of three are kept, so that there is no more for these */
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(n[2].grants, 0);
    assert_int_equal(pg_pool_resize(w.pool, 0, 5), 0); /* three of five, as it was said */
    world_run(&w, 10 * WORLD_MS);
    assert_true(is_held(&n[2]));
    assert_int_equal(n[3].grants, 0);
    release_all(n, 4);
    world_close(&w);
}

/* A server that is full for a while: what is kept does not keep the pool from finding its size again. */
static void what_is_kept_is_made_where_the_server_is_short(void **state)
{
    (void)state;
    struct world w;
    struct held n[5];
    world_open(&w, "pool_max_conns=4 pool_reserved_conns=1 pool_acquire_timeout=1h");
    model_settings(w.server)->max_connections = 2;
    for (int i = 0; i < 5; i++) normal(&w, &n[i]);
    world_run(&w, 5 * WORLD_SECOND);
    assert_true(is_held(&n[0]));
    model_settings(w.server)->max_connections = 100;
    world_run(&w, 60 * WORLD_SECOND);
    for (int i = 0; i < 5; i++) assert_int_equal(n[i].grants, i < 3);
    assert_int_equal(world_stats(&w).effective_max_conns, 4);
    release_all(n, 5);
    world_close(&w);
}

static void a_config_that_reserves_all_is_refused(void **state)
{
    (void)state;
    struct world w;
    struct pg_pool *pool;
    struct pg_error error;
    world_open(&w, "");
    struct pg_pool_config config = PG_POOL_CONFIG("host=127.0.0.1 user=app pool_max_conns=9 pool_reserved_conns=3");
    config.max_conns = 3;
    assert_int_equal(pg_pool_open(&pool, w.reactor, &config, &error), PG_E_CONFIG);
    assert_string_equal(pg_error_field(&error, 'M'), "pool_reserved_conns: 3 is not below pool_max_conns, 3");
    world_close(&w);
}

/* The string by itself would contradict itself: with 4 connections, its default. */
static void a_bound_of_the_struct_goes_before_that_of_the_string(void **state)
{
    (void)state;
    struct world w;
    struct pg_pool *pool;
    struct pg_error error;
    world_open(&w, "");
    struct pg_pool_config config = PG_POOL_CONFIG("host=127.0.0.1 user=app pool_min_conns=6 pool_reserved_conns=5");
    config.max_conns = 8;
    assert_int_equal(pg_pool_open(&pool, w.reactor, &config, &error), 0);
    config.min_conns = 9;
    assert_int_equal(pg_pool_open(&pool, w.reactor, &config, &error), PG_E_CONFIG);
    assert_string_equal(pg_error_field(&error, 'M'), "pool_min_conns: 9 is above pool_max_conns, 8");
    world_close(&w);
}

/* ---- the end ---- */

static void high_waiters_end_like_others(void **state)
{
    (void)state;
    struct world w;
    struct held holder, late, gone, h;
    world_open(&w, "pool_max_conns=1 pool_acquire_timeout=50ms");
    normal(&w, &holder);
    world_run(&w, 10 * WORLD_MS);
    high(&w, &late);
    high(&w, &gone);
    pg_lease_abandon(&gone.lease);
    world_run(&w, 60 * WORLD_MS);
    assert_int_equal(late.status, PG_E_TIMEOUT);
    assert_int_equal(gone.grants, 0);
    pg_pool_suspend(w.pool);
    high(&w, &h);
    pg_lease_release(&holder.lease);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(h.grants, 0);
    pg_pool_resume(w.pool);
    world_run(&w, 5 * WORLD_MS);
    assert_true(is_held(&h));
    high(&w, &late);
    high(&w, &gone);
    pg_pool_close(w.pool, pg_reactor_now(w.reactor) + 30 * WORLD_MS, NULL, NULL);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(late.grants, 0);
    pg_lease_release(&h.lease); /* it is drained: who waits is served */
    world_run(&w, 10 * WORLD_MS);
    assert_true(is_held(&late));
    world_run(&w, 30 * WORLD_MS);
    assert_int_equal(gone.status, PG_E_CLOSED);
    pg_lease_release(&late.lease);
    world_run(&w, 10 * WORLD_MS);
    w.pool = NULL; /* it has closed */
    world_close(&w);
}

/* A wrong password ends high waiters, too, at once. */
static void a_permanent_failure_ends_them(void **state)
{
    (void)state;
    struct world w;
    struct held h, n;
    struct sim_config sim = { .seed = 1, .latency_max_ns = 100000 };
    struct model_config server = { .auth = MODEL_SCRAM, .user = "app", .password = "right" };
    world_open_with(&w, &sim, &server, "password=wrong pool_acquire_timeout=1h");
    high(&w, &h);
    normal(&w, &n);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(h.status, PG_E_UNAVAILABLE);
    assert_int_equal(n.status, PG_E_UNAVAILABLE);
    world_close(&w);
}

/* The connection under a high lease dies: it is nobody's any more, and is made anew for the next one. */
static void a_lost_high_connection_is_replaced(void **state)
{
    (void)state;
    struct world w;
    struct held n[2], h[2];
    world_open(&w, "pool_max_conns=2 pool_reserved_conns=1");
    normal(&w, &n[0]);
    high(&w, &h[0]);
    world_run(&w, 10 * WORLD_MS);
    assert_true(is_held(&n[0]) && is_held(&h[0]));
    normal(&w, &n[1]);
    model_conn_end(model_conn_at(w.server, 0), MODEL_END_RESET, NULL); /* the high one's: it came first */
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(pg_lease_transaction(&h[0].lease), 0);
    assert_int_equal(n[1].grants, 0);
    high(&w, &h[1]);
    world_run(&w, 10 * WORLD_MS);
    assert_true(is_held(&h[1]));
    assert_int_equal(n[1].grants, 0);
    release_all(h, 2);
    release_all(n, 2);
    world_close(&w);
}

static void a_priority_that_there_is_not_asserts(void **state)
{
    (void)state;
    struct world w;
    int status = 0;
    world_open(&w, "");
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        struct held h;
        close(2);
        acquire(&w, &h, PG_PRIORITY_HIGH + 1);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(high_ones_come_first_and_in_their_order),
        cmocka_unit_test(nobody_slips_in_between),
        cmocka_unit_test(trying_passes_by_normal_waiters),
        cmocka_unit_test(normal_leases_leave_the_last_ones),
        cmocka_unit_test(statements_leave_the_last_ones),
        cmocka_unit_test(a_normal_lease_drains_beside_one_that_is_kept),
        cmocka_unit_test(a_high_lease_drains_one_and_holds_up_nobody),
        cmocka_unit_test(a_closing_connection_is_no_place_to_be_had),
        cmocka_unit_test(a_full_queue_does_not_shut_administration_out),
        cmocka_unit_test(a_resize_keeps_all_but_one_at_the_most),
        cmocka_unit_test(what_is_kept_is_made_where_the_server_is_short),
        cmocka_unit_test(a_config_that_reserves_all_is_refused),
        cmocka_unit_test(a_bound_of_the_struct_goes_before_that_of_the_string),
        cmocka_unit_test(high_waiters_end_like_others),
        cmocka_unit_test(a_permanent_failure_ends_them),
        cmocka_unit_test(a_lost_high_connection_is_replaced),
        cmocka_unit_test(a_priority_that_there_is_not_asserts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
