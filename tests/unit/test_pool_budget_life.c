/* unit/test_pool_budget_life.c - what happens to connections of a budget when pools close, pause, fail or are cut off,
 * and when the bound itself changes. Simulated host, virtual time. */
#include "unit/many.h"

static const uint64_t HOLD = 5 * WORLD_MS, SOON = 30 * WORLD_MS;
enum { FEW = 8, CROWD = 32 };

/* ---- closing ---- */

static void a_close_returns_everything(void **state)
{
    (void)state;
    struct many m;
    struct client a[FEW], b[FEW];
    many_open(&m, 2, 6, "pool_max_conns=6");
    clients_start(&m, a, FEW, 0, HOLD, 0);
    many_run(&m, WORLD_SECOND);
    clients_start(&m, b, FEW, 1, 10 * WORLD_SECOND, 0);
    many_run(&m, WORLD_SECOND);
    assert_in_range(many_stats(&m, 0).total_conns, 3, 4);
    clients_stop(a, FEW);
    pg_pool_close(m.pool[0], sim_now(m.sim) + WORLD_SECOND, NULL, NULL);
    many_run(&m, SOON);
    assert_int_equal(many_stats(&m, 1).total_conns, 6); /* the sure one of the other, too */
    assert_int_equal(budget_stats(&m).pools, 1);
    assert_int_equal(budget_stats(&m).sure, 1);
    many_close(&m, 6);
}

static void a_close_takes_its_ticket_along(void **state)
{
    (void)state;
    for (int drained = 0; drained < 2; drained++) {
        struct many m;
        struct client a[4], b[4], c[4];
        many_open(&m, 3, 6, "pool_max_conns=4");
        clients_start(&m, a, 4, 0, 300 * WORLD_MS, 0);
        many_run(&m, 10 * WORLD_MS);
        clients_start(&m, b, 4, 1, 10 * WORLD_SECOND, 0);
        clients_start(&m, c, 4, 2, 300 * WORLD_MS, 0);
        many_run(&m, 100 * WORLD_MS);
        assert_int_equal(many_stats(&m, 0).total_conns, 4);
        assert_int_equal(budget_stats(&m).waiting, 2);
        pg_pool_close(m.pool[1], drained ? sim_now(m.sim) + 20 * WORLD_MS : 0, NULL, NULL);
        many_run(&m, 50 * WORLD_MS);
        assert_int_equal(budget_stats(&m).waiting, 1);
        assert_int_equal(many_stats(&m, 2).total_conns, 2); /* what was sure for the one that closed */
        many_run(&m, WORLD_SECOND);
        assert_int_equal(many_stats(&m, 0).total_conns + many_stats(&m, 2).total_conns, 6);
        assert_int_equal(many_stats(&m, 2).total_conns, 3);
        many_close(&m, 6);
    }
}

/* A statement had to queue behind another one, and the budget has no second connection: a close makes none either. */
static void a_close_makes_no_connection(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct many m;
        struct seen s[3];
        many_open(&m, 1, 1, "pool_max_conns=2");
        for (int i = 0; i < 3; i++) {
            if (i < 2) many_run(&m, 10 * WORLD_MS);
            seen_init(&s[i], &world_echo, i);
            pg_pool_query(m.pool[0], &s[i].query);
        }
        if (late) many_run(&m, WORLD_MS / 20);
        uint64_t opens = sim_counters(m.sim)->opens;
        pg_pool_close(m.pool[0], 0, NULL, NULL);
        for (int i = 0; i < 1000; i++) (void)!pg_reactor_turn(m.reactor[0]);
        assert_true(sim_counters(m.sim)->opens <= opens + 1); /* a cancel request */
        many_close(&m, 1);
        assert_int_equal(s[1].done + s[2].done, 2);
    }
}

/* The loop of one reactor failed: what it had is given back, as abandoned, and the others go on. */
static void a_reactor_that_is_cut_off_returns_everything(void **state)
{
    (void)state;
    struct many m;
    struct client a[FEW], b[FEW];
    many_open(&m, 2, 6, "pool_max_conns=6");
    clients_start(&m, b, FEW, 1, HOLD, 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 1).total_conns, 5);
    clients_start(&m, a, FEW, 0, 100 * WORLD_MS, 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 1).total_conns, 3);
    for (unsigned i = 0; i < FEW; i++) b[i].stopped = true;
    assert_int_equal(budget_stats(&m).used, 6);
    assert_int_equal(budget_stats(&m).waiting, 2); /* tickets of both */
    for (unsigned i = 0; i < FEW; i++) pg_lease_abandon(&b[i].lease), b[i].held = false;
    sim_host_failed(sim_host_at(m.sim, 1));
    pg_reactor_free(m.reactor[1]);
    assert_int_equal(budget_stats(&m).abandoned_count, 3);
    assert_int_equal(budget_stats(&m).pools, 1);
    assert_int_equal(budget_stats(&m).used, 3);
    m.n = 1;
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 0).total_conns, 6);
    assert_int_equal(budget_stats(&m).waiting, 0);
    m.over = true;
    pg_reactor_close(m.reactor[0], 0);
    assert_int_equal(sim_run_all(m.sim, m.reactor, 1, NULL, NULL, 100 * WORLD_SECOND), SIM_CLOSED);
    clients_gone(&m);
    pg_reactor_free(m.reactor[0]);
    pg_budget_close(m.budget);
    while (!LIST_EMPTY(&m.blocks)) many_deallocate(&m.blocks, LIST_FIRST(&m.blocks) + 1, 0);
    model_server_close(m.server);
    sim_close_all(m.sim);
    sim_close(m.sim);
}

