/* server/test_sizing.c - how many connections there are, by PostgreSQL's own account: pg_stat_activity follows resize,
 * reset, lifetime, idle time, suspension and close, while handlers on both lanes keep the pool busy. Not one of their
 * requests may notice. On io_uring, where it can be had, else on epoll. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/live.h"

enum { ASKERS = 40, BORROWERS = 12 };
static const uint64_t MS = 1000000;

static struct live live;
static struct pg_pool *pool, *watch;
static bool loaded;          /* handlers go on */
static unsigned at_work;
static uint64_t outcomes;

struct handler {
    struct pg_query query;
    struct pg_lease lease;
    struct pg_param param;
    struct pg_error error;
    bool answered;
};
static struct handler askers[ASKERS], borrowers[BORROWERS];
static struct pg_statement echo = PG_STATEMENT("SELECT $1", PG_TYPE_INT8);
static struct pg_statement nap = PG_STATEMENT("SELECT $1, pg_sleep(0.003)", PG_TYPE_INT8);

/* ---- the load ---- */

static enum pg_flow on_row(struct pg_query *q, struct pg_row *row)
{
    struct handler *h = q->data;
    h->answered = pg_row_int8(row, 0) == h->param.u.i;
    return PG_CONTINUE;
}
static void judge(struct handler *h)
{
    if (h->query.status) fail_msg("a request failed: %s", pg_error_field(&h->error, 'M'));
    assert_true(h->answered);
    outcomes++;
}
static void fill(struct handler *h, struct pg_statement *statement, void (*on_done)(struct pg_query *))
{
    h->param = pg_int8((int64_t)outcomes * 1000 + (h - askers));
    h->answered = false;
    h->query = (struct pg_query){ .statement = statement,
                                  .params = &h->param,
                                  .nparams = 1,
                                  .on_row = on_row,
                                  .on_done = on_done,
                                  .error = &h->error,
                                  .data = h };
}
static void ask(struct handler *h);
static void asked(struct pg_query *q)
{
    judge(q->data);
    if (loaded) ask(q->data);
    else at_work--;
}
static void ask(struct handler *h)
{
    fill(h, &echo, asked);
    pg_pool_query(pool, &h->query);
}
static void borrowed(struct pg_query *q)
{
    struct handler *h = q->data;
    judge(h);
    pg_lease_release(&h->lease);
    if (loaded) pg_pool_acquire(pool, &h->lease);
    else at_work--;
}
static void granted(struct pg_lease *lease, int status)
{
    struct handler *h = lease->data;
    if (status) fail_msg("an acquire failed: %s", pg_error_field(&h->error, 'M'));
    fill(h, &nap, borrowed);
    pg_lease_query(lease, &h->query);
}
static void load(void)
{
    loaded = true;
    at_work = ASKERS + BORROWERS;
    for (unsigned i = 0; i < ASKERS; i++) ask(&askers[i]);
    for (unsigned i = 0; i < BORROWERS; i++) {
        struct handler *h = &borrowers[i];
        h->lease = (struct pg_lease){ .on_grant = granted, .tag = PG_HERE, .error = &h->error, .data = h };
        pg_pool_acquire(pool, &h->lease);
    }
}
static bool all_rest(void *arg)
{
    (void)arg;
    return at_work == 0;
}
static void unload(void)
{
    loaded = false;
    assert_true(live_until(&live, all_rest, NULL));
}

/* ---- the server's account ---- */

static enum pg_flow take_int8(struct pg_query *q, struct pg_row *row)
{
    *(int64_t *)q->data = pg_row_int8(row, 0);
    return PG_CONTINUE;
}
static int64_t server(const char *what, const char *where)
{
    char sql[512];
    int64_t value = -1;
    snprintf(sql, sizeof sql, "SELECT %s FROM pg_stat_activity WHERE application_name = 'sizing' AND %s", what, where);
    struct pg_query q = { .sql = sql, .on_row = take_int8, .data = &value };
    assert_int_equal(live_query(&live, watch, NULL, &q), 0);
    return value;
}
static int64_t backends(void) { return server("count(*)", "true"); }

