/* unit/test_pool_hygiene.c - what the pool does by itself before a connection serves (connect_sql, warm statements) and
 * when a lease is over (ROLLBACK, reset_sql); and what becomes of the connection when that fails, never ends, or is
 * overtaken by a close or a reset. Simulated host, virtual time. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "session/session.h"
#include "support/world.h"

static struct pg_statement one = PG_STATEMENT("ECHO $1", PG_TYPE_INT8);
static struct pg_statement two = { "FROM two WHERE a = $1 AND b = $2", { PG_TYPE_INT8, PG_TYPE_TEXT, 0 }, "two", 0, 0 };
static struct pg_statement wrong = { "SYNTAX", { 0 }, "wrong", 0, 0 };
static struct pg_statement *const statements[] = { &one, &two };

static void open_pool(struct world *w, struct pg_pool_config *pool, const char *options)
{
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    struct model_config server = { .exit_delay_ns = 200000 };
    world_open_pool(w, &sim, &server, pool, options);
}
static void open_sql(struct world *w, const char *connect_sql, const char *reset_sql, const char *options)
{
    struct pg_pool_config pool = PG_POOL_CONFIG(NULL);
    pool.connect_sql = connect_sql;
    pool.reset_sql = reset_sql;
    open_pool(w, &pool, options);
}
static void open_warm(struct world *w, struct pg_statement *const *warm, size_t n, const char *options)
{
    struct pg_pool_config pool = PG_POOL_CONFIG(NULL);
    pool.warm = warm;
    pool.nwarm = n;
    open_pool(w, &pool, options);
}

static const struct model_stats *server(struct world *w) { return model_stats(w->server); }

/* What the n-th connection executed, in its order, with '|' between. */
static const char *said(struct world *w, size_t n)
{
    static char text[1024];
    struct model_conn *conn = model_conn_at(w->server, n);
    text[0] = 0;
    for (size_t i = 0; i < model_conn_sql_count(conn); i++) {
        size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, "%s%s", i ? "|" : "", model_conn_sql(conn, i));
    }
    return text;
}

static void acquire(struct world *w, struct held *h)
{
    held_init(h);
    pg_pool_acquire(w->pool, &h->lease);
    world_run(w, 20 * WORLD_MS);
    assert_int_equal(h->grants, 1);
    assert_int_equal(h->status, 0);
}
static void run(struct world *w, struct held *h, const char *sql)
{
    struct seen s;
    seen_sql(&s, sql);
    s.query.flags = PG_QUERY_SIMPLE;
    s.query.on_row = NULL; /* of text */
    pg_lease_query(&h->lease, &s.query);
    world_run(w, 20 * WORLD_MS);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.status, 0);
}
static void give_back(struct world *w, struct held *h)
{
    pg_lease_release(&h->lease);
    world_run(w, 20 * WORLD_MS);
}
static void use(struct world *w, const char *sql)
{
    struct held h;
    acquire(w, &h);
    if (sql) run(w, &h, sql);
    give_back(w, &h);
}

/* ---- connect_sql ---- */

static void connect_sql_runs_before_anybody(void **state)
{
    (void)state;
    struct world w;
    open_sql(&w, "SET a = 1; SET b = 2", NULL, "pool_max_conns=2");
    use(&w, "ECHO me");
    use(&w, "ECHO again");
    assert_string_equal(said(&w, 0), "SET a = 1|SET b = 2|ECHO me|ECHO again");
    assert_int_equal(server(&w)->connections_total, 1);
    assert_int_equal(w.events[PG_EVENT_CONNECTED], 1);
    struct pg_pool_stats s = world_stats(&w);
    assert_int_equal(s.query_count, 2); /* the pool's own are not counted */
    assert_int_equal(s.new_conns_count, 1);
    world_close(&w);
}

