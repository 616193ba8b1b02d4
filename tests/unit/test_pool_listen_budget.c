/* unit/test_pool_listen_budget.c - the listeners' connection in the budget of the process: it counts, waits with its
 * ticket, leaves to work what is sure for it, and gives way to that. And what it takes of memory. Simulated host. */
#include "unit/ears.h"
#include "unit/many.h"

static void listen_on(struct many *m, unsigned i, struct ear *e)
{
    struct world w = { .pool = m->pool[i] };
    ear_open(&w, e, news);
}

static void it_counts(void **state)
{
    (void)state;
    struct many m;
    struct ear e[2];
    struct client c[4];
    many_open(&m, 2, 5, "pool_max_conns=4");
    listen_on(&m, 0, &e[0]);
    listen_on(&m, 1, &e[1]);
    many_run(&m, 20 * WORLD_MS);
    assert_int_equal(e[0].up + e[1].up, 2);
    assert_int_equal(budget_stats(&m).used, 2);
    clients_start(&m, c, 4, 0, 5 * WORLD_MS, 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(budget_stats(&m).used, 4); /* one of the five is sure for the other */
    assert_int_equal(many_stats(&m, 0).total_conns, 2);
    ear_close(&e[0]);
    ear_close(&e[1]);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 0).total_conns, 4);
    many_close(&m, 5);
}

/* Nobody's work is left without a connection for it, and it comes when there is one. */
static void it_waits_with_its_ticket(void **state)
{
    (void)state;
    struct many m;
    struct ear e;
    struct client c[2];
    many_open(&m, 2, 2, "pool_max_conns=2");
    listen_on(&m, 0, &e);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(e.up, 0);
    assert_int_equal(budget_stats(&m).waiting, 1);
    assert_int_equal(budget_stats(&m).used, 0);
    clients_start(&m, c, 2, 0, 5 * WORLD_MS, 0);
    many_run(&m, WORLD_SECOND);
    assert_true(grants_of(c, 2) > 100);
    assert_int_equal(e.up, 0);
    assert_int_equal(pg_budget_resize(m.budget, 3), 0);
    many_run(&m, 20 * WORLD_MS);
    assert_int_equal(e.up, 1);
    assert_int_equal(budget_stats(&m).used, 2);
    many_close(&m, 3);
    assert_int_equal(e.down, 1);
}

/* Also when its own pool has everything, and is busy. */
static void its_own_pool_gives_for_it(void **state)
{
    (void)state;
    struct many m;
    struct ear e;
    struct client c[8];
    for (int busy = 0; busy < 2; busy++) {
        many_open(&m, 2, 4, "pool_max_conns=4");
        clients_start(&m, c, 8, 0, 5 * WORLD_MS, 0);
        many_run(&m, WORLD_SECOND);
        assert_int_equal(many_stats(&m, 0).total_conns, 3);
        if (!busy) clients_stop(c, 8);
        many_run(&m, WORLD_SECOND);
        listen_on(&m, 0, &e);
        many_run(&m, 100 * WORLD_MS);
        assert_int_equal(e.up, 1);
        assert_int_equal(many_stats(&m, 0).total_conns, 2);
        assert_int_equal(m.retired, 1);
        assert_string_equal(m.retired_why, "the connection was closed for the connection of the pool's listeners");
        many_run(&m, WORLD_SECOND);
        assert_int_equal(many_stats(&m, 0).total_conns, 2);
        many_close(&m, 4);
    }
}

/* Like a waiter's ticket: another pool gives what it has beyond its own. */
static void others_give_for_it(void **state)
{
    (void)state;
    struct many m;
    struct ear e;
    struct client c[8];
    many_open(&m, 2, 4, "pool_max_conns=4");
    clients_start(&m, c, 8, 0, 5 * WORLD_MS, 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 0).total_conns, 3);
    listen_on(&m, 1, &e);
    many_run(&m, 100 * WORLD_MS);
    assert_int_equal(e.up, 1);
    assert_int_equal(many_stats(&m, 0).total_conns, 2);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(e.down, 0); /* and it keeps it */
    many_close(&m, 4);
}