/* Asks until there are as many, and at every time before no more than `most`. */
static void expect_backends(const char *where, int64_t number, int64_t most)
{
    uint64_t end = pg_reactor_now(live.reactor) + 20000 * MS;
    for (;;) {
        int64_t n = backends(), there = server("count(*)", where);
        if (n > most) fail_msg("%lld connections, where %lld are allowed", (long long)n, (long long)most);
        if (there == number) return;
        if (pg_reactor_now(live.reactor) > end)
            fail_msg("still %lld and not %lld", (long long)there, (long long)number);
    }
}
static void expect_bound_for(uint64_t ns, int64_t most)
{
    uint64_t end = pg_reactor_now(live.reactor) + ns;
    while (pg_reactor_now(live.reactor) < end) assert_in_range(backends(), 0, most);
}
static struct pg_pool_stats stats(void)
{
    struct pg_pool_stats s = { .size = sizeof s };
    pg_pool_stats(pool, &s);
    return s;
}
/* The server counts a backend from its start packet on, the pool when it has heard that it may ask; and at its end the
 * pool still counts what the server has let go of already. */
static bool all_stand(void *arg)
{
    struct pg_pool_stats s = stats();
    return s.idle_conns + s.acquired_conns + s.shared_conns == *(const unsigned *)arg;
}

/* Nobody holds anything: between two statements on a lease the server, too, sees an idle connection. */
static bool all_wait(void *arg)
{
    (void)arg;
    return stats().pending == ASKERS + BORROWERS;
}

static void open_pool(const char *options)
{
    char text[256];
    snprintf(text, sizeof text, "application_name=sizing pool_close_linger=20s %s", options);
    if (!live_open(&live, LIVE_URING)) live_open(&live, LIVE_EPOLL);
    watch = live_pool(&live, NULL, "application_name=watch pool_max_conns=1");
    pool = live_pool(&live, live_env("RINGPG_TEST_TCP_URL"), text);
    outcomes = 0;
}
static void close_pool(void)
{
    unload();
    assert_int_equal(stats().abandoned_count, 0);
    assert_int_equal(stats().lost_conns_count, 0);
    live_close(&live);
}

/* ---- what an operator does ---- */

static void connections_follow_resize(void **state)
{
    (void)state;
    open_pool("pool_max_conns=6");
    load();
    expect_backends("true", 6, 6);
    assert_int_equal(pg_pool_resize(pool, 0, 2), 0);
    expect_backends("true", 2, 6);
    expect_bound_for(200 * MS, 2);
    assert_int_equal(pg_pool_resize(pool, 0, 9), 0);
    expect_backends("true", 9, 9);
    for (int i = 0; i < 20; i++) { /* and forth and back */
        assert_int_equal(pg_pool_resize(pool, 0, i % 2 ? 9 : 1), 0);
        assert_in_range(backends(), 0, 9);
    }
    expect_backends("true", 9, 9);
    assert_int_equal(pg_pool_resize(pool, 0, 1), 0);
    expect_backends("true", 1, 9);
    expect_bound_for(200 * MS, 1);
    close_pool();
}

static void reset_replaces_all(void **state)
{
    (void)state;
    char older[96];
    open_pool("pool_max_conns=5");
    load();
    for (int round = 0; round < 5; round++) {
        assert_true(live_until(&live, all_stand, &(unsigned){ 5 }));
        assert_int_equal(backends(), 5);
        int64_t youngest = server("(extract(epoch FROM max(backend_start)) * 1e6)::int8", "true");
        pg_pool_reset(pool);
        snprintf(older, sizeof older, "(extract(epoch FROM backend_start) * 1e6)::int8 <= %lld", (long long)youngest);
        expect_backends(older, 0, 5);
    }
    assert_true(live_until(&live, all_stand, &(unsigned){ 5 }));
    assert_true(stats().new_conns_count >= 30);
    close_pool();
}

static void a_suspended_pool_is_silent(void **state)
{
    (void)state;
    open_pool("pool_max_conns=4");
    load();
    expect_backends("true", 4, 4);
    pg_pool_suspend(pool);
    assert_true(live_until(&live, all_wait, NULL));
    expect_backends("state <> 'idle'", 0, 4); /* what ran has ended */
    uint64_t before = outcomes;
    expect_bound_for(100 * MS, 4);
    assert_int_equal(outcomes, before);
    assert_int_equal(server("count(*)", "state <> 'idle'"), 0);
    assert_int_equal(stats().pending, ASKERS + BORROWERS);
    pg_pool_resume(pool);
    expect_bound_for(100 * MS, 4);
    close_pool();
    assert_true(outcomes > before);
}