static void of_string_and_struct_the_struct_wins(void **state)
{
    (void)state;
    struct world w;
    const char *options = "pool_connect_sql='SET a = 1' pool_reset_sql='RESET ALL'";
    open_sql(&w, NULL, NULL, options);
    use(&w, "ECHO x");
    assert_string_equal(said(&w, 0), "SET a = 1|ECHO x|RESET ALL");
    world_close(&w);
    char mine[] = "SET b = 2", reset[] = "DISCARD ALL";
    open_sql(&w, mine, reset, options);
    memset(mine, 'x', sizeof mine - 1), memset(reset, 'x', sizeof reset - 1); /* they were copied */
    use(&w, "ECHO x");
    assert_string_equal(said(&w, 0), "SET b = 2|ECHO x|DISCARD ALL");
    world_close(&w);
    open_sql(&w, "", "", options);
    use(&w, "ECHO x");
    assert_string_equal(said(&w, 0), "ECHO x");
    world_close(&w);
}

/* What the server refuses for good ends those who wait at once; what may pass is tried again with backoff. */
static void a_failing_connect_sql_is_a_failed_connect(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    open_sql(&w, "SET a = 1; FAIL 42704", NULL, "pool_max_conns=2");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(h.grants, 1);
    assert_int_equal(h.status, PG_E_UNAVAILABLE);
    assert_string_equal(h.error.sqlstate, "42704");
    assert_non_null(strstr(pg_error_field(&h.error, 'M'), "connect_sql: "));
    assert_int_equal(w.last_event.kind, PG_EVENT_CONNECT_FAILED);
    assert_non_null(strstr(pg_error_field(&w.event_error, 'M'), "connect_sql: "));
    struct pg_pool_stats s = world_stats(&w);
    assert_int_equal(s.connect_failed_count, 1);
    assert_int_equal(s.new_conns_count + s.lost_conns_count, 0);
    assert_int_equal(w.events[PG_EVENT_CONNECTED], 0);
    assert_int_equal(server(&w)->terminates, 1);
    world_close(&w);

    open_sql(&w, "FAIL 57014", NULL, "pool_max_conns=2 pool_acquire_timeout=2s");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 3 * WORLD_SECOND);
    assert_int_equal(h.status, PG_E_UNAVAILABLE);
    assert_string_equal(h.error.sqlstate, "57014");
    assert_in_range(world_stats(&w).connect_failed_count, 3, 12);
    assert_int_equal(server(&w)->connections_max, 1); /* after a failure one at a time */
    world_close(&w);
}

static void a_connect_sql_may_not_open_a_transaction(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    open_sql(&w, "BEGIN", NULL, "pool_max_conns=1");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(h.status, PG_E_UNAVAILABLE);
    assert_non_null(strstr(pg_error_field(&h.error, 'M'), "connect_sql: left a transaction open"));
    world_close(&w);
}

static void connect_sql_is_within_the_connects_deadline(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    open_sql(&w, "SLEEP 60000", NULL, "pool_max_conns=1 connect_timeout=3 pool_acquire_timeout=5s");
    uint64_t start = sim_now(w.sim);
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 2900ull * WORLD_MS);
    assert_int_equal(world_stats(&w).constructing_conns, 1);
    assert_int_equal(w.events[PG_EVENT_CONNECT_FAILED], 0);
    world_run(&w, 150 * WORLD_MS);
    assert_in_range(sim_now(w.sim) - start, 3 * WORLD_SECOND, 4 * WORLD_SECOND);
    assert_int_equal(w.events[PG_EVENT_CONNECT_FAILED], 1);
    assert_int_equal(w.event_error.code, -ETIMEDOUT);
    assert_string_equal(pg_error_field(&w.event_error, 'M'), "connect_sql: did not end within connect_timeout");
    assert_int_equal(server(&w)->cancels_that_hit, 1); /* the server is not left with it */
    world_run(&w, 3 * WORLD_SECOND);
    assert_int_equal(h.status, PG_E_UNAVAILABLE);
    world_close(&w);
}

