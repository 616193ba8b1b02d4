/* unit/test_pool_resize.c - an operator at a pool that is at work: other bounds, a new generation, a pause. Whoever
 * waits keeps place and deadline, whoever runs is not disturbed, and the server never sees more connections than it
 * may. Simulated host, virtual time. */
#include "support/world.h"
#include <stdio.h>
#include <string.h>

enum { MANY = 40 };

static void acquire(struct world *w, struct held *h)
{
    held_init(h);
    pg_pool_acquire(w->pool, &h->lease);
}
static void ask(struct world *w, struct seen *s, int64_t value)
{
    seen_init(s, &world_echo, value);
    pg_pool_query(w->pool, &s->query);
}
static void sleep_shared(struct world *w, struct seen *s, const char *sql)
{
    seen_sql(s, sql);
    pg_pool_query(w->pool, &s->query);
}
static unsigned alive(struct world *w, size_t first, size_t end)
{
    unsigned n = 0;
    for (size_t i = first; i < end; i++) n += model_conn_alive(model_conn_at(w->server, i));
    return n;
}
static const unsigned SOON = 20 * WORLD_MS;

/* ---- resize ---- */

static void growing_grants_at_once(void **state)
{
    (void)state;
    struct world w;
    struct held h[4];
    world_open(&w, "pool_max_conns=1");
    for (int i = 0; i < 4; i++) acquire(&w, &h[i]);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(h[0].grants, 1);
    assert_int_equal(h[1].grants, 0);
    assert_int_equal(pg_pool_resize(w.pool, 0, 3), 0);
    assert_int_equal(h[1].grants, 0); /* not inside the call */
    world_run(&w, 2 * WORLD_MS);
    assert_int_equal(h[1].grants + h[2].grants, 2);
    assert_int_equal(h[3].grants, 0);
    assert_int_equal(world_stats(&w).max_conns, 3);
    assert_int_equal(model_stats(w.server)->connections_max, 3);
    for (int i = 0; i < 3; i++) pg_lease_release(&h[i].lease);
    world_run(&w, SOON);
    assert_int_equal(h[3].status + (int)h[3].grants, 1);
    pg_lease_release(&h[3].lease);
    assert_int_equal(model_stats(w.server)->connections_max, 3);
    world_close(&w);
}

/* Slots are where they were: what is out when the pool grows goes on. */
static void growing_one_by_one_moves_nothing(void **state)
{
    (void)state;
    struct world w;
    struct held h[MANY];
    struct seen slow[MANY];
    world_open(&w, "pool_max_conns=1");
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(pg_pool_resize(w.pool, 0, i + 1), 0);
        acquire(&w, &h[i]);
        world_run(&w, WORLD_MS);
        assert_int_equal(h[i].grants, 1);
        seen_sql(&slow[i], "SLEEP 20");
        pg_lease_query(&h[i].lease, &slow[i].query); /* in flight while the next ones are made */
    }
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(slow[i].done, 1);
        assert_int_equal(slow[i].status, 0);
        pg_lease_release(&h[i].lease);
    }
    assert_int_equal(model_stats(w.server)->connections_total, MANY);
    assert_int_equal(pg_pool_resize(w.pool, 0, 1), 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(model_stats(w.server)->connections_now, 1);
    assert_int_equal(pg_pool_resize(w.pool, MANY, MANY), 0); /* in the places that are there */
    world_run(&w, WORLD_SECOND);
    assert_int_equal(world_stats(&w).idle_conns, MANY);
    assert_int_equal(model_stats(w.server)->connections_max, MANY);
    world_close(&w);
}

/* Idle ones first and at once, then shared ones when they have run dry, leased ones when they are returned. */
static void shrinking_takes_what_is_missed_least(void **state)
{
    (void)state;
    struct world w;
    struct held lease, other[3];
    struct seen slow, behind;
    world_open(&w, "pool_max_conns=4");
    acquire(&w, &lease);
    for (int i = 0; i < 3; i++) acquire(&w, &other[i]);
    world_run(&w, SOON);
    for (int i = 0; i < 3; i++) pg_lease_release(&other[i].lease);
    sleep_shared(&w, &slow, "SLEEP 100");
    world_run(&w, SOON);
    assert_int_equal(world_stats(&w).idle_conns, 2);
    assert_int_equal(pg_pool_resize(w.pool, 0, 2), 0);
    assert_int_equal(world_stats(&w).idle_conns, 0);
    world_run(&w, SOON);
    assert_int_equal(world_stats(&w).total_conns, 2);
    assert_int_equal(model_stats(w.server)->connections_now, 2);

    assert_int_equal(pg_pool_resize(w.pool, 0, 1), 0);
    ask(&w, &behind, 1); /* the shared one takes no more */
    world_run(&w, SOON);
    assert_int_equal(slow.done + behind.done, 0);
    assert_int_equal(world_stats(&w).pending, 1);
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(slow.done, 1);
    assert_int_equal(slow.status, 0);
    assert_int_equal(behind.done, 0);
    assert_int_equal(model_stats(w.server)->connections_now, 1);
    pg_lease_release(&lease.lease); /* the last one stays */
    world_run(&w, SOON);
    assert_int_equal(behind.done, 1);
    assert_int_equal(behind.status, 0);
    assert_int_equal(model_stats(w.server)->connections_total, 4);
    world_close(&w);
}

