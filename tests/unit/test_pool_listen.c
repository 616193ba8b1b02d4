/* unit/test_pool_listen.c - listeners: one connection for all of them, LISTEN once per channel and again after each
 * loss, who is told what and when, and what any callback may do. Simulated host, virtual time. */
#include "unit/ears.h"

/* ---- one connection, one LISTEN per channel ---- */

static void what_is_notified_is_heard(void **state)
{
    (void)state;
    struct world w;
    struct ear e;
    struct seen s;
    world_open(&w, "");
    ear_open(&w, &e, news);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(e.up, 1);
    assert_string_equal(model_conn_sql(newest(&w), 0), "LISTEN \"News \"\"Items\"\"\"");
    assert_true(model_conn_listens(newest(&w), news));
    seen_sql(&s, "NOTIFY \"News \"\"Items\"\"\", 'it''s'");
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(s.status, 0);
    assert_int_equal(e.notified, 1);
    assert_string_equal(e.payload, "it's");
    assert_int_equal(e.pid, model_conn_pid(newest(&w))); /* the one that the statement ran on */
    seen_sql(&s, "NOTIFY \"News \"\"Items\"\"\"");
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 10 * WORLD_MS);
    assert_string_equal(e.payload, "");
    say(&w, "news \"items\"", 1); /* another channel */
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(e.notified, 2);
    ear_close(&e);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(w.events[PG_EVENT_RETIRED], 1);
    assert_string_equal(pg_error_field(&w.event_error, 'M'), "the connection was closed since nobody listens any more");
    assert_int_equal(conns(&w), 1);
    assert_int_equal(e.down, 0);
    world_close(&w);
}

static void all_share_one_connection(void **state)
{
    (void)state;
    struct world w;
    struct ear a, b, c;
    world_open(&w, "pool_max_conns=1");
    ear_open(&w, &a, "a");
    ear_open(&w, &b, "a");
    ear_open(&w, &c, "c");
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(made(&w), 1);
    assert_int_equal(times_said(newest(&w), "LISTEN \"a\""), 1);
    assert_int_equal(times_said(newest(&w), "LISTEN \"c\""), 1);
    say(&w, "a", 1);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(a.notified + b.notified, 2);
    assert_true(a.calling_order < b.calling_order);
    assert_int_equal(c.notified, 0);
    ear_close(&a);
    say(&w, "a", 2);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(a.notified, 1);
    assert_int_equal(b.notified, 2);
    assert_int_equal(times_said(newest(&w), "UNLISTEN \"a\""), 0);
    ear_close(&b);
    ear_close(&b); /* once more does nothing */
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(times_said(newest(&w), "UNLISTEN \"a\""), 1);
    assert_int_equal(model_server_notify(w.server, "a", "3"), 0);
    ear_open(&w, &a, "a"); /* and comes back */
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(a.up, 1);
    assert_int_equal(made(&w), 1);
    struct pg_pool_stats s = world_stats(&w);
    assert_int_equal(s.total_conns, 0); /* it is beside them */
    assert_int_equal(s.new_conns_count, 1);
    ear_close(&c);
    assert_int_equal(conns(&w), 1);
    ear_close(&a);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(conns(&w), 0);
    world_close(&w);
}

/* max_conns are for work, in number and in use. */
static void it_serves_nobody(void **state)
{
    (void)state;
    struct world w;
    struct ear e;
    struct held h[3];
    world_open(&w, "pool_max_conns=2 pool_acquire_timeout=100ms");
    ear_open(&w, &e, news);
    world_run(&w, 10 * WORLD_MS);
    for (int i = 0; i < 3; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(h[0].grants + h[1].grants + h[2].grants, 2);
    assert_int_equal(conns(&w), 3);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(h[2].status, PG_E_TIMEOUT);
    pg_lease_release(&h[0].lease);
    pg_lease_release(&h[1].lease);
    ear_close(&e);
    world_close(&w);
}

/* A connect of the listeners is not one that waiters wait for. */
static void waiters_do_not_wait_for_it(void **state)
{
    (void)state;
    struct world w;
    struct ear e;
    struct held h;
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
    struct model_config server = { .startup_delay_ns = 5 * WORLD_MS };
    world_open_with(&w, &sim, &server, "pool_max_conns=1");
    ear_open(&w, &e, news);
    world_run(&w, 2 * WORLD_MS);
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 8 * WORLD_MS);
    assert_int_equal(h.grants, 1);
    assert_int_equal(e.up, 1);
    pg_lease_release(&h.lease);
    ear_close(&e);
    world_close(&w);
}