static void a_connection_lost_during_connect_sql(void **state)
{
    (void)state;
    static const enum model_end how[] = { MODEL_END_FATAL, MODEL_END_RESET, MODEL_END_EOF };
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        struct world w;
        struct held h;
        open_sql(&w, "SLEEP 20", NULL, "pool_max_conns=1");
        held_init(&h);
        pg_pool_acquire(w.pool, &h.lease);
        world_run(&w, 10 * WORLD_MS);
        model_conn_end(model_conn_at(w.server, 0), how[i], "57P01");
        world_run(&w, 5 * WORLD_MS);
        struct pg_pool_stats s = world_stats(&w);
        assert_int_equal(s.connect_failed_count, 1);
        assert_int_equal(s.lost_conns_count, 0);
        assert_int_equal(w.events[PG_EVENT_CONNECT_FAILED], 1);
        world_run(&w, WORLD_SECOND);
        assert_int_equal(h.grants, 1); /* by the next attempt */
        assert_int_equal(h.status, 0);
        pg_lease_release(&h.lease);
        world_close(&w);
    }
}

/* A reset or a smaller maximum while it is made ready: it goes as soon as that is seen, and another one is made. */
static void overtaken_while_it_is_made_ready(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    open_sql(&w, "SLEEP 20; ECHO ready", NULL, "pool_max_conns=1");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 10 * WORLD_MS);
    pg_pool_reset(w.pool);
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(h.grants, 1);
    assert_int_equal(server(&w)->connections_total, 2);
    assert_int_equal(server(&w)->connections_max, 1);
    assert_int_equal(server(&w)->terminates, 1);
    pg_lease_release(&h.lease);
    world_close(&w);

    open_sql(&w, "SLEEP 60000", NULL, "pool_max_conns=1 pool_close_linger=300ms");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 10 * WORLD_MS);
    world_close(&w); /* asserts that it completes */
    assert_int_equal(h.grants, 1);
    assert_int_equal(h.status, PG_E_CLOSED);
}

/* ---- warm statements ---- */

static void warm_statements_are_prepared_in_one_flight(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_warm(&w, statements, 2, "pool_min_conns=1");
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(server(&w)->parses, 2);
    assert_int_equal(server(&w)->binds + server(&w)->executes, 0);
    assert_int_equal(model_conn_statements(model_conn_at(w.server, 0)), 2);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    assert_int_equal(sim_counters(w.sim)->sends, 2); /* the startup message; all of the statements */
    seen_init(&s, &one, 7);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(s.done + (unsigned)s.value, 8);
    assert_int_equal(server(&w)->parses, 2);
    seen_init(&s, &one, 8);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(s.done + (unsigned)s.value, 9);
    assert_int_equal(server(&w)->parses, 2);
    assert_int_equal(server(&w)->describes, 1);
    world_close(&w);
}

/* More than fit into the connection's FIFO, one of them twice. */
static void many_warm_statements(void **state)
{
    (void)state;
    enum { N = 50 };
    static struct pg_statement many[N];
    struct pg_statement *list[N + 1];
    static char sql[N][16];
    struct world w;
    for (int i = 0; i < N; i++) {
        snprintf(sql[i], sizeof sql[i], "ECHO %d", i);
        if (!many[i].sql) many[i].sql = sql[i];
        list[i] = &many[i];
    }
    list[N] = &many[0];
    open_warm(&w, list, N + 1, "pool_min_conns=3 pool_max_pipeline=1");
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(world_stats(&w).idle_conns, 3);
    assert_int_equal(server(&w)->parses, 3 * N);
    for (size_t i = 0; i < 3; i++) assert_int_equal(model_conn_statements(model_conn_at(w.server, i)), N);
    world_close(&w);
}

static void a_warm_statement_that_fails_is_named(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct pg_statement *const list[] = { &one, &wrong, &two };
    open_warm(&w, list, 3, "pool_max_conns=1");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(h.status, PG_E_UNAVAILABLE); /* it will not pass */
    assert_string_equal(h.error.sqlstate, "42601");
    assert_non_null(strstr(pg_error_field(&h.error, 'M'), "warm statement 2 wrong: syntax error"));
    assert_int_equal(world_stats(&w).connect_failed_count, 1);
    world_close(&w);
}