static void borrowed_ones_go_on_their_return(void **state)
{
    (void)state;
    struct world w;
    struct held h[3], waiting;
    struct seen s;
    world_open(&w, "pool_max_conns=3");
    for (int i = 0; i < 3; i++) acquire(&w, &h[i]);
    world_run(&w, SOON);
    assert_int_equal(pg_pool_resize(w.pool, 0, 1), 0);
    acquire(&w, &waiting);
    seen_init(&s, &world_echo, 3);
    pg_lease_query(&h[0].lease, &s.query);
    world_run(&w, SOON);
    assert_int_equal(s.status + (int)s.value, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(model_stats(w.server)->connections_now, 3 - i);
        assert_int_equal(waiting.grants, 0);
        if (i == 1) pg_lease_abandon(&h[i].lease);
        else pg_lease_release(&h[i].lease);
        world_run(&w, SOON);
    }
    assert_int_equal(waiting.grants, 1);
    assert_int_equal(model_stats(w.server)->connections_now, 1);
    assert_int_equal(model_stats(w.server)->connections_total, 3);
    pg_lease_release(&waiting.lease);
    world_close(&w);
}

/* Also: a connection that goes needs no ROLLBACK before. */
static void a_second_resize_takes_the_first_back(void **state)
{
    (void)state;
    struct world w;
    struct held h[3];
    struct seen begin;
    world_open(&w, "pool_max_conns=3");
    for (int i = 0; i < 3; i++) acquire(&w, &h[i]);
    world_run(&w, SOON);
    assert_int_equal(pg_pool_resize(w.pool, 0, 1), 0);
    assert_int_equal(pg_pool_resize(w.pool, 0, 2), 0);
    seen_sql(&begin, "BEGIN");
    pg_lease_query(&h[0].lease, &begin.query);
    world_run(&w, SOON);
    assert_int_equal(begin.status, 0);
    pg_lease_release(&h[0].lease);
    world_run(&w, SOON);
    assert_int_equal(world_stats(&w).total_conns, 2);
    pg_lease_release(&h[1].lease);
    pg_lease_release(&h[2].lease);
    world_run(&w, SOON);
    assert_int_equal(world_stats(&w).idle_conns, 2);
    assert_int_equal(model_stats(w.server)->connections_total, 3);
    assert_int_equal(alive(&w, 0, 3), 2);
    world_close(&w);
}

static void wrong_sizes_change_nothing(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "pool_max_conns=2 pool_min_conns=1");
    world_run(&w, SOON);
    assert_int_equal(pg_pool_resize(w.pool, 0, 0), PG_E_CONFIG);
    assert_int_equal(pg_pool_resize(w.pool, 3, 2), PG_E_CONFIG);
    assert_int_equal(pg_pool_resize(w.pool, 0, 10001), PG_E_CONFIG);
    world_run(&w, SOON);
    assert_int_equal(world_stats(&w).max_conns, 2);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    assert_int_equal(pg_pool_resize(w.pool, 2, 2), 0); /* a larger minimum is made at once */
    world_run(&w, SOON);
    assert_int_equal(world_stats(&w).idle_conns, 2);
    pg_pool_close(w.pool, sim_now(w.sim) + WORLD_SECOND, NULL, NULL);
    assert_int_equal(pg_pool_resize(w.pool, 0, 4), PG_E_CLOSED);
    w.pool = NULL;
    world_close(&w);
}