/* ---- pauses and failures ---- */

static void a_suspended_pool_does_not_stand_in_line(void **state)
{
    (void)state;
    struct many m;
    struct client a[4], b[4];
    many_open(&m, 2, 5, "pool_max_conns=4");
    clients_start(&m, a, 4, 0, 100 * WORLD_MS, 0);
    many_run(&m, 10 * WORLD_MS);
    clients_start(&m, b, 4, 1, 10 * WORLD_SECOND, 0);
    many_run(&m, 30 * WORLD_MS);
    assert_int_equal(budget_stats(&m).waiting, 1);
    pg_pool_suspend(m.pool[1]);
    many_run(&m, 20 * WORLD_MS);
    assert_int_equal(budget_stats(&m).waiting, 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 0).total_conns, 4);
    assert_int_equal(many_stats(&m, 1).total_conns, 1);
    pg_pool_resume(m.pool[1]);
    many_run(&m, WORLD_SECOND);
    assert_in_range(many_stats(&m, 1).total_conns, 2, 3);
    many_close(&m, 5);
}

/* A grant that comes while the pool is suspended is not kept. */
static void a_grant_that_nobody_wants_goes_on(void **state)
{
    (void)state;
    struct many m;
    struct client a[2], b[2], c[2];
    many_open(&m, 3, 4, "pool_max_conns=2");
    clients_start(&m, a, 2, 0, 50 * WORLD_MS, 0);
    many_run(&m, 10 * WORLD_MS);
    clients_start(&m, b, 2, 1, 10 * WORLD_SECOND, 0);
    many_run(&m, 5 * WORLD_MS);
    clients_start(&m, c, 2, 2, 10 * WORLD_SECOND, 0);
    many_run(&m, 30 * WORLD_MS);
    assert_int_equal(budget_stats(&m).waiting, 2);
    clients_stop(a, 2);
    pg_pool_close(m.pool[0], 0, NULL, NULL);
    pg_pool_suspend(m.pool[1]);
    many_run(&m, SOON);
    assert_int_equal(many_stats(&m, 1).total_conns, 1);
    assert_int_equal(many_stats(&m, 2).total_conns, 2);
    assert_int_equal(budget_stats(&m).used, 3);
    many_pool(&m, 0, "pool_max_conns=2"); /* for it, say */
    clients_start(&m, a, 1, 0, HOLD, 0);
    many_run(&m, 4 * WORLD_MS);
    assert_int_equal(grants_of(a, 1), 1);
    many_close(&m, 4);
}

static void a_failed_connect_gives_its_place_back(void **state)
{
    (void)state;
    struct many m;
    struct client a[4], b[4];
    many_open(&m, 2, 4, "pool_max_conns=4 pool_acquire_timeout=1s");
    model_server_connects(m.server, SIM_REFUSE);
    clients_start(&m, a, 4, 0, HOLD, HOLD);
    many_run(&m, WORLD_SECOND / 2);
    assert_in_range(m.failed, 2, 20);
    assert_in_range(budget_stats(&m).used, 0, 1);
    model_server_connects(m.server, SIM_HANG);
    many_run(&m, WORLD_SECOND);
    assert_in_range(budget_stats(&m).used, 1, 3);
    model_server_connects(m.server, SIM_ACCEPT);
    clients_start(&m, b, 4, 1, HOLD, 0);
    many_run(&m, SOON);
    assert_in_range(grants_of(b, 4), 1, 1000); /* the sure one, whatever the other does */
    clients_stop(a, 4);
    many_run(&m, 40 * WORLD_SECOND);
    assert_int_equal(budget_stats(&m).used, many_stats(&m, 0).total_conns + many_stats(&m, 1).total_conns);
    assert_in_range(many_stats(&m, 1).total_conns, 3, 4);
    many_close(&m, 4);
}