static void names_are_checked(void **state)
{
    (void)state;
    struct world w;
    struct ear e;
    struct pg_error error;
    char longest[65];
    memset(longest, 'x', 64);
    longest[64] = 0;
    const struct { const char *name; size_t size; const char *why; } wrong[] = {
        { NULL, 0, "channel: the name is empty" },
        { "", 0, "channel: the name is empty" },
        { longest, 0, "channel: the name has 64 bytes, 63 at the most" },
        { "a\0b", 3, "channel: there is a NUL in the name" },
    };
    world_open(&w, "");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ear_init(&w, &e, wrong[i].name);
        e.listener.channel_size = wrong[i].size;
        assert_int_equal(pg_pool_listen(w.pool, &e.listener, &error), PG_E_PARAMETER);
        assert_string_equal(pg_error_field(&error, 'M'), wrong[i].why);
        pg_pool_unlisten(&e.listener); /* it does not listen: nothing happens */
    }
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(made(&w), 0);
    ear_init(&w, &e, longest);
    e.listener.channel_size = 63;
    assert_int_equal(pg_pool_listen(w.pool, &e.listener, &error), 0);
    memset(longest, '"', 63); /* it is copied */
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(e.up, 1);
    ear_close(&e);
    ear_open(&w, &e, longest + 1); /* 63 quotes, all doubled */
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(model_server_notify(w.server, longest + 1, "1"), 1);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(e.notified, 1);
    ear_close(&e);
    world_close(&w);
}

/* ---- what the pool's other functions do to it ---- */

static void only_a_reset_touches_it(void **state)
{
    (void)state;
    struct world w;
    struct ear e;
    world_open(&w, "pool_max_conn_lifetime=1s pool_max_conn_idle_time=1s pool_health_check_period=100ms");
    pg_pool_suspend(w.pool);
    ear_open(&w, &e, news);
    world_run(&w, 10 * WORLD_SECOND);
    assert_int_equal(e.up, 1);
    assert_int_equal(pg_pool_resize(w.pool, 0, 1), 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(made(&w), 1);
    assert_int_equal(e.down, 0);
    pg_pool_reset(w.pool);
    world_run(&w, 10 * WORLD_MS); /* at once: nothing was wrong */
    assert_int_equal(e.down, 1);
    assert_int_equal(e.up, 2);
    assert_int_equal(made(&w), 2);
    assert_string_equal(pg_error_field(&w.event_error, 'M'), "the connection was closed since the pool was reset");
    ear_close(&e);
    world_close(&w);
}

/* The roles of hosts count for it, and so do their circuits. */
static void it_follows_the_primary(void **state)
{
    (void)state;
    struct world w;
    struct ear e;
    world_open(&w, "host=127.0.0.1,127.0.0.1 port=5432,5433 target_session_attrs=read-write");
    world_add_server(&w, (struct model_config){ .of = w.server, .role = MODEL_STANDBY });
    ear_open(&w, &e, news);
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(e.up, 1);
    model_server_become(w.servers[0], MODEL_STANDBY);
    model_server_become(w.servers[1], MODEL_PRIMARY);
    world_run(&w, 4 * WORLD_SECOND);
    assert_int_equal(e.down, 1);
    assert_int_equal(e.up, 2);
    assert_true(model_conn_listens(model_conn_at(w.servers[1], model_conn_count(w.servers[1]) - 1), news));
    ear_close(&e);
    world_close(&w);
}

static void closing_ends_it_and_tells(void **state)
{
    (void)state;
    struct world w;
    struct ear e, late;
    struct pg_error error;
    struct held h;
    world_open(&w, "");
    ear_open(&w, &e, news);
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 10 * WORLD_MS);
    CALL(pg_pool_close(w.pool, sim_now(w.sim) + 10 * WORLD_SECOND, NULL, NULL));
    assert_int_equal(e.down, 0);
    ear_init(&w, &late, news);
    assert_int_equal(pg_pool_listen(w.pool, &late.listener, &error), PG_E_CLOSED);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(e.down, 1);
    assert_int_equal(conns(&w), 1); /* the lease's */
    pg_lease_release(&h.lease);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(conns(&w), 0);
    pg_pool_unlisten(&e.listener); /* nothing happens */
    w.pool = NULL;
    world_close(&w);
}

