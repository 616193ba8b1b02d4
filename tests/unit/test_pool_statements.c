/* unit/test_pool_statements.c - what a pool's connections prepare: texts that come again, on one connection and on
 * several; nothing by name where that is asked for; and what is said when somebody between us and the server takes
 * statements away. Simulated host, virtual time. */
#include <stdio.h>
#include <string.h>
#include "support/world.h"

static const struct model_stats *server(struct world *w) { return model_stats(w->server); }
static size_t names(struct world *w, size_t n) { return model_conn_statements(model_conn_at(w->server, n)); }

static void ask(struct world *w, const char *sql)
{
    struct seen s;
    seen_sql(&s, sql);
    s.query.on_row = NULL;
    pg_pool_query(w->pool, &s.query);
    world_run(w, 20 * WORLD_MS);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.status, 0);
}

static void a_text_that_comes_again(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "pool_max_conns=1");
    for (int i = 0; i < 5; i++) ask(&w, "ECHO again");
    assert_int_equal(server(&w)->parses, 2); /* once unnamed, once named */
    assert_int_equal(server(&w)->executes, 5);
    assert_int_equal(names(&w, 0), 1);
    world_close(&w);
}

static void never_where_it_is_not_wanted(void **state)
{
    (void)state;
    static const struct { const char *options; unsigned flags; } cases[] = {
        { "statement_cache_capacity=0", 0 }, { "prepared_statements=off", 0 }, { "", PG_QUERY_UNNAMED },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        struct seen s;
        char options[100];
        snprintf(options, sizeof options, "pool_max_conns=1 %s", cases[i].options);
        world_open(&w, options);
        for (int n = 0; n < 4; n++) {
            seen_sql(&s, "ECHO again");
            s.query.on_row = NULL;
            s.query.flags = (uint16_t)cases[i].flags;
            pg_pool_query(w.pool, &s.query);
            world_run(&w, 20 * WORLD_MS);
            assert_int_equal(s.status, 0);
        }
        assert_int_equal(server(&w)->parses, 4);
        assert_int_equal(names(&w, 0), 0);
        world_close(&w);
    }
}

/* What leaves something behind in the session has no plan that would be worth a name. */
static void utility_statements_have_no_name(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    world_open(&w, "pool_max_conns=1");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 20 * WORLD_MS);
    for (int i = 0; i < 3; i++) {
        struct seen s;
        seen_sql(&s, "SET a = 1");
        pg_lease_query(&h.lease, &s.query);
        world_run(&w, 20 * WORLD_MS);
        assert_int_equal(s.status, 0);
    }
    assert_int_equal(names(&w, 0), 0);
    pg_lease_release(&h.lease);
    world_close(&w);
}

/* Close goes with the next request, and never by itself. */
static void evictions_cost_no_round_trip(void **state)
{
    (void)state;
    struct world w;
    char sql[40];
    world_open(&w, "pool_max_conns=1 statement_cache_capacity=2");
    for (int i = 0; i < 12; i++) {
        snprintf(sql, sizeof sql, "ECHO %d", i / 2); /* each twice: it is kept, and puts out another */
        ask(&w, sql);
        assert_true(names(&w, 0) <= 2);
    }
    assert_int_equal(server(&w)->syncs, 12);
    assert_int_equal(server(&w)->closes, 4);
    assert_int_equal(names(&w, 0), 2);
    world_close(&w);
}

static void both_at_once(struct world *w, const char *sql)
{
    struct seen s[2];
    struct held h[2];
    for (int i = 0; i < 2; i++) {
        held_init(&h[i]);
        pg_pool_acquire(w->pool, &h[i].lease);
    }
    world_run(w, 50 * WORLD_MS);
    for (int i = 0; i < 2; i++) {
        seen_sql(&s[i], sql);
        s[i].query.on_row = NULL;
        assert_int_equal(h[i].grants, 1);
        pg_lease_query(&h[i].lease, &s[i].query);
    }
    world_run(w, 20 * WORLD_MS);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(s[i].status, 0);
        pg_lease_release(&h[i].lease);
    }
    world_run(w, 20 * WORLD_MS);
}

/* The pool keeps a text, each connection prepares it; what one of them puts out the other closes when it is used. */
static void on_two_connections(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "pool_max_conns=2 statement_cache_capacity=1");
    both_at_once(&w, "ECHO first"); /* the second one of these is the second time */
    both_at_once(&w, "ECHO first");
    assert_int_equal(names(&w, 0), 1);
    assert_int_equal(names(&w, 1), 1);
    ask(&w, "ECHO second");
    ask(&w, "ECHO second"); /* on one of them */
    assert_int_equal(server(&w)->closes, 1);
    assert_int_equal(names(&w, 0) + names(&w, 1), 2);
    both_at_once(&w, "ECHO third"); /* on the one that idled, too */
    assert_int_equal(server(&w)->closes, 3);
    assert_int_equal(server(&w)->errors, 0);
    world_close(&w);
}