static void a_warm_statement_beyond_the_capacity_is_refused(void **state)
{
    (void)state;
    struct sim_config sim = { .seed = 1 };
    struct sim *world = sim_open(&sim);
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(sim_host(world));
    struct pg_pool_config pc = PG_POOL_CONFIG("host=127.0.0.1 user=app");
    struct pg_reactor *reactor;
    struct pg_pool *pool;
    struct pg_error error;
    struct pg_statement last = PG_STATEMENT("ECHO last"), empty = { 0 };
    struct pg_statement *list[] = { &last, &last };
    rc.statements = 1;
    (void)rp_statement_id(&one), (void)rp_statement_id(&two);
    assert_int_equal(pg_reactor_open(&reactor, &rc, &error), 0);
    pc.warm = list;
    pc.nwarm = 2;
    assert_int_equal(pg_pool_open(&pool, reactor, &pc, &error), PG_E_CONFIG);
    assert_string_equal(pg_error_field(&error, 'M'), "warm: statement 1: more than 1 statements are declared");
    list[0] = &empty;
    assert_int_equal(pg_pool_open(&pool, reactor, &pc, &error), PG_E_CONFIG);
    assert_string_equal(pg_error_field(&error, 'M'), "warm: statement 1: the statement has no SQL");
    pg_reactor_close(reactor, 0);
    (void)sim_run(world, reactor, WORLD_SECOND);
    pg_reactor_free(reactor);
    sim_close(world);
}

/* ---- when a lease is over: what a session keeps goes by the documented reset (failures 52) ---- */

static void a_reset_follows_every_lease_that_ran_something(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct seen s;
    open_sql(&w, NULL, "RESET ALL; SELECT 1", "pool_max_conns=1");
    use(&w, "SET a = 1");
    use(&w, NULL); /* ran nothing, left nothing */
    use(&w, "BEGIN");
    acquire(&w, &h);
    run(&w, &h, "ECHO x");
    pg_lease_abandon(&h.lease);
    world_run(&w, 20 * WORLD_MS);
    seen_init(&s, &world_echo, 7); /* the shared lane leaves nothing that would have to be removed */
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(s.done, 1);
    assert_string_equal(said(&w, 0), "SET a = 1|RESET ALL|SELECT 1|BEGIN|ROLLBACK|RESET ALL|SELECT 1|"
                                     "ECHO x|RESET ALL|SELECT 1|ECHO $1");
    assert_int_equal(world_stats(&w).idle_conns, 1);
    world_close(&w);
}

static void nobody_has_it_before_the_reset_is_over(void **state)
{
    (void)state;
    struct world w;
    struct held h, next;
    struct seen s;
    open_sql(&w, NULL, "SLEEP 100", "pool_max_conns=1");
    acquire(&w, &h);
    run(&w, &h, "SET a = 1");
    held_init(&next);
    pg_pool_acquire(w.pool, &next.lease);
    seen_init(&s, &world_echo, 1);
    pg_pool_query(w.pool, &s.query);
    pg_lease_release(&h.lease);
    world_run(&w, 90 * WORLD_MS);
    assert_int_equal(next.grants + s.done, 0);
    assert_int_equal(world_stats(&w).total_conns, 1);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(next.grants, 1);
    give_back(&w, &next);
    assert_int_equal(s.done, 1);
    world_close(&w);
}

/* failures.md 29: what DISCARD ALL takes away is prepared anew, and nobody notices. */
static void discard_all_is_healed(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct seen s;
    struct pg_pool_config pool = PG_POOL_CONFIG(NULL);
    pool.reset_sql = "DISCARD ALL";
    pool.warm = statements;
    pool.nwarm = 2;
    open_pool(&w, &pool, "pool_max_conns=1");
    for (unsigned i = 0; i < 3; i++) {
        acquire(&w, &h);
        seen_init(&s, &one, i);
        pg_lease_query(&h.lease, &s.query);
        give_back(&w, (world_run(&w, 20 * WORLD_MS), &h));
        assert_int_equal(s.status, 0);
        assert_int_equal(s.value, i);
        assert_int_equal(model_conn_statements(model_conn_at(w.server, 0)), 0);
    }
    assert_int_equal(server(&w)->parses, 2 + 2); /* warm, and one per lease behind the first */
    assert_int_equal(server(&w)->errors, 0);     /* it is known, and not found out */
    assert_int_equal(server(&w)->connections_total, 1);
    world_close(&w);
}