/* Connections that are being made are too many when they stand, and go before any that serves. */
static void shrinking_while_connecting(void **state)
{
    (void)state;
    struct world w;
    struct held h[4];
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
    struct model_config server = { .exit_delay_ns = 200000, .startup_delay_ns = 50 * WORLD_MS };
    world_open_with(&w, &sim, &server, "pool_max_conns=4");
    acquire(&w, &h[0]);
    world_run(&w, WORLD_SECOND);
    for (int i = 1; i < 4; i++) acquire(&w, &h[i]);
    world_run(&w, SOON);
    assert_int_equal(world_stats(&w).constructing_conns, 3);
    assert_int_equal(pg_pool_resize(w.pool, 0, 2), 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(world_stats(&w).total_conns, 2);
    assert_int_equal(model_stats(w.server)->connections_max, 4);
    assert_int_equal(h[1].grants, 1);
    assert_int_equal(h[2].grants, 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(h[i].grants, 1);
        pg_lease_release(&h[i].lease);
        world_run(&w, SOON);
    }
    assert_int_equal(model_stats(w.server)->connections_total, 4);
    world_close(&w);
}

/* A connection that stands serves on while more than enough are being made. */
static void what_is_being_made_is_missed_least(void **state)
{
    (void)state;
    struct world w;
    struct held h[4];
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
    struct model_config server = { .exit_delay_ns = 200000, .startup_delay_ns = 50 * WORLD_MS };
    world_open_with(&w, &sim, &server, "pool_max_conns=4");
    acquire(&w, &h[0]);
    world_run(&w, WORLD_SECOND);
    for (int i = 1; i < 4; i++) acquire(&w, &h[i]);
    world_run(&w, SOON);
    assert_int_equal(pg_pool_resize(w.pool, 0, 1), 0);
    for (int i = 0; i < 3; i++) {
        pg_lease_release(&h[i].lease);
        world_run(&w, WORLD_MS);
        assert_int_equal(h[i + 1].grants, 1);
    }
    pg_lease_release(&h[3].lease);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(world_stats(&w).total_conns, 1);
    assert_int_equal(alive(&w, 0, 1), 1);
    world_close(&w);
}

/* ---- reset ---- */

static void reset_under_load(void **state)
{
    (void)state;
    enum { BEFORE = 8, AFTER = 8 };
    struct world w;
    struct held lease, idle[2];
    struct seen before[BEFORE], after[AFTER], insert, end;
    world_open(&w, "pool_max_conns=3");
    acquire(&w, &lease);
    for (int i = 0; i < 2; i++) acquire(&w, &idle[i]);
    world_run(&w, SOON);
    for (int i = 0; i < 2; i++) pg_lease_release(&idle[i].lease);
    seen_sql(&insert, "BEGIN");
    pg_lease_query(&lease.lease, &insert.query);
    world_run(&w, SOON);
    for (int i = 0; i < BEFORE; i++) sleep_shared(&w, &before[i], "SLEEP 20");
    size_t old = model_conn_count(w.server);
    pg_pool_reset(w.pool);
    for (int i = 0; i < AFTER; i++) ask(&w, &after[i], i);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < BEFORE; i++) assert_int_equal(before[i].status + (int)before[i].done, 1);
    for (int i = 0; i < AFTER; i++) assert_int_equal(after[i].done, 1);
    for (int i = 0; i < AFTER; i++) assert_int_equal(after[i].value, i);
    assert_int_equal(alive(&w, 0, old), 1); /* the lease's */
    seen_init(&insert, &world_insert, 77);
    seen_sql(&end, "COMMIT");
    pg_lease_query(&lease.lease, &insert.query);
    pg_lease_query(&lease.lease, &end.query);
    world_run(&w, SOON);
    assert_int_equal(end.status + (int)end.done, 1);
    assert_int_equal(model_stats(w.server)->inserts_committed, 1);
    pg_lease_release(&lease.lease);
    world_run(&w, SOON);
    assert_int_equal(alive(&w, 0, old), 0);
    assert_int_equal(model_stats(w.server)->connections_max, 3);
    assert_int_equal(world_stats(&w).lost_conns_count + world_stats(&w).max_lifetime_destroy_count, 0);
    world_close(&w);
}

/* Nothing of the old generation is granted, not even what was idle at the reset; the minimum comes back. */
static void reset_replaces_the_idle_ones(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    world_open(&w, "pool_max_conns=3 pool_min_conns=3");
    world_run(&w, SOON);
    pg_pool_reset(w.pool);
    held_init(&h);
    assert_int_equal(pg_pool_try_acquire(w.pool, &h.lease), PG_E_REFUSED);
    world_run(&w, SOON);
    assert_int_equal(world_stats(&w).idle_conns, 3);
    assert_int_equal(model_stats(w.server)->connections_total, 6);
    assert_int_equal(alive(&w, 0, 3), 0);
    pg_pool_reset(w.pool);
    pg_pool_reset(w.pool); /* what is closing already is not closed again */
    world_run(&w, SOON);
    assert_int_equal(model_stats(w.server)->connections_total, 9);
    assert_int_equal(model_stats(w.server)->connections_max, 3);
    world_close(&w);
}