/* ---- inside of callbacks ---- */

enum { EARS = 6 };
static struct ear many[EARS];
static struct world *many_world;

static void open_many(struct world *w, const char *options)
{
    world_open(w, options);
    many_world = w;
    for (int i = 0; i < EARS; i++) ear_open(w, &many[i], i < EARS - 1 ? "a" : "b");
    world_run(w, 10 * WORLD_MS);
    for (int i = 0; i < EARS; i++) assert_int_equal(many[i].up, 1);
}

static void silence_others(struct ear *e)
{
    for (int i = 0; i < EARS; i++)
        if (&many[i] != e) pg_pool_unlisten(&many[i].listener), many[i].listening = false;
}
static void silence_all(struct ear *e)
{
    silence_others(e);
    pg_pool_unlisten(&e->listener);
    e->listening = false;
}
static void silence_the_next(struct ear *e)
{
    pg_pool_unlisten(&e[1].listener);
    e[1].listening = false;
}
static void others_may_be_unlistened(void **state)
{
    (void)state;
    struct world w;
    static const struct { void (*then)(struct ear *); unsigned sum; } cases[] = {
        { silence_others, 2 }, { silence_all, 2 }, { silence_the_next, 4 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_many(&w, "");
        many[1].then = cases[i].then; /* the second of five */
        say(&w, "a", 1);
        world_run(&w, 10 * WORLD_MS);
        unsigned sum = 0;
        for (int k = 0; k < EARS; k++) sum += many[k].notified;
        assert_int_equal(sum, cases[i].sum);
        assert_int_equal(conns(&w), cases[i].then != silence_all);
        for (int k = 0; k < EARS; k++) ear_close(&many[k]);
        world_close(&w);
    }
}

static void come_back(struct ear *e)
{
    pg_pool_unlisten(&e->listener);
    e->listening = false;
    assert_int_equal(pg_pool_listen(many_world->pool, &e->listener, NULL), 0);
}
static void reset(struct ear *e)
{
    (void)e;
    pg_pool_reset(many_world->pool);
}
static void whoever_comes_is_told_true_first(void **state)
{
    (void)state;
    struct world w;
    open_many(&w, "");
    many[0].then = many[3].then = come_back;
    for (int n = 1; n <= 4; n++) say(&w, "a", n);
    world_run(&w, 10 * WORLD_MS);
    assert_true(many[0].up >= 2);
    assert_true(many[3].up >= 2);
    assert_int_equal(many[1].notified, 4);
    assert_int_equal(many[1].up, 1);
    many[0].then = many[3].then = NULL;
    many[2].then = reset;
    say(&w, "a", 5);
    world_run(&w, 10 * WORLD_MS);
    many[2].then = NULL;
    for (int i = 0; i < EARS; i++) assert_int_equal(many[i].down, 1);
    for (int i = 0; i < EARS; i++) assert_true(many[i].listening);
    for (int i = 0; i < EARS; i++) ear_close(&many[i]);
    world_close(&w);
}

static void close_pool(struct ear *e)
{
    (void)e;
    pg_pool_close(many_world->pool, 0, NULL, NULL);
    many_world->pool = NULL;
}
static void the_pool_may_be_closed(void **state)
{
    (void)state;
    struct world w;
    for (int in = 0; in < 2; in++) {
        open_many(&w, "");
        if (in) many[1].then = close_pool;
        else many[1].when = close_pool;
        if (in) say(&w, "a", 1);
        else model_conn_end(newest(&w), MODEL_END_RESET, NULL);
        world_run(&w, WORLD_SECOND);
        for (int i = 0; i < EARS; i++) assert_int_equal(many[i].down, 1);
        assert_null(w.pool);
        many[1].when = NULL;
        world_close(&w);
    }
}

/* ---- budgets of turns, and memory ---- */

static void a_flood_starves_nobody(void **state)
{
    (void)state;
    struct world w;
    struct ear e;
    struct seen s;
    world_open(&w, "");
    ear_open(&w, &e, news);
    seen_init(&s, &world_echo, 1);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 10 * WORLD_MS);
    for (int i = 1; i <= 100000; i++) say(&w, news, i);
    seen_init(&s, &world_echo, 2);
    pg_pool_query(w.pool, &s.query);
    for (int i = 0; i < 100 && !s.done; i++) world_run(&w, 20000);
    assert_int_equal(s.done, 1);
    assert_in_range(e.notified, 0, 50000); /* it did not wait for all of them */
    world_run(&w, 20 * WORLD_SECOND);
    assert_int_equal(e.notified, 100000);
    assert_false(e.gap);
    ear_close(&e);
    world_close(&w);
}