/* failures.md 29: DISCARD ALL is seen by its tag. */
static void discarded_by_the_reset(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "pool_max_conns=1 pool_reset_sql='DISCARD ALL' statement_cache_capacity=1");
    for (int i = 0; i < 4; i++) {
        struct held h;
        struct seen s;
        held_init(&h);
        pg_pool_acquire(w.pool, &h.lease);
        world_run(&w, 20 * WORLD_MS);
        seen_sql(&s, i < 3 ? "ECHO x" : "ECHO y");
        s.query.on_row = NULL;
        pg_lease_query(&h.lease, &s.query);
        world_run(&w, 20 * WORLD_MS);
        assert_int_equal(s.status, 0);
        assert_int_equal(names(&w, 0), i == 1 || i == 2);
        pg_lease_release(&h.lease);
        world_run(&w, 20 * WORLD_MS);
        assert_int_equal(names(&w, 0), 0);
    }
    ask(&w, "ECHO y");
    assert_int_equal(server(&w)->errors, 0);
    assert_int_equal(server(&w)->closes, 0); /* there was nothing left of what y put out */
    world_close(&w);
}

static void nothing_by_name(void **state)
{
    (void)state;
    struct world w;
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    struct model_config model = { .exit_delay_ns = 200000 };
    struct pg_pool_config pool = PG_POOL_CONFIG(NULL);
    static struct pg_statement *const warm[] = { &world_echo };
    pool.warm = warm;
    pool.nwarm = 1;
    world_open_pool(&w, &sim, &model, &pool, "pool_max_conns=1 prepared_statements=off");
    struct seen s[8];
    for (int i = 0; i < 8; i++) { /* all in flight together */
        seen_init(&s[i], &world_echo, i);
        pg_pool_query(w.pool, &s[i].query);
    }
    world_run(&w, 50 * WORLD_MS);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(s[i].status, 0);
        assert_int_equal(s[i].value, i);
    }
    assert_int_equal(server(&w)->parses, 8);
    assert_int_equal(names(&w, 0), 0);
    world_close(&w);
}

static enum pg_flow is_text(struct pg_query *q, struct pg_row *row)
{
    *(bool *)q->data = pg_query_column(q, 0).text && pg_row_value(row, 0).text;
    return PG_CONTINUE;
}

/* Columns and values say their format, however the statement was run. */
static void formats_without_names(void **state)
{
    (void)state;
    static const char *const options[] = { "pool_max_conns=1", "pool_max_conns=1 prepared_statements=off" };
    for (size_t o = 0; o < 2; o++) {
        struct world w;
        world_open(&w, options[o]);
        for (unsigned i = 0; i < 4; i++) {
            struct seen s;
            bool text = false;
            seen_init(&s, &world_echo, 5);
            s.query.on_row = is_text;
            s.query.on_done = NULL;
            s.query.data = &text;
            s.query.flags = i % 2 ? PG_QUERY_TEXT : 0;
            pg_pool_query(w.pool, &s.query);
            world_run(&w, 20 * WORLD_MS);
            assert_int_equal(s.query.status, 0);
            assert_int_equal(text, i % 2);
        }
        world_close(&w);
    }
}

/* ---- somebody in between ---- */

static void forgetful(void *arg, struct model_query *q)
{
    (void)arg;
    if (strstr(model_sql(q), "FORGET") && !model_describing(q)) model_forget(q);
}

static void open_forgetful(struct world *w)
{
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    struct model_config model = { .exit_delay_ns = 200000, .answer = forgetful };
    world_open_with(w, &sim, &model, "pool_max_conns=1");
}

static void forget_and_ask(struct world *w)
{
    static unsigned n;
    struct seen s;
    char sql[40];
    snprintf(sql, sizeof sql, "ECHO FORGET %u", n++); /* never kept itself */
    ask(w, sql);
    seen_init(&s, &world_echo, 3);
    pg_pool_query(w->pool, &s.query);
    world_run(w, 20 * WORLD_MS);
    assert_int_equal(s.status, 0);
    assert_int_equal(s.value, 3);
}

static void told_once_that_statements_go(void **state)
{
    (void)state;
    struct world w;
    open_forgetful(&w);
    forget_and_ask(&w); /* its first use: nothing is missed */
    forget_and_ask(&w);
    assert_int_equal(server(&w)->errors, 1);
    assert_int_equal(w.events[PG_EVENT_POOLER], 0);
    forget_and_ask(&w);
    assert_int_equal(w.events[PG_EVENT_POOLER], 1);
    assert_non_null(strstr(pg_error_field(&w.event_error, 'M'), "prepared_statements=off"));
    assert_null(strstr(pg_error_field(&w.event_error, 'M'), "ECHO"));
    for (int i = 0; i < 5; i++) forget_and_ask(&w);
    assert_int_equal(w.events[PG_EVENT_POOLER], 1);
    world_close(&w);
}

static void not_for_what_happens_now_and_then(void **state)
{
    (void)state;
    struct world w;
    open_forgetful(&w);
    for (int i = 0; i < 5; i++) {
        forget_and_ask(&w);
        world_run(&w, 61 * WORLD_SECOND);
    }
    assert_true(server(&w)->errors >= 4);
    assert_int_equal(w.events[PG_EVENT_POOLER], 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_that_comes_again),
        cmocka_unit_test(never_where_it_is_not_wanted),
        cmocka_unit_test(utility_statements_have_no_name),
        cmocka_unit_test(evictions_cost_no_round_trip),
        cmocka_unit_test(on_two_connections),
        cmocka_unit_test(discarded_by_the_reset),
        cmocka_unit_test(nothing_by_name),
        cmocka_unit_test(formats_without_names),
        cmocka_unit_test(told_once_that_statements_go),
        cmocka_unit_test(not_for_what_happens_now_and_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
