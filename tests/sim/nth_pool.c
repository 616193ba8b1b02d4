/* sim/nth_pool.c - short scenarios of a pool's life, and of several pools, for nth_failure.h. */
#include "sim/nth_failure.h"

static void on_warm(void *arg, int status)
{
    struct world *w = arg;
    w->warm_told++;
    assert_true(status == 0 || status == PG_E_TIMEOUT || status == PG_E_UNAVAILABLE);
}
static void warm_up(struct world *w)
{
    int rc = pg_pool_warm(w->pool, sim_now(w->sim) + 3 * SECOND, on_warm, w);
    assert_true(rc == 0 || rc == -ENOMEM);
    w->warm_begun += rc == 0;
}

/* What could not be had leaves the size as it was. */
static void resize(struct world *w, uint32_t min, uint32_t max)
{
    struct pg_pool_stats before = { .size = sizeof before }, after = { .size = sizeof after };
    pg_pool_stats(w->pool, &before);
    int rc = pg_pool_resize(w->pool, min, max);
    pg_pool_stats(w->pool, &after);
    assert_true(rc == 0 || rc == -ENOMEM);
    assert_int_equal(after.max_conns, rc ? before.max_conns : max);
}

static bool sizes(struct world *w, int step)
{
    static const uint32_t max[] = { 2, 8, 1 };
    if (step == 1) pg_pool_reset(w->pool);
    resize(w, step == 1 ? 5 : 0, max[step]);
    warm_up(w);
    ask(w, &nth_echo, step);
    return step < 2;
}

static bool resets(struct world *w, int step)
{
    ask(w, &nth_echo, step);
    acquire(w, let_go, 3 * SECOND);
    if (step) pg_pool_reset(w->pool);
    pass(w, 500000);
    pg_pool_reset(w->pool); /* in the middle of whatever that was */
    return step < 2;
}

static bool suspends(struct world *w, int step)
{
    if (step == 1) pg_pool_suspend(w->pool);
    ask(w, &nth_echo, step);
    acquire(w, let_go, 3 * SECOND);
    pass(w, SECOND);
    if (step == 1) pg_pool_resume(w->pool);
    return step < 2;
}

static bool warms(struct world *w, int step)
{
    warm_up(w);
    warm_up(w);
    return step < 0;
}

static bool grows_old(struct world *w, int step)
{
    ask(w, &nth_echo, step);
    ask(w, &nth_echo, step);
    return step < 3;
}

static bool own_statements(struct world *w, int step)
{
    ask(w, &nth_echo, step);
    acquire(w, let_go, 3 * SECOND);
    if (step == 0) return true;
    struct held *h = acquire(w, NULL, 3 * SECOND);
    pass(w, 100 * MS);
    if (is_held(h)) ask_held(h, NULL, "SET x TO 1", release_when_done);
    return step < 2;
}

static bool closes_with_waiters(struct world *w, int step)
{
    if (step == 0) {
        for (int i = 0; i < 3; i++) acquire(w, NULL, 3 * SECOND);
        for (int i = 0; i < 3; i++) ask(w, &nth_echo, i);
        pass(w, 10 * MS);
        close_pool(w, &w->pool, 0);
        return true;
    }
    for (unsigned i = 0; i < w->leases; i++)
        if (is_held(&w->held[i])) let_go(&w->held[i]);
    return false;
}

static bool closes_with_a_lease(struct world *w, int step)
{
    if (step == 0) acquire(w, NULL, 3 * SECOND);
    if (step == 1) close_pool(w, &w->pool, 0);
    if (step == 2 && is_held(&w->held[0])) let_go(&w->held[0]); /* it was held on nothing */
    return step < 2;
}

static bool drains(struct world *w, int step)
{
    ask_sql(w, "SLEEP 10");
    acquire(w, let_go, 3 * SECOND);
    close_pool(w, &w->pool, SECOND);
    return step < 0;
}