/* With as few resumes as there may be, nothing is lost or mixed up; a turn runs about as many callbacks as it may. */
static unsigned turn_calls, most_calls;
static void after_turn(void *arg, struct pg_reactor *r)
{
    (void)arg;
    (void)r;
    if (calls - turn_calls > most_calls) most_calls = calls - turn_calls;
    turn_calls = calls;
}
static void the_turns_budget_counts(void **state)
{
    (void)state;
    struct world w;
    struct ear e[3];
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 60000 };
    struct model_config server = { 0 };
    struct pg_reactor_config reactor = PG_REACTOR_CONFIG(NULL);
    struct pg_pool_config pool = PG_POOL_CONFIG(NULL);
    reactor.resumes_per_turn = 4;
    world_open_reactor(&w, &sim, &server, &reactor, &pool, "");
    for (int i = 0; i < 3; i++) ear_open(&w, &e[i], news);
    world_run(&w, 10 * WORLD_MS);
    turn_calls = calls;
    most_calls = 0;
    sim_watch(w.sim, NULL, after_turn, NULL);
    for (int i = 1; i <= 1000; i++) say(&w, news, i);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < 3; i++) assert_int_equal(e[i].notified, 1000);
    for (int i = 0; i < 3; i++) assert_false(e[i].gap);
    assert_in_range(most_calls, 1, 2 * 4 + 3);
    sim_watch(w.sim, NULL, NULL, NULL);
    for (int i = 0; i < 3; i++) ear_close(&e[i]);
    world_close(&w);
}

/* More channels than fit into the pipeline at once. */
static void many_channels(void **state)
{
    (void)state;
    enum { MANY = 500 };
    static struct ear e[MANY];
    static char name[MANY][16];
    struct world w;
    world_open(&w, "pool_max_pipeline=4");
    for (int i = 0; i < MANY; i++) {
        snprintf(name[i], sizeof name[i], "channel %d", i);
        ear_open(&w, &e[i], name[i]);
    }
    world_run(&w, WORLD_SECOND);
    model_conn_end(newest(&w), MODEL_END_RESET, NULL);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < MANY; i++) say(&w, name[i], i + 1);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(e[i].up, 2);
        assert_int_equal(e[i].notified, 1);
        assert_int_equal(e[i].last, i + 1);
    }
    for (int i = 1; i < MANY; i++) ear_close(&e[i]);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(model_server_notify(w.server, name[1], "1"), 0);
    assert_int_equal(model_server_notify(w.server, name[0], "2"), 1);
    ear_close(&e[0]);
    world_close(&w);
}

/* A LISTEN of somebody's own, on a lease, is theirs; what is notified there is passed over. */
static void a_leases_own_listen_is_not_ours(void **state)
{
    (void)state;
    struct world w;
    struct ear e;
    struct held h;
    struct seen s;
    world_open(&w, "");
    ear_open(&w, &e, news);
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 10 * WORLD_MS);
    seen_sql(&s, "LISTEN \"News \"\"Items\"\"\"");
    pg_lease_query(&h.lease, &s.query);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(model_server_notify(w.server, news, "1"), 2);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(e.notified, 1);
    pg_lease_release(&h.lease);
    ear_close(&e);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_notified_is_heard),
        cmocka_unit_test(all_share_one_connection),
        cmocka_unit_test(it_serves_nobody),
        cmocka_unit_test(waiters_do_not_wait_for_it),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(only_a_reset_touches_it),
        cmocka_unit_test(it_follows_the_primary),
        cmocka_unit_test(closing_ends_it_and_tells),
        cmocka_unit_test(others_may_be_unlistened),
        cmocka_unit_test(whoever_comes_is_told_true_first),
        cmocka_unit_test(the_pool_may_be_closed),
        cmocka_unit_test(a_flood_starves_nobody),
        cmocka_unit_test(the_turns_budget_counts),
        cmocka_unit_test(many_channels),
        cmocka_unit_test(a_leases_own_listen_is_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
