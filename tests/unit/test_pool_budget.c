/* unit/test_pool_budget.c - the pools of several reactors under one budget: connections flow from those that leave them
 * idle to those that wait, fairly, without haste, and the server never sees more than the bound. Simulated host,
 * virtual time. */
#include "unit/many.h"

static const uint64_t HOLD = 5 * WORLD_MS, SOON = 30 * WORLD_MS;
enum { FEW = 8, CROWD = 32 };

/* ---- flow ---- */

static void idle_ones_flow_to_those_who_wait(void **state)
{
    (void)state;
    struct many m;
    struct client a[7], b[7];
    many_open(&m, 2, 8, "pool_max_conns=7");
    clients_start(&m, a, 7, 0, HOLD, 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 0).total_conns, 7);
    assert_int_equal(budget_stats(&m).used, 7);
    assert_int_equal(budget_stats(&m).sure, 2);
    clients_stop(a, 7);
    many_run(&m, WORLD_SECOND); /* idle, and nobody wants them: they stay */
    assert_int_equal(many_stats(&m, 0).idle_conns, 7);
    clients_start(&m, b, 7, 1, 10 * WORLD_SECOND, 0);
    many_run(&m, 50 * WORLD_MS);
    assert_int_equal(grants_of(b, 7), 7);
    assert_int_equal(many_stats(&m, 0).total_conns, 1);
    assert_int_equal(budget_stats(&m).given_count, m.retired);
    assert_int_equal(m.retired, 6);
    assert_string_equal(m.retired_why, "the connection was closed for another pool of its budget");
    assert_int_equal(budget_stats(&m).waiting, 0);
    many_close(&m, 8);
}

/* What was idle for a moment only goes as far as it makes both equal; the rest later. */
static void what_was_used_just_now_goes_later(void **state)
{
    (void)state;
    struct many m;
    struct client a[7], b[7];
    many_open(&m, 2, 8, "pool_max_conns=7");
    clients_start(&m, a, 7, 0, HOLD, 0);
    many_run(&m, WORLD_SECOND);
    clients_stop(a, 7);
    many_run(&m, 2 * HOLD);
    clients_start(&m, b, 7, 1, 10 * WORLD_SECOND, 0);
    many_run(&m, 100 * WORLD_MS);
    assert_int_equal(grants_of(b, 7), 4);
    assert_int_equal(many_stats(&m, 0).idle_conns, 4);
    many_run(&m, 200 * WORLD_MS);
    assert_int_equal(grants_of(b, 7), 7);
    assert_int_equal(many_stats(&m, 0).idle_conns, 1);
    many_close(&m, 8);
}

/* Nobody else wants it: as if there were no budget. */
static void stock_is_taken_without_a_wait(void **state)
{
    (void)state;
    struct many m;
    struct client c[6];
    many_open(&m, 2, 8, "pool_max_conns=6 pool_connecting_limit=8");
    clients_start(&m, c, 6, 0, HOLD, HOLD);
    many_run(&m, 3 * WORLD_MS);
    assert_int_equal(grants_of(c, 6), 6);
    many_close(&m, 6);
}

static void a_skewed_load_starves_nobody(void **state)
{
    (void)state;
    struct many m;
    struct client heavy[CROWD], light[3][FEW];
    many_open(&m, 4, 16, "pool_max_conns=16");
    clients_start(&m, heavy, CROWD, 0, HOLD, 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 0).total_conns, 13); /* all but what is sure for the others */
    for (unsigned i = 0; i < 3; i++) clients_start(&m, light[i], FEW, i + 1, HOLD, 0);
    many_run(&m, WORLD_SECOND / 2); /* they all have more to do than connections: now these are equal */
    for (unsigned i = 0; i < 4; i++) assert_in_range(many_stats(&m, i).total_conns, 3, 5);
    uint64_t moved = budget_stats(&m).given_count, made = model_stats(m.server)->connections_total;
    unsigned before[4] = { grants_of(heavy, CROWD) }, after[4];
    for (unsigned i = 0; i < 3; i++) before[i + 1] = grants_of(light[i], FEW);
    many_run(&m, 10 * WORLD_SECOND); /* and stay so, without a move */
    assert_int_equal(budget_stats(&m).given_count, moved);
    assert_int_equal(model_stats(m.server)->connections_total, made);
    after[0] = grants_of(heavy, CROWD);
    for (unsigned i = 0; i < 3; i++) after[i + 1] = grants_of(light[i], FEW);
    for (unsigned i = 0; i < 4; i++) assert_in_range(after[i] - before[i], 3 * 1700, 5 * 2000);
    many_close(&m, 16);
}

/* The heavy one never comes to rest: statements follow one another on shared connections. */
struct stream { struct seen seen; struct many *m; unsigned pool, answers; };
static void stream_on(struct pg_query *q)
{
    struct stream *s = q->data;
    s->answers += q->status == 0;
    if (s->m->over) return;
    pg_pool_query(s->m->pool[s->pool], q);
}
static void streams_start(struct many *m, struct stream *s, unsigned n, unsigned pool)
{
    for (unsigned i = 0; i < n; i++) {
        memset(&s[i], 0, sizeof s[i]);
        seen_init(&s[i].seen, &world_echo, i);
        s[i].seen.query.on_row = NULL;
        s[i].seen.query.on_done = stream_on;
        s[i].seen.query.data = &s[i];
        s[i].m = m;
        s[i].pool = pool;
        pg_pool_query(m->pool[pool], &s[i].seen.query);
    }
}