static bool two_pools(struct world *w, int step)
{
    struct pg_pool *first = w->pool;
    if (step == 0) (void)!open_pool(w, &w->second, "pool_max_conns=2");
    ask(w, &nth_echo, 1);
    acquire(w, let_go, 3 * SECOND);
    if (w->second) {
        w->pool = w->second;
        ask(w, &nth_echo, 2);
        acquire(w, let_go, 3 * SECOND);
        w->pool = first;
    }
    return step < 1;
}

static bool refused_at_first(struct world *w, int step)
{
    static const enum sim_connect how[] = { SIM_REFUSE, SIM_HANG, SIM_BACKLOG_FULL };
    if (step < 3) model_server_connects(w->server, how[step]);
    ask(w, &nth_echo, 1)->query.deadline_ns = sim_now(w->sim) + 4 * SECOND;
    pass(w, SECOND);
    model_server_connects(w->server, SIM_ACCEPT);
    if (step == 2) pg_pool_reset(w->pool);
    return step < 2;
}

static bool server_restarts(struct world *w, int step)
{
    ask(w, &nth_echo, step);
    ask_sql(w, "SLEEP 5");
    pass(w, 2 * MS);
    if (step) model_server_restart(w->server, step == 1 ? MODEL_END_FATAL : MODEL_END_EOF, 200 * MS);
    return step < 2;
}

static bool server_is_full(struct world *w, int step)
{
    model_settings(w->server)->max_connections = step ? 0 : 1;
    for (int i = 0; i < 3; i++) acquire(w, i ? let_go : NULL, 3 * SECOND);
    pass(w, 200 * MS);
    if (is_held(&w->held[0])) let_go(&w->held[0]);
    if (step && is_held(&w->held[3])) let_go(&w->held[3]);
    return step < 1;
}

static bool is_watched(struct world *w, int step)
{
    struct pg_pool_stats s = { .size = sizeof s };
    static char text[65536];
    ask(w, &nth_echo, step);
    pass(w, MS);
    pg_pool_stats(w->pool, &s);
    assert_true(s.total_conns >= s.idle_conns + s.acquired_conns && s.query.count == s.query_count);
    assert_true(pg_pool_metrics(w->pool, text, sizeof text) < sizeof text);
    return step < 2;
}

static bool several_hosts(struct world *w, int step)
{
    model_server_connects(step == 1 ? w->server : w->beside, step == 2 ? SIM_ACCEPT : SIM_REFUSE);
    if (step == 1) model_server_connects(w->beside, SIM_ACCEPT);
    if (step == 1) model_server_restart(w->server, MODEL_END_RESET, 0);
    ask(w, &nth_echo, step);
    acquire(w, let_go, 3 * SECOND);
    return step < 2;
}

static bool shares_a_budget(struct world *w, int step)
{
    struct pg_pool *first = w->pool;
    if (step == 0) (void)!open_pool(w, &w->second, "");
    for (int i = 0; i < 3; i++) ask_sql(w, "SLEEP 5");
    pass(w, MS);
    if (w->second) {
        w->pool = w->second;
        for (int i = 0; i < 3; i++) ask_sql(w, "SLEEP 5");
        w->pool = first;
    }
    return step < 1;
}

static void asks(struct held *h)
{
    ask_held(h, &nth_echo, NULL, release_when_done);
}
static bool has_hooks(struct world *w, int step)
{
    ask(w, &nth_echo, step);
    acquire(w, let_go, 3 * SECOND);
    acquire(w, asks, 3 * SECOND);
    pass(w, 20 * MS);
    if (step) pg_pool_reset(w->pool);
    return step < 1;
}

static bool stands_in_its_queue(struct world *w, int step)
{
    for (int i = 0; i < 12; i++) {
        ask_sql(w, "SLEEP 20")->query.deadline_ns = sim_now(w->sim) + 100 * MS;
        pass(w, 10 * MS);
    }
    return step < 1;
}