/* A reset that fails, leaves a transaction open, never ends or loses the connection: the next one has another. */
static void a_failing_reset_costs_the_connection(void **state)
{
    (void)state;
    static const struct { const char *sql, *says; } cases[] = {
        { "FAIL 42704", "reset_sql: " },
        { "BEGIN", "reset_sql: left a transaction open" },
        { "SLEEP 60000", "reset_sql: did not end within pool_close_linger" },
        { "SLEEP 10", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        struct held h, next;
        open_sql(&w, NULL, cases[i].sql, "pool_max_conns=1 pool_close_linger=300ms");
        acquire(&w, &h);
        run(&w, &h, "SET a = 1");
        held_init(&next);
        pg_pool_acquire(w.pool, &next.lease);
        pg_lease_release(&h.lease);
        world_run(&w, 5 * WORLD_MS);
        if (i == 3) model_conn_end(model_conn_at(w.server, 0), MODEL_END_RESET, NULL);
        world_run(&w, WORLD_SECOND);
        assert_int_equal(w.events[PG_EVENT_LOST], 1);
        assert_non_null(strstr(pg_error_field(&w.event_error, 'M'), cases[i].says));
        assert_int_equal(world_stats(&w).lost_conns_count, 1);
        assert_int_equal(next.grants, 1);
        assert_int_equal(next.status, 0);
        assert_int_equal(server(&w)->connections_total, 2);
        assert_int_equal(server(&w)->connections_max, 1);
        pg_lease_release(&next.lease);
        world_close(&w);
    }
}

/* One that goes anyway is not cleaned. */
static void a_reset_pool_does_not_clean_what_goes(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    open_sql(&w, NULL, "DISCARD ALL", "pool_max_conns=1");
    acquire(&w, &h);
    run(&w, &h, "SET a = 1");
    pg_pool_reset(w.pool);
    give_back(&w, &h);
    assert_string_equal(said(&w, 0), "SET a = 1");
    assert_int_equal(server(&w)->terminates, 1);
    assert_int_equal(w.events[PG_EVENT_RETIRED], 1);
    world_close(&w);
}

static void a_close_does_not_wait_for_a_reset_that_hangs(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    open_sql(&w, NULL, "SLEEP 60000", "pool_max_conns=1 pool_close_linger=300ms");
    acquire(&w, &h);
    run(&w, &h, "SET a = 1");
    pg_lease_release(&h.lease);
    world_run(&w, 10 * WORLD_MS);
    pg_pool_close(w.pool, sim_now(w.sim) + 100 * WORLD_SECOND, NULL, NULL);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(server(&w)->sockets_now, 0);
    w.pool = NULL;
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect_sql_runs_before_anybody),
        cmocka_unit_test(of_string_and_struct_the_struct_wins),
        cmocka_unit_test(a_failing_connect_sql_is_a_failed_connect),
        cmocka_unit_test(a_connect_sql_may_not_open_a_transaction),
        cmocka_unit_test(connect_sql_is_within_the_connects_deadline),
        cmocka_unit_test(a_connection_lost_during_connect_sql),
        cmocka_unit_test(overtaken_while_it_is_made_ready),
        cmocka_unit_test(warm_statements_are_prepared_in_one_flight),
        cmocka_unit_test(many_warm_statements),
        cmocka_unit_test(a_warm_statement_that_fails_is_named),
        cmocka_unit_test(a_warm_statement_beyond_the_capacity_is_refused),
        cmocka_unit_test(a_reset_follows_every_lease_that_ran_something),
        cmocka_unit_test(nobody_has_it_before_the_reset_is_over),
        cmocka_unit_test(discard_all_is_healed),
        cmocka_unit_test(a_failing_reset_costs_the_connection),
        cmocka_unit_test(a_reset_pool_does_not_clean_what_goes),
        cmocka_unit_test(a_close_does_not_wait_for_a_reset_that_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