static void what_is_sure_goes_before_it(void **state)
{
    (void)state;
    struct many m;
    struct ear e;
    many_open(&m, 2, 4, "pool_max_conns=4");
    listen_on(&m, 0, &e);
    many_run(&m, 20 * WORLD_MS);
    assert_int_equal(e.up, 1);
    assert_int_equal(pg_pool_resize(m.pool[1], 3, 4), 0); /* all of the other's are sure now */
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 1).total_conns, 3);
    assert_int_equal(e.down, 1);
    assert_string_equal(m.retired_why, "the connection was closed for another pool of its budget");
    assert_int_equal(pg_pool_resize(m.pool[1], 0, 4), 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(e.up, 2);
    assert_int_equal(pg_pool_resize(m.pool[0], 3, 4), 0); /* its own, too */
    many_run(&m, WORLD_SECOND);
    assert_int_equal(many_stats(&m, 0).total_conns, 3);
    assert_int_equal(e.down, 2);
    assert_int_equal(pg_pool_resize(m.pool[0], 0, 4), 0);
    many_run(&m, WORLD_SECOND);
    assert_int_equal(e.up, 3);
    assert_int_equal(pg_budget_resize(m.budget, 2), 0); /* and a bound that has shrunk */
    many_run(&m, WORLD_SECOND);
    assert_in_range(budget_stats(&m).used, 0, 2);
    assert_int_equal(e.down, 3);
    many_close(&m, 4);
}

/* A bound that only the server knows is asked for, though nobody has a request. */
static void a_bound_of_the_servers_is_asked_for(void **state)
{
    (void)state;
    struct world w;
    struct ear e;
    struct pg_budget *budget;
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
    struct model_config server = { .answer = NULL };
    struct pg_pool_config pool = PG_POOL_CONFIG(NULL);
    assert_int_equal(pg_budget_open(&budget, PG_BUDGET_PERCENT(50)), 0);
    pool.budget = budget;
    world_open_pool(&w, &sim, &server, &pool, "");
    ear_open(&w, &e, news);
    world_run(&w, WORLD_SECOND);
    size_t asked = 0; /* the model cannot say: the connect has failed, and is tried again */
    for (size_t i = 0; i < model_conn_count(w.server); i++)
        asked += model_conn_sql_count(model_conn_at(w.server, i)) == 1;
    assert_true(asked > 0);
    assert_int_equal(e.up, 0);
    assert_int_equal(pg_budget_resize(budget, 2), 0);
    world_run(&w, 4 * WORLD_SECOND);
    assert_int_equal(e.up, 1);
    ear_close(&e);
    world_close(&w);
    pg_budget_close(budget);
}

/* ---- memory ---- */

static unsigned allocations;
static void *count_allocate(void *arg, size_t bytes)
{
    (void)arg;
    allocations++;
    return malloc(bytes);
}
static void count_deallocate(void *arg, void *at, size_t bytes)
{
    (void)arg;
    (void)bytes;
    free(at);
}

static void nothing_is_allocated_afterwards(void **state)
{
    (void)state;
    struct world w;
    struct ear e[3];
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 60000 };
    struct model_config server = { 0 };
    struct pg_reactor_config reactor = PG_REACTOR_CONFIG(NULL);
    struct pg_pool_config pool = PG_POOL_CONFIG(NULL);
    reactor.allocate = count_allocate;
    reactor.deallocate = count_deallocate;
    world_open_reactor(&w, &sim, &server, &reactor, &pool, "");
    ear_open(&w, &e[0], "a");
    ear_open(&w, &e[1], "b");
    unsigned before = allocations;
    ear_open(&w, &e[2], "a"); /* its channel is known */
    assert_int_equal(allocations, before);
    for (int round = 0; round < 3; round++) {
        world_run(&w, WORLD_SECOND);
        for (int i = 1; i <= 5000; i++) say(&w, "a", i), say(&w, "b", i);
        world_run(&w, 5 * WORLD_SECOND);
        for (int i = 0; i < 3; i++) assert_int_equal(e[i].notified, 5000 * (round + 1));
        model_conn_end(newest(&w), MODEL_END_RESET, NULL);
    }
    assert_int_equal(allocations, before);
    for (int i = 0; i < 3; i++) ear_close(&e[i]);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_counts),
        cmocka_unit_test(it_waits_with_its_ticket),
        cmocka_unit_test(its_own_pool_gives_for_it),
        cmocka_unit_test(others_give_for_it),
        cmocka_unit_test(what_is_sure_goes_before_it),
        cmocka_unit_test(a_bound_of_the_servers_is_asked_for),
        cmocka_unit_test(nothing_is_allocated_afterwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