static void heard(struct pg_listener *l, struct pg_text payload, int32_t pid)
{
    (void)payload;
    (void)pid;
    pg_pool_unlisten(l);
}
static bool listens(struct world *w, int step)
{
    static struct pg_listener a, b;
    if (step == 0) a = (struct pg_listener){ .channel = "a", .on_notify = heard }, b = a, b.channel = "b";
    pg_pool_unlisten(&a);
    pg_pool_unlisten(&b);
    int rc = pg_pool_listen(w->pool, &a, NULL), also = pg_pool_listen(w->pool, &b, NULL);
    assert_true((rc == 0 || rc == -ENOMEM) && (also == 0 || also == -ENOMEM));
    ask(w, &nth_echo, step);
    pass(w, 100 * MS);
    (void)model_server_notify(w->server, "a", "payload");
    if (step == 1) model_server_restart(w->server, MODEL_END_RESET, 0);
    if (step == 2) pg_pool_reset(w->pool);
    return step < 3;
}

#define OWN "pool_connect_sql='SET a TO 1; SET b TO 2' pool_reset_sql='DISCARD ALL'"
#define HOOKED "application_name=hooked pool_reset_sql='RESET ALL'"
#define TWO "host=127.0.0.1,127.0.0.1 port=5432,5433"
const struct scenario nth_pool[] = {
    { "resize, reset and warm", sizes, NULL, "...|", MODEL_TRUST, 0 },
    { "reset", resets, NULL, "...|...", MODEL_TRUST, 0 },
    { "suspend and resume", suspends, NULL, "...|...", MODEL_TRUST, 0 },
    { "warm", warms, "pool_min_conns=3", "|", MODEL_SCRAM, 0 },
    { "old and idle connections", grows_old,
      "pool_max_conn_lifetime=6s pool_max_conn_idle_time=2s pool_health_check_period=1s pool_min_idle_conns=1",
      "........|", MODEL_TRUST, 0 },
    { "the pool's own statements", own_statements, OWN, ".....|.....", MODEL_TRUST, 0 },
    { "hooks", resets, HOOKED, "...|...", MODEL_SCRAM, 0 },
    { "close with waiters", closes_with_waiters, "pool_max_conns=2 pool_max_pipeline=1", "XXX|..X", MODEL_TRUST, 0 },
    { "close with a lease", closes_with_a_lease, NULL, "|.", MODEL_TRUST, 0 },
    { "drain", drains, NULL, ".|.", MODEL_TRUST, 0 },
    { "two pools", two_pools, NULL, "....|....", MODEL_TRUST, 0 },
    { "refused at first", refused_at_first, "connect_timeout=2", "...|", MODEL_TRUST, 0 },
    { "the server restarts", server_restarts, NULL, "...L.L|", MODEL_TRUST, 0 },
    { "the server is full", server_is_full, NULL, "|......", MODEL_TRUST, 0 },
    { "watched", is_watched, NULL, "...|", MODEL_TRUST, 0 },
    { "two hosts", several_hosts, TWO, ".L.|...", MODEL_TRUST, WITH_BESIDE },
    { "a host of the right kind", several_hosts, TWO " target_session_attrs=read-write", ".L.|...", MODEL_TRUST,
      WITH_BESIDE },
    { "listeners", listens, NULL, "....|", MODEL_TRUST, 0 },
    { "listeners with a budget", listens, HOOKED, "....|", MODEL_SCRAM, WITH_BUDGET },
    { "hooks at work", has_hooks, HOOKED, "....|....", MODEL_TRUST, 0 },
    { "overload", stands_in_its_queue,
      "pool_max_conns=1 pool_max_pipeline=1 pool_codel_target=5ms pool_codel_interval=20ms pool_admission=on",
      "...FFF.F.F.F...FFF.F.F.F|", MODEL_TRUST, 0 },
    { "a budget", shares_a_budget, NULL, "............|", MODEL_TRUST, WITH_BUDGET },
    { NULL, NULL, NULL, NULL, MODEL_TRUST, 0 },
};