/* A connection that is being made during a reset is of the old generation too. */
static void reset_while_connecting(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
    struct model_config server = { .startup_delay_ns = 50 * WORLD_MS };
    world_open_with(&w, &sim, &server, "pool_max_conns=1");
    acquire(&w, &h);
    world_run(&w, SOON);
    assert_int_equal(model_conn_count(w.server), 1);
    pg_pool_reset(w.pool);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(h.status + (int)h.grants, 1);
    assert_int_equal(alive(&w, 0, 1), 0);
    assert_int_equal(model_conn_count(w.server), 2);
    pg_lease_release(&h.lease);
    world_close(&w);
}

/* Once what was given up has passed, a stalled connection is shared again; not so one of an old generation. */
static void a_stalled_connection_retires_too(void **state)
{
    (void)state;
    struct world w;
    struct seen gone, behind, next;
    world_open(&w, "pool_max_conns=1");
    sleep_shared(&w, &gone, "SLEEP 100");
    sleep_shared(&w, &behind, "SLEEP 100");
    world_run(&w, SOON);
    pg_query_abandon(&gone.query);
    pg_pool_reset(w.pool);
    world_run(&w, 130 * WORLD_MS);
    ask(&w, &next, 8);
    assert_int_equal(world_stats(&w).shared_conns, 1);
    assert_int_equal(world_stats(&w).pending, 1);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(behind.status + (int)behind.done, 1);
    assert_int_equal(next.status + (int)next.value, 8);
    assert_int_equal(model_stats(w.server)->connections_total, 2);
    assert_int_equal(model_stats(w.server)->connections_max, 1);
    world_close(&w);
}

/* What a retiring connection still runs is bounded and told like everything else: given up, or lost with it. */
static void a_retiring_connection_stalls_or_dies(void **state)
{
    (void)state;
    for (int dies = 0; dies < 2; dies++) {
        struct world w;
        struct seen slow, next;
        world_open(&w, "pool_max_conns=1 pool_close_linger=200ms");
        sleep_shared(&w, &slow, "SLEEP 5000");
        world_run(&w, SOON);
        pg_pool_reset(w.pool);
        ask(&w, &next, 9);
        world_run(&w, SOON);
        assert_int_equal(slow.done + next.done, 0);
        if (dies) model_conn_end(model_conn_at(w.server, 0), MODEL_END_FATAL, "57P01");
        else pg_query_abandon(&slow.query);
        world_run(&w, WORLD_SECOND);
        assert_int_equal(slow.done, dies);
        if (dies) assert_int_equal(slow.status, PG_E_LOST);
        assert_int_equal(next.status + (int)next.value, 9);
        assert_int_equal(next.done, 1);
        world_run(&w, 5 * WORLD_SECOND); /* the backend sleeps on, and sees the end of its connection late */
        world_close(&w);
    }
}

/* ---- suspend ---- */

static void suspended_waiters_keep_place_and_deadline(void **state)
{
    (void)state;
    struct world w;
    struct held holder, late, first, last, none;
    struct seen running, between, leased;
    world_open(&w, "pool_max_conns=2 pool_acquire_timeout=5s");
    acquire(&w, &holder);
    acquire(&w, &none);
    world_run(&w, SOON);
    pg_lease_release(&none.lease);
    sleep_shared(&w, &running, "SLEEP 30");
    world_run(&w, WORLD_MS);
    pg_pool_suspend(w.pool);
    pg_pool_suspend(w.pool);
    held_init(&late);
    late.lease.deadline_ns = sim_now(w.sim) + 50 * WORLD_MS;
    pg_pool_acquire(w.pool, &late.lease);
    acquire(&w, &first);
    ask(&w, &between, 4);
    acquire(&w, &last);
    held_init(&none);
    assert_int_equal(pg_pool_try_acquire(w.pool, &none.lease), PG_E_REFUSED);
    seen_init(&leased, &world_echo, 6);
    pg_lease_query(&holder.lease, &leased.query);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(running.status + (int)running.done, 1); /* what runs goes on, a lease too */
    assert_int_equal(leased.status + (int)leased.value, 6);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    assert_int_equal(late.grants, 1);
    assert_int_equal(late.status, PG_E_TIMEOUT);
    assert_string_equal(pg_error_field(&late.error, 'M'), "the pool is suspended");
    assert_int_equal(first.grants + last.grants + between.done, 0);
    assert_int_equal(world_stats(&w).pending, 3);
    pg_pool_resume(w.pool);
    assert_int_equal(first.grants, 0); /* not inside the call */
    world_run(&w, SOON);
    assert_int_equal(first.grants, 1);
    assert_int_equal(between.done + last.grants, 0);
    pg_lease_release(&first.lease);
    pg_lease_release(&holder.lease);
    world_run(&w, SOON);
    assert_int_equal(between.status + (int)between.value, 4);
    assert_int_equal(last.status + (int)last.grants, 1);
    pg_lease_release(&last.lease);
    world_close(&w);
}

