/* unit/test_pool_hooks_all.c - exhaustive: each hook, each way in which it may end (or not), with and without a query
 * on its lease, and each thing that may happen to the pool or to those who wait while it runs, or is done by it.
 * Whatever it is: every acquire ends once and by its deadline, the pool serves again, never has more connections than
 * it may, and closes with nothing left. */
#include "hooks.h"

enum event {
    NOTHING, ABANDON_FIRST, ABANDON_BOTH, DEADLINE, RESET, SHRINK, GROW, SUSPEND, KILL, CLOSE_NOW, CLOSE_LATER, EVENTS
};
static const char *const event_names[EVENTS] = { "nothing", "abandon first", "abandon both", "deadline", "reset",
                                                 "shrink",  "grow",          "suspend",      "kill",     "close now",
                                                 "close later" };

static struct scene {
    struct hooks h; /* first */
    enum rp_hook_kind kind;
    enum event event;
    struct held lease[3];
    bool gone[3], held[3];
    bool acted, parted, inside; /* inside: it happens in the hook itself */
} s;

static uint64_t now(void) { return sim_now(s.h.w.sim); }

static void act(enum event event)
{
    struct pg_pool *pool = s.h.w.pool;
    s.h.calling = true;
    switch (event) {
    case ABANDON_BOTH:
        pg_lease_abandon(&s.lease[1].lease);
        s.gone[1] = true;
        s.held[1] = false;
        /* fall through */
    case ABANDON_FIRST:
        pg_lease_abandon(&s.lease[0].lease);
        s.gone[0] = true;
        s.held[0] = false;
        break;
    case RESET: pg_pool_reset(pool); break;
    case SHRINK: assert_int_equal(pg_pool_resize(pool, 0, 1), 0); break;
    case GROW: assert_int_equal(pg_pool_resize(pool, 3, 3), 0); break;
    case SUSPEND: pg_pool_suspend(pool); break;
    case KILL:
        for (size_t i = 0; i < model_conn_count(s.h.w.server); i++) {
            struct model_conn *conn = model_conn_at(s.h.w.server, i);
            if (model_conn_alive(conn)) model_conn_end(conn, MODEL_END_FATAL, "57P01");
        }
        break;
    case CLOSE_NOW: pg_pool_close(pool, 0, hooks_on_closed, &s.h); break;
    case CLOSE_LATER: pg_pool_close(pool, now() + 500 * WORLD_MS, hooks_on_closed, &s.h); break;
    default: break; /* the deadlines pass by themselves */
    }
    s.h.calling = false;
}

static void act_inside(enum rp_hook_kind kind)
{
    if (kind != s.kind || s.acted || !s.inside) return;
    s.acted = true;
    act(s.event);
}

/* Whoever holds one gives it back in the next step. */
static void step(void)
{
    for (int i = 0; i < 3; i++) {
        if (s.held[i]) {
            hooks_release(&s.h, &s.lease[i]);
            s.held[i] = false;
            s.gone[i] = true;
        }
        if (!s.gone[i] && s.lease[i].grants && s.lease[i].status == 0) {
            s.held[i] = true;
            char status = pg_lease_transaction(&s.lease[i].lease);
            assert_true(status == 'I' || status == 0);
        }
    }
    bool due = s.h.calls[s.kind] > 0;
    if (due && !s.acted) act(s.event);
    s.acted |= due;
    if (s.acted && s.event == SUSPEND && !(now() / (50 * WORLD_MS) % 4)) pg_pool_resume(s.h.w.pool);
    if (!s.parted && s.gone[0] && s.gone[1] && s.h.w.pool) { /* for before_close */
        s.parted = true;
        pg_pool_reset(s.h.w.pool);
    }
    if (s.h.w.pool) assert_true(world_stats(&s.h.w).total_conns <= (s.event == GROW ? 3 : 2));
    world_run(&s.h.w, 5 * WORLD_MS);
}

static void acquire(int i, uint64_t within_ns)
{
    held_init(&s.lease[i]);
    s.gone[i] = false;
    if (within_ns) s.lease[i].lease.deadline_ns = now() + within_ns;
    s.h.calling = true;
    pg_pool_acquire(s.h.w.pool, &s.lease[i].lease);
    s.h.calling = false;
}

static void one(enum rp_hook_kind kind, enum outcome outcome, bool queries, enum event event, bool inside)
{
    memset(&s, 0, sizeof s);
    s.kind = kind;
    s.event = event;
    s.inside = inside;
    s.h.inside = act_inside;
    s.h.queries = queries;
    s.h.script[kind] = outcome;
    s.gone[2] = true;
    s.h.config.connect_sql = queries ? "SET a = 1" : NULL;
    s.h.config.reset_sql = queries ? "RESET ALL" : NULL;
    hooks_open(&s.h, HOOK_ALL, NULL, "pool_max_conns=2 pool_close_linger=200ms connect_timeout=2");
    acquire(0, event == DEADLINE ? 7 * WORLD_MS : 0);
    acquire(1, 0);
    uint64_t start = now(), span = 4 * WORLD_SECOND;
    while (now() < start + span && s.h.w.pool) step();
    assert_int_equal(s.acted, true);
    for (int i = 0; i < 2; i++) /* given up, or ended once, and well but for a deadline and a close */
        if (!s.gone[i] && s.lease[i].grants == 1 && s.lease[i].status == 0) {
            hooks_release(&s.h, &s.lease[i]); /* of a pool that was closed meanwhile */
        } else if (!s.gone[i]) {
            assert_int_equal(s.lease[i].grants, 1);
            assert_true(s.lease[i].status == PG_E_CLOSED || event == DEADLINE);
            assert_true(s.lease[i].status == PG_E_CLOSED || s.lease[i].status == PG_E_UNAVAILABLE ||
                        s.lease[i].status == PG_E_TIMEOUT);
        }
    if (s.h.w.pool && event < CLOSE_NOW) { /* all is well again */
        acquire(2, 0);
        world_run(&s.h.w, 100 * WORLD_MS);
        assert_int_equal(s.lease[2].grants, 1);
        assert_int_equal(s.lease[2].status, 0);
        hooks_release(&s.h, &s.lease[2]);
        world_run(&s.h.w, 100 * WORLD_MS);
        struct pg_pool_stats stats = world_stats(&s.h.w);
        assert_int_equal(stats.total_conns, stats.idle_conns);
        assert_int_equal(stats.total_conns, model_stats(s.h.w.server)->connections_now);
    } else {
        assert_null(s.h.w.pool); /* closed, and in time */
    }
    hooks_close(&s.h);
    for (unsigned i = 0; i < s.h.kept; i++) assert_true(!s.h.handle[i] || outcome == HOOK_NEVER || s.h.w.closed);
}

static void every_hook_every_end_every_event(void **state)
{
    (void)state;
    static const char *const verbose = "HOOKS_VERBOSE";
    for (int kind = 0; kind < RP_HOOKS; kind++)
        for (int outcome = 0; outcome < HOOK_OUTCOMES; outcome++)
            for (int queries = 0; queries < 2; queries++)
                for (int event = 0; event < 2 * EVENTS; event++) {
                    if (getenv(verbose))
                        printf("hook %d outcome %d queries %d event %s%s\n", kind, outcome, queries,
                               event_names[event / 2], event % 2 ? ", inside of it" : "");
                    one((enum rp_hook_kind)kind, (enum outcome)outcome, queries, (enum event)(event / 2), event % 2);
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_hook_every_end_every_event) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