static void shared_connections_give_way_too(void **state)
{
    (void)state;
    struct many m;
    struct stream s[CROWD];
    struct client c[FEW];
    many_open(&m, 2, 8, "pool_max_conns=8 pool_max_pipeline=4");
    streams_start(&m, s, CROWD, 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 0).total_conns, 7);
    assert_int_equal(many_stats(&m, 0).idle_conns, 0);
    clients_start(&m, c, FEW, 1, HOLD, 0);
    many_run(&m, WORLD_SECOND);
    assert_in_range(many_stats(&m, 0).total_conns, 4, 5);
    assert_in_range(many_stats(&m, 1).total_conns, 3, 4);
    unsigned answers = 0;
    for (unsigned i = 0; i < CROWD; i++) answers += s[i].answers;
    assert_true(answers > 1000); /* and nothing that ran there was lost */
    assert_int_equal(many_stats(&m, 0).lost_conns_count, 0);
    many_close(&m, 8);
}

/* High priority waits for the budget like any other: for others it is no less urgent. */
static void who_is_urgent_is_given_way_to(void **state)
{
    (void)state;
    struct many m;
    struct client heavy[CROWD];
    struct held h[2];
    many_open(&m, 2, 4, "pool_max_conns=4");
    clients_start(&m, heavy, CROWD, 0, HOLD, 0);
    held_init(&h[0]);
    pg_pool_acquire(m.pool[1], &h[0].lease);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(h[0].status + (int)h[0].grants, 1);
    assert_int_equal(many_stats(&m, 0).total_conns, 3);
    held_init(&h[1]);
    h[1].lease.priority = PG_PRIORITY_HIGH;
    pg_pool_acquire(m.pool[1], &h[1].lease);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(h[1].grants, 1);
    assert_int_equal(h[1].status, PG_OK);
    assert_int_equal(many_stats(&m, 1).total_conns, 2);
    for (int i = 0; i < 2; i++) pg_lease_release(&h[i].lease);
    many_close(&m, 4);
}

/* ---- hysteresis ---- */

/* Two pools that are busy in turns: their connections stay where they are. */
static void short_bursts_move_nothing(void **state)
{
    (void)state;
    struct many m;
    struct client c[2][FEW];
    many_open(&m, 2, 8, "pool_max_conns=8");
    for (unsigned i = 0; i < 2; i++) clients_start(&m, c[i], FEW, i, HOLD, 0);
    many_run(&m, WORLD_SECOND);
    uint64_t made = model_stats(m.server)->connections_total;
    for (unsigned round = 0; round < 100; round++) {
        unsigned busy = round % 2;
        clients_stop(c[!busy], FEW);
        many_run(&m, 50 * WORLD_MS);
        clients_start(&m, c[!busy], FEW, !busy, HOLD, 0);
        many_run(&m, 2 * HOLD);
    }
    assert_int_equal(model_stats(m.server)->connections_total, made);
    clients_stop(c[0], FEW); /* for good: then they go, all but what is sure */
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 0).total_conns, 1);
    assert_int_equal(many_stats(&m, 1).total_conns, 7);
    many_close(&m, 8);
}

/* A wait shorter than the patience disturbs nobody. */
static void a_short_wait_disturbs_nobody(void **state)
{
    (void)state;
    struct many m;
    struct client a[7], b[3];
    many_open(&m, 2, 8, "pool_max_conns=8");
    clients_start(&m, a, 7, 0, HOLD, 0);
    many_run(&m, WORLD_SECOND);
    clients_stop(a, 7);
    many_run(&m, WORLD_SECOND);
    for (unsigned long_one = 0; long_one < 2; long_one++) {
        for (unsigned i = 0; i < 50; i++) {
            clients_start(&m, b, 2 + long_one, 1, 3 * WORLD_MS, 0);
            clients_stop(b, 2 + long_one);
            many_run(&m, SOON);
            assert_int_equal(grants_of(b, 2 + long_one), 2 + long_one);
        }
        assert_int_equal(many_stats(&m, 0).total_conns, 7 - long_one);
        assert_int_equal(budget_stats(&m).given_count, long_one);
        clients_start(&m, b, 2, 1, 20 * WORLD_MS, 0); /* this one does, and the next short one does not again */
        clients_stop(b, 2);
        many_run(&m, 2 * SOON);
    }
    assert_int_equal(budget_stats(&m).waiting, 0);
    many_close(&m, 8);
}

