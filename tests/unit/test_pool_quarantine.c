/* unit/test_pool_quarantine.c - failures 31, 32 and 34, each by its number: a connection whose statement was given
 * up is nobody's before both its answer and the end of the cancel request were seen; a late request hits nobody; a
 * connection counts until the server has let go of it. Simulated host, virtual time. */
#include <stdio.h>
#include <string.h>
#include "support/world.h"

static const struct model_stats *server(struct world *w) { return model_stats(w->server); }
static const uint64_t MS = WORLD_MS;

enum lane { SHARED, LEASED, ABANDONED_LEASE, LANES };

/* In steps of 1 ms until the lease is granted; the time that it took. */
static uint64_t wait_for(struct world *w, struct held *h, uint64_t most_ms)
{
    uint64_t start = sim_now(w->sim);
    for (uint64_t i = 0; i < most_ms && !h->grants; i++) world_run(w, MS);
    assert_int_equal(h->grants, 1);
    assert_int_equal(h->status, 0);
    return sim_now(w->sim) - start;
}

/* A statement of `runs_ms` is given up after 50 ms, in one of three ways; whoever comes next is returned, waiting. */
static void give_up(struct world *w, enum lane lane, uint64_t runs_ms, struct seen *slow, struct held *next)
{
    static struct held first;
    char sql[32];
    snprintf(sql, sizeof sql, "SLEEP %u", (unsigned)runs_ms);
    if (lane != SHARED) {
        held_init(&first);
        pg_pool_acquire(w->pool, &first.lease);
        (void)wait_for(w, &first, 20);
    } else {
        world_run(w, 20 * MS); /* its connection stands */
    }
    seen_sql(slow, sql);
    if (lane != ABANDONED_LEASE) slow->query.deadline_ns = pg_reactor_now(w->reactor) + 50 * MS;
    if (lane == SHARED) pg_pool_query(w->pool, &slow->query);
    else pg_lease_query(&first.lease, &slow->query);
    held_init(next);
    next->lease.deadline_ns = PG_NEVER;
    pg_pool_acquire(w->pool, &next->lease);
    world_run(w, 50 * MS);
    if (lane == LEASED) world_run(w, 2 * MS), pg_lease_release(&first.lease);
    if (lane == ABANDONED_LEASE) pg_lease_abandon(&first.lease);
    assert_int_equal(next->grants, 0);
}

/* 31. The answer and the request's end, each of them early, late or never. */
static void failure_31_not_idle_before_answer_and_eof(void **state)
{
    (void)state;
    static const uint64_t answers_ms[] = { 100, 300, 60000 }, ends_ms[] = { 10, 400, 0 /* never */ };
    for (int lane = 0; lane < LANES; lane++)
        for (size_t a = 0; a < 3; a++)
            for (size_t e = 0; e < 3; e++) {
                struct world w;
                struct seen slow;
                struct held next;
                world_open(&w, "pool_max_conns=1 pool_min_conns=1 pool_close_linger=1s");
                model_settings(w.server)->cancel_lost = 1000; /* the statement runs as long as it runs */
                model_settings(w.server)->cancel_delay_ns = ends_ms[e] * MS;
                model_settings(w.server)->cancel_mute = ends_ms[e] ? 0 : 1000;
                uint64_t start = sim_now(w.sim);
                give_up(&w, (enum lane)lane, answers_ms[a], &slow, &next);
                (void)wait_for(&w, &next, 5000);
                uint64_t took_ms = (sim_now(w.sim) - start) / MS;
                bool kept = answers_ms[a] < 1000 && ends_ms[e];
                assert_int_equal(server(&w)->connections_total, kept ? 1 : 2);
                /* One that still runs when the linger is over is not waited for. */
                assert_int_equal(server(&w)->connections_max, answers_ms[a] < 1000 ? 1 : 2);
                assert_int_equal(world_stats(&w).abandoned_count, answers_ms[a] < 1000 ? 0 : 1);
                if (kept) {
                    assert_true(took_ms >= answers_ms[a]);
                    assert_true(took_ms >= 50 + ends_ms[e]);
                    assert_int_equal(server(&w)->sockets_now, 1); /* no request is under way */
                    assert_true(server(&w)->cancels > 0);
                }
                assert_int_equal(pg_lease_transaction(&next.lease), 'I');
                pg_lease_release(&next.lease);
                world_run(&w, 61 * WORLD_SECOND); /* the last statement has ended, too */
                world_close(&w);
            }
}

/* 32. However late the request strikes, it is never the next one's statement. */
static void failure_32_a_late_cancel_hits_nobody(void **state)
{
    (void)state;
    for (int lane = 0; lane < LANES; lane++)
        for (uint64_t delay_ms = 0; delay_ms < 2000; delay_ms += 60) {
            struct world w;
            struct seen slow, mine;
            struct held next;
            world_open(&w, "pool_max_conns=1 pool_min_conns=1 pool_close_linger=1s");
            model_settings(w.server)->cancel_delay_ns = delay_ms * MS;
            give_up(&w, (enum lane)lane, 150, &slow, &next);
            (void)wait_for(&w, &next, 5000);
            seen_sql(&mine, "SLEEP 1500");
            pg_lease_query(&next.lease, &mine.query);
            world_run(&w, 3 * WORLD_SECOND);
            assert_int_equal(mine.done, 1);
            assert_int_equal(mine.status, 0);
            pg_lease_release(&next.lease);
            world_close(&w);
        }
}

/* 34. Its place is free when the server's EOF was seen, and not when we have closed it; only a server that takes longer
 * than pool_close_linger is not waited for, and that is counted. */
static void failure_34_a_backend_counts_until_it_is_gone(void **state)
{
    (void)state;
    static const uint64_t exits_ms[] = { 0, 100, 400, 800 }; /* the last one: beyond the linger */
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        struct held next;
        struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
        struct model_config slow_to_go = { .exit_delay_ns = exits_ms[i] * MS };
        world_open_with(&w, &sim, &slow_to_go, "pool_max_conns=1 pool_min_conns=1 pool_close_linger=500ms");
        world_run(&w, 20 * MS);
        pg_pool_reset(w.pool);
        held_init(&next);
        pg_pool_acquire(w.pool, &next.lease);
        uint64_t took_ms = wait_for(&w, &next, 2000) / MS;
        bool gone = exits_ms[i] < 500;
        assert_true(took_ms >= (gone ? exits_ms[i] : 500));
        assert_int_equal(server(&w)->connections_max, gone ? 1 : 2);
        assert_int_equal(world_stats(&w).abandoned_count, gone ? 0 : 1);
        assert_int_equal(world_stats(&w).total_conns, 1);
        pg_lease_release(&next.lease);
        world_run(&w, WORLD_SECOND);
        model_settings(w.server)->exit_delay_ns = 0;
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failure_31_not_idle_before_answer_and_eof),
        cmocka_unit_test(failure_32_a_late_cancel_hits_nobody),
        cmocka_unit_test(failure_34_a_backend_counts_until_it_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