static void suspended_means_no_connects_and_an_exact_queue(void **state)
{
    (void)state;
    struct world w;
    struct held h[3];
    world_open(&w, "pool_max_conns=4 pool_min_conns=2 pool_max_waiters=2 pool_max_conn_lifetime=1s");
    world_run(&w, SOON);
    pg_pool_suspend(w.pool);
    for (int i = 0; i < 3; i++) acquire(&w, &h[i]);
    world_run(&w, SOON);
    assert_int_equal(h[2].grants, 1); /* idle ones serve nobody, and make no room in the queue */
    assert_int_equal(h[2].status, PG_E_REFUSED);
    world_run(&w, 2 * WORLD_SECOND);
    assert_int_equal(world_stats(&w).total_conns, 0);
    assert_int_equal(world_stats(&w).max_lifetime_destroy_count, 2);
    assert_int_equal(model_stats(w.server)->connections_total, 2);
    pg_pool_resume(w.pool);
    world_run(&w, SOON);
    assert_int_equal(h[0].status + h[1].status + (int)h[0].grants + (int)h[1].grants, 2);
    assert_int_equal(model_stats(w.server)->connections_total, 4);
    pg_lease_release(&h[0].lease);
    pg_lease_release(&h[1].lease);
    world_close(&w);
}

/* The queue is empty and a connection idle, and still nobody gets it. */
static void suspended_means_nobody_is_served(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct seen s;
    world_open(&w, "pool_max_conns=1 pool_min_conns=1");
    world_run(&w, SOON);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    pg_pool_suspend(w.pool);
    held_init(&h);
    assert_int_equal(pg_pool_try_acquire(w.pool, &h.lease), PG_E_REFUSED);
    ask(&w, &s, 2);
    world_run(&w, SOON);
    assert_int_equal(s.done, 0);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    pg_pool_resume(w.pool);
    world_run(&w, SOON);
    assert_int_equal(s.status + (int)s.value, 2);
    assert_int_equal(pg_pool_try_acquire(w.pool, &h.lease), 0);
    pg_lease_release(&h.lease);
    world_close(&w);
}

static void closing_ends_a_suspension(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        struct world w;
        struct seen queued;
        world_open(&w, "pool_max_conns=1");
        pg_pool_suspend(w.pool);
        ask(&w, &queued, 3);
        world_run(&w, SOON);
        assert_int_equal(queued.done, 0);
        pg_pool_close(w.pool, sim_now(w.sim) + WORLD_SECOND, NULL, NULL);
        if (again) pg_pool_suspend(w.pool), pg_pool_reset(w.pool); /* too late */
        world_run(&w, SOON);
        assert_int_equal(queued.status + (int)queued.value, 3);
        w.pool = NULL;
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growing_grants_at_once),
        cmocka_unit_test(growing_one_by_one_moves_nothing),
        cmocka_unit_test(shrinking_takes_what_is_missed_least),
        cmocka_unit_test(borrowed_ones_go_on_their_return),
        cmocka_unit_test(a_second_resize_takes_the_first_back),
        cmocka_unit_test(wrong_sizes_change_nothing),
        cmocka_unit_test(shrinking_while_connecting),
        cmocka_unit_test(what_is_being_made_is_missed_least),
        cmocka_unit_test(reset_under_load),
        cmocka_unit_test(a_stalled_connection_retires_too),
        cmocka_unit_test(reset_replaces_the_idle_ones),
        cmocka_unit_test(reset_while_connecting),
        cmocka_unit_test(a_retiring_connection_stalls_or_dies),
        cmocka_unit_test(suspended_waiters_keep_place_and_deadline),
        cmocka_unit_test(suspended_means_no_connects_and_an_exact_queue),
        cmocka_unit_test(suspended_means_nobody_is_served),
        cmocka_unit_test(closing_ends_a_suspension),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