/* Each waits for what the other one holds: only their deadlines help, and the error says what was short. */
static void who_holds_and_waits_is_freed_by_the_deadline(void **state)
{
    (void)state;
    struct many m;
    struct held first[2], second[2];
    many_open(&m, 2, 2, "pool_max_conns=2 pool_acquire_timeout=500ms");
    for (unsigned i = 0; i < 2; i++) {
        held_init(&first[i]);
        held_init(&second[i]);
        pg_pool_acquire(m.pool[i], &first[i].lease);
    }
    many_run(&m, SOON);
    for (unsigned i = 0; i < 2; i++) pg_pool_acquire(m.pool[!i], &second[i].lease);
    many_run(&m, 450 * WORLD_MS);
    assert_int_equal(second[0].grants + second[1].grants, 0);
    assert_int_equal(budget_stats(&m).waiting, 2);
    many_run(&m, 100 * WORLD_MS);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(second[i].grants, 1);
        assert_int_equal(second[i].status, PG_E_TIMEOUT);
        assert_non_null(strstr(pg_error_field(&second[i].error, 'M'), "no connection was free before the deadline, "
                                                                      "and none was left of the budget"));
        pg_lease_release(&first[i].lease);
    }
    many_run(&m, SOON);
    assert_int_equal(budget_stats(&m).waiting, 0);
    many_close(&m, 2);
}

/* ---- the bound changes ---- */

static void a_larger_bound_serves_at_once(void **state)
{
    (void)state;
    struct many m;
    struct client c[2][FEW];
    many_open(&m, 2, 4, "pool_max_conns=6");
    for (unsigned i = 0; i < 2; i++) clients_start(&m, c[i], FEW, i, 10 * WORLD_SECOND, 0);
    many_run(&m, SOON);
    assert_int_equal(grants_of(c[0], FEW) + grants_of(c[1], FEW), 4);
    assert_int_equal(pg_budget_resize(m.budget, 9), 0);
    many_run(&m, 4 * WORLD_MS);
    assert_int_equal(grants_of(c[0], FEW) + grants_of(c[1], FEW), 9);
    assert_in_range(many_stats(&m, 0).total_conns, 4, 5);
    many_close(&m, 9);
}