/* ---- what time does ---- */

static void the_old_are_replaced(void **state)
{
    (void)state;
    open_pool("pool_max_conns=4 pool_max_conn_lifetime=300ms pool_max_conn_lifetime_jitter=200ms");
    load();
    uint64_t end = pg_reactor_now(live.reactor) + 20000 * MS;
    while (stats().max_lifetime_destroy_count < 12 && pg_reactor_now(live.reactor) < end)
        assert_in_range(backends(), 0, 4);
    assert_true(stats().max_lifetime_destroy_count >= 12);
    expect_backends("backend_start < now() - interval '3 seconds'", 0, 4);
    expect_backends("true", 4, 4);
    close_pool();
}

static void the_idle_are_closed(void **state)
{
    (void)state;
    open_pool("pool_max_conns=6 pool_min_conns=2 pool_max_conn_idle_time=150ms pool_health_check_period=50ms");
    load();
    expect_backends("true", 6, 6);
    unload();
    expect_backends("true", 2, 6);
    assert_int_equal(stats().max_idle_destroy_count, 4);
    expect_bound_for(200 * MS, 2);
    load();
    expect_backends("true", 6, 6);
    close_pool();
}

/* A slot is free, and a pool is closed, when the server has let go and not before. */
static void on_closed(void *arg) { *(bool *)arg = true; }
static bool is_closed(void *arg) { return *(bool *)arg; }
static void a_closed_pool_has_left_nothing(void **state)
{
    (void)state;
    bool closed = false;
    open_pool("pool_max_conns=6 pool_acquire_timeout=20s");
    load();
    expect_backends("true", 6, 6);
    loaded = false; /* those who wait are served, and begin nothing more */
    pg_pool_close(pool, pg_reactor_now(live.reactor) + 20000 * MS, on_closed, &closed);
    assert_true(live_until(&live, is_closed, &closed));
    assert_int_equal(at_work, 0);
    assert_int_equal(backends(), 0);
    live_close(&live);
}

/* A part of what the server says that it has. */
static enum pg_flow take_number(struct pg_query *q, struct pg_row *row)
{
    *(int64_t *)q->data = pg_row_int8(row, 0);
    return PG_CONTINUE;
}
static void a_budget_is_a_part_of_what_the_server_has(void **state)
{
    (void)state;
    int64_t has = 0;
    struct pg_budget *budget;
    struct pg_budget_stats stats = { .size = sizeof stats };
    struct pg_query q = { .sql = "SELECT sum(setting::int8)::int8 FROM (SELECT setting FROM pg_settings WHERE name = "
                                 "'max_connections' UNION ALL SELECT '-' || setting FROM pg_settings WHERE name IN "
                                 "('superuser_reserved_connections', 'reserved_connections')) s",
                          .on_row = take_number, .data = &has };
    struct pg_pool_config config = PG_POOL_CONFIG(NULL);
    if (!live_open(&live, LIVE_URING)) assert_true(live_open(&live, LIVE_EPOLL));
    assert_int_equal(pg_budget_open(&budget, PG_BUDGET_PERCENT(50)), 0);
    config.budget = budget;
    struct pg_pool *half = live_pool_with(&live, &config, NULL, "pool_max_conns=2");
    assert_int_equal(live_query(&live, half, NULL, &q), 0);
    pg_budget_stats(budget, &stats);
    assert_in_range(has, 10, 10000);
    assert_int_equal(stats.connections, has / 2);
    assert_int_equal(stats.used, 1);
    live_close(&live);
    pg_budget_close(budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_budget_is_a_part_of_what_the_server_has),
        cmocka_unit_test(connections_follow_resize),  cmocka_unit_test(reset_replaces_all),
        cmocka_unit_test(a_suspended_pool_is_silent), cmocka_unit_test(the_old_are_replaced),
        cmocka_unit_test(the_idle_are_closed),        cmocka_unit_test(a_closed_pool_has_left_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