/* Whoever gets one while others wait looks by itself whether it needs it for long. */
static void what_is_not_needed_for_long_goes_on(void **state)
{
    (void)state;
    struct many m;
    struct client a[6], b[2];
    many_open(&m, 2, 5, "pool_max_conns=6");
    clients_start(&m, a, 6, 0, 100 * WORLD_SECOND, 0);
    many_run(&m, SOON);
    clients_start(&m, b, 2, 1, 50 * WORLD_MS, WORLD_SECOND);
    many_run(&m, SOON);
    assert_int_equal(grants_of(a, 6), 4);
    assert_int_equal(grants_of(b, 2), 1);
    clients_stop(b, 2);
    assert_int_equal(pg_budget_resize(m.budget, 6), 0); /* it goes to the one that has less */
    many_run(&m, SOON);
    assert_int_equal(grants_of(b, 2), 2);
    many_run(&m, WORLD_SECOND / 2);
    assert_int_equal(grants_of(a, 6), 5);
    many_close(&m, 6);
}

/* ---- what is sure ---- */

static void what_is_sure_is_there_at_once(void **state)
{
    (void)state;
    struct many m;
    struct client heavy[CROWD], one;
    many_open(&m, 2, 4, "pool_max_conns=4");
    clients_start(&m, heavy, CROWD, 0, WORLD_SECOND, 0);
    many_run(&m, WORLD_SECOND / 2);
    assert_int_equal(many_stats(&m, 0).total_conns, 3);
    client_start(&m, &one, 1, HOLD, 0);
    many_run(&m, 3 * WORLD_MS); /* a connect, no more */
    assert_int_equal(one.grants, 1);
    many_close(&m, 4);
}

/* A pool that opens late has a claim: the first connection that comes to rest anywhere is its. */
static void a_late_pool_gets_what_is_sure_first(void **state)
{
    (void)state;
    struct many m;
    struct client heavy[CROWD], one;
    many_open(&m, 3, 4, NULL);
    many_pool(&m, 0, "pool_max_conns=4");
    clients_start(&m, heavy, CROWD, 0, 100 * WORLD_MS, 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 0).total_conns, 4);
    many_pool(&m, 1, "pool_max_conns=4 pool_min_conns=2");
    client_start(&m, &one, 1, HOLD, 0);
    many_run(&m, 110 * WORLD_MS);
    assert_in_range(one.grants, 1, 100);
    assert_int_equal(many_stats(&m, 1).total_conns, 2);
    assert_int_equal(budget_stats(&m).sure, 3);
    struct pg_error error;
    assert_int_equal(many_try_pool(&m, 2, "pool_max_conns=4 pool_min_conns=2", &error), PG_E_CONFIG);
    assert_non_null(strstr(pg_error_field(&error, 'M'), "5 connections would be sure"));
    many_pool(&m, 2, "pool_max_conns=4"); /* even if nobody wants it yet */
    many_run(&m, 220 * WORLD_MS);
    assert_int_equal(many_stats(&m, 0).total_conns, 1);
    assert_int_equal(many_stats(&m, 2).total_conns, 0);
    assert_int_equal(budget_stats(&m).waiting, 1); /* the heavy one */
    assert_int_equal(pg_pool_resize(m.pool[2], 2, 4), PG_E_CONFIG);
    assert_int_equal(pg_pool_resize(m.pool[1], 0, 4), 0); /* lower: then there is room */
    assert_int_equal(pg_pool_resize(m.pool[2], 2, 4), 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 1).total_conns, 1);
    assert_int_equal(many_stats(&m, 2).total_conns, 2);
    many_close(&m, 4);
}

static void what_can_be_wrong_at_open(void **state)
{
    (void)state;
    struct many m;
    struct pg_error error;
    struct pg_host_ops deaf = *sim_host_at((many_open(&m, 1, 2, NULL), m.sim), 1)->ops;
    deaf.wake = NULL;
    struct pg_host *host = sim_host_at(m.sim, 1);
    const struct pg_host_ops *ops = host->ops;
    host->ops = &deaf;
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(host);
    assert_int_equal(pg_reactor_open(&m.reactor[1], &rc, NULL), 0);
    assert_int_equal(many_try_pool(&m, 1, "", &error), PG_E_CONFIG);
    assert_non_null(strstr(pg_error_field(&error, 'M'), "budget: the reactor's host has no wake"));
    pg_reactor_free(m.reactor[1]);
    host->ops = ops;
    assert_int_equal(many_try_pool(&m, 0, "pool_min_conns=3", &error), PG_E_CONFIG);
    assert_int_equal(budget_stats(&m).pools, 0);
    assert_int_equal(budget_stats(&m).sure, 0);
    many_close(&m, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_ones_flow_to_those_who_wait),
        cmocka_unit_test(what_was_used_just_now_goes_later),
        cmocka_unit_test(stock_is_taken_without_a_wait),
        cmocka_unit_test(a_skewed_load_starves_nobody),
        cmocka_unit_test(shared_connections_give_way_too),
        cmocka_unit_test(who_is_urgent_is_given_way_to),
        cmocka_unit_test(short_bursts_move_nothing),
        cmocka_unit_test(a_short_wait_disturbs_nobody),
        cmocka_unit_test(what_is_not_needed_for_long_goes_on),
        cmocka_unit_test(what_is_sure_is_there_at_once),
        cmocka_unit_test(a_late_pool_gets_what_is_sure_first),
        cmocka_unit_test(what_can_be_wrong_at_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