static void a_smaller_bound_is_given_back_first(void **state)
{
    (void)state;
    struct many m;
    struct client c[2][FEW];
    many_open(&m, 2, 10, "pool_max_conns=8");
    for (unsigned i = 0; i < 2; i++) clients_start(&m, c[i], FEW, i, HOLD, 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(budget_stats(&m).used, 10);
    assert_int_equal(pg_budget_resize(m.budget, 1), PG_E_CONFIG);
    assert_int_equal(pg_budget_resize(m.budget, 4), 0);
    many_run(&m, SOON);
    assert_int_equal(budget_stats(&m).used, 4);
    uint64_t made = model_stats(m.server)->connections_total;
    many_run(&m, WORLD_SECOND);
    assert_int_equal(model_stats(m.server)->connections_total - made, 0);
    assert_int_equal(model_stats(m.server)->connections_now, 4);
    for (unsigned i = 0; i < 2; i++) clients_stop(c[i], FEW);
    many_run(&m, SOON);
    assert_int_equal(pg_budget_resize(m.budget, 2), 0); /* idle ones at once */
    many_run(&m, 5 * WORLD_MS);
    assert_int_equal(budget_stats(&m).used, 2);
    many_close(&m, 10);
}

/* Nothing of it comes to rest: it waits, and nobody gets one meanwhile. */
static void a_smaller_bound_waits_for_those_who_hold(void **state)
{
    (void)state;
    struct many m;
    struct client a[4], b[2];
    many_open(&m, 2, 5, "pool_max_conns=4");
    clients_start(&m, a, 4, 0, 300 * WORLD_MS, 0);
    many_run(&m, SOON);
    assert_int_equal(pg_budget_resize(m.budget, 3), 0);
    many_run(&m, 100 * WORLD_MS);
    assert_int_equal(many_stats(&m, 0).total_conns, 4);
    clients_start(&m, b, 2, 1, 10 * WORLD_SECOND, 0);
    many_run(&m, 100 * WORLD_MS);
    assert_int_equal(grants_of(b, 2), 1); /* the sure one was set aside */
    many_run(&m, 200 * WORLD_MS);
    assert_in_range(budget_stats(&m).used, 2, 3);
    many_close(&m, 5);
}

/* ---- the server says the bound ---- */

static int64_t server_has;
static unsigned times_asked;
static void answer(void *arg, struct model_query *q)
{
    (void)arg;
    if (!strstr(model_sql(q), "current_setting('max_connections')") || !server_has) {
        model_default_answer(q);
        return;
    }
    model_columns(q, 1, &(struct model_column){ "n", PG_TYPE_INT4 });
    if (model_describing(q)) return;
    times_asked++;
    model_row_int8(q, server_has);
    model_complete(q, "SELECT 1");
}

static void the_server_says_the_bound(void **state)
{
    (void)state;
    struct many m;
    struct client c[2][FEW];
    many_open(&m, 2, PG_BUDGET_PERCENT(50), NULL);
    model_settings(m.server)->answer = answer;
    server_has = 17;
    times_asked = 0;
    for (unsigned i = 0; i < 2; i++) many_pool(&m, i, "pool_max_conns=8");
    assert_int_equal(budget_stats(&m).connections, 2);
    for (unsigned i = 0; i < 2; i++) clients_start(&m, c[i], FEW, i, HOLD, 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(budget_stats(&m).connections, 8);
    assert_int_equal(budget_stats(&m).used, 8);
    assert_int_equal(times_asked, 2); /* by the first connection of each pool */
    server_has = 10;
    model_server_restart(m.server, MODEL_END_FATAL, 100 * WORLD_MS);
    many_run(&m, 4 * WORLD_SECOND);
    assert_int_equal(budget_stats(&m).connections, 5);
    assert_int_equal(budget_stats(&m).used, 5);
    assert_int_equal(times_asked, 4);
    assert_int_equal(pg_budget_resize(m.budget, 6), 0); /* from now on it is this */
    server_has = 100;
    model_server_restart(m.server, MODEL_END_FATAL, 100 * WORLD_MS);
    many_run(&m, 4 * WORLD_SECOND);
    assert_int_equal(budget_stats(&m).used, 6);
    assert_int_equal(times_asked, 4);
    many_close(&m, 8);
}

static void a_server_that_does_not_say_it(void **state)
{
    (void)state;
    struct many m;
    struct client c;
    many_open(&m, 1, PG_BUDGET_PERCENT(50), "pool_acquire_timeout=300ms");
    client_start(&m, &c, 0, HOLD, WORLD_SECOND);
    many_run(&m, WORLD_SECOND / 2);
    assert_int_equal(c.failures, 1);
    assert_non_null(strstr(pg_error_field(&c.error, 'M'), "budget: the server did not say how many connections"));
    many_close(&m, 1);
}

/* ---- two pools of one reactor ---- */

static void two_pools_of_one_reactor(void **state)
{
    (void)state;
    struct many m;
    struct client a[FEW], b[FEW];
    many_open(&m, 1, 8, "pool_max_conns=8");
    m.reactor[1] = m.reactor[0];
    many_pool(&m, 1, "pool_max_conns=8");
    clients_start(&m, a, FEW, 0, HOLD, 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 0).total_conns, 7);
    clients_start(&m, b, FEW, 1, HOLD, 0);
    many_run(&m, WORLD_SECOND);
    assert_in_range(many_stats(&m, 0).total_conns, 4, 5);
    assert_in_range(many_stats(&m, 1).total_conns, 3, 4);
    pg_pool_close(m.pool[0], 0, NULL, NULL);
    clients_stop(a, FEW);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 1).total_conns, 8);
    many_close(&m, 8);
}

/* What was sure has become spare while another pool waits for it. */
static void a_smaller_minimum_is_given_to_those_who_wait(void **state)
{
    (void)state;
    struct many m;
    struct client c[2];
    many_open(&m, 2, 4, NULL);
    many_pool(&m, 0, "pool_max_conns=3 pool_min_conns=3");
    many_pool(&m, 1, "pool_max_conns=4");
    many_run(&m, WORLD_SECOND);
    clients_start(&m, c, 2, 1, 100 * WORLD_SECOND, 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(grants_of(c, 2), 1);
    assert_int_equal(many_stats(&m, 0).idle_conns, 3);
    assert_int_equal(pg_pool_resize(m.pool[0], 1, 3), 0);
    many_run(&m, WORLD_SECOND / 2);
    assert_int_equal(grants_of(c, 2), 2);
    many_close(&m, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_close_returns_everything),
        cmocka_unit_test(a_close_takes_its_ticket_along),
        cmocka_unit_test(a_close_makes_no_connection),
        cmocka_unit_test(a_reactor_that_is_cut_off_returns_everything),
        cmocka_unit_test(a_suspended_pool_does_not_stand_in_line),
        cmocka_unit_test(a_grant_that_nobody_wants_goes_on),
        cmocka_unit_test(a_failed_connect_gives_its_place_back),
        cmocka_unit_test(who_holds_and_waits_is_freed_by_the_deadline),
        cmocka_unit_test(a_larger_bound_serves_at_once),
        cmocka_unit_test(a_smaller_bound_is_given_back_first),
        cmocka_unit_test(a_smaller_bound_waits_for_those_who_hold),
        cmocka_unit_test(a_smaller_minimum_is_given_to_those_who_wait),
        cmocka_unit_test(the_server_says_the_bound),
        cmocka_unit_test(a_server_that_does_not_say_it),
        cmocka_unit_test(two_pools_of_one_reactor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
