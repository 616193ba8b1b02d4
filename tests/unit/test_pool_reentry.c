/* unit/test_pool_reentry.c - callbacks that do everything (failures 47): from each place where the library calls its
 * caller, each thing that a caller may do there, itself included. Whatever it is, each request that was not given up
 * ends exactly once, and pool and reactor close with nothing left. On the simulated host, one world per pair. */
#include "support/world.h"
#include <string.h>

enum where {
    ON_ROW,
    ON_DONE,
    ON_REFUSED,
    ON_LEASED_ROW,
    ON_LEASED_DONE,
    ON_BATCH_DONE,
    ON_GRANT,
    ON_NO_GRANT,
    ON_CONNECTED,
    ON_LOST,
    ON_RETIRED,
    ON_NOTICE,
    ON_CONNECT_FAILED,
    ON_WARM,
    PLACES
};
enum what {
    CLOSE_NOW,
    CLOSE_LATER,
    CLOSE_REACTOR,
    ABANDON_THIS,
    ABANDON_OTHERS,
    ABANDON_LEASE,
    CANCEL_THIS,
    CANCEL_ALL,
    QUERY,
    ACQUIRE,
    TRY,
    LEASED_QUERY,
    RESUME,
    STATS,
    GROW,
    SHRINK,
    RESET,
    SUSPEND,
    WARM,
    DEEDS
};

enum { OTHERS = 6 };
static struct scene {
    struct world w;
    struct pg_pool *pool;
    enum where where;
    enum what what;
    bool acted, closed;
    unsigned warm;
    struct pg_query *here; /* the query whose callback runs */
    struct seen shared, refused, leased, batch[3], other[OTHERS], more;
    struct held lease, waiting, hopeless, again;
    bool gone_shared, gone_leased, gone_others, gone_lease;
} s;

static void on_closed(void *arg) { (void)arg, s.closed = true; }

static void abandon_others(void)
{
    s.gone_others = true;
    for (int i = 0; i < OTHERS; i++) pg_query_abandon(&s.other[i].query);
    for (int i = 0; i < 3; i++) pg_query_abandon(&s.batch[i].query);
    pg_lease_abandon(&s.waiting.lease);
    for (int i = 0; i < OTHERS; i++) memset(&s.other[i].query, 0, sizeof s.other[i].query);
}

static void cancel_all(void)
{
    for (int i = 0; i < OTHERS; i++) pg_query_cancel(&s.other[i].query);
    for (int i = 0; i < 3; i++) pg_query_cancel(&s.batch[i].query);
    pg_query_cancel(&s.shared.query);
    pg_query_cancel(&s.leased.query);
    pg_query_cancel(&s.refused.query);
}

static void on_warm(void *arg, int status);

static void act(enum where where)
{
    if (where != s.where || s.acted) return;
    s.acted = true;
    switch (s.what) {
    case CLOSE_NOW: pg_pool_close(s.pool, 0, on_closed, NULL); break;
    case CLOSE_LATER: pg_pool_close(s.pool, pg_reactor_now(s.w.reactor) + 50 * WORLD_MS, on_closed, NULL); break;
    case CLOSE_REACTOR: pg_reactor_close(s.w.reactor, 0); break;
    case ABANDON_THIS:
        if (s.here) pg_query_abandon(s.here);
        if (s.here == &s.shared.query) s.gone_shared = true;
        if (s.here == &s.leased.query) s.gone_leased = true;
        break;
    case ABANDON_OTHERS: abandon_others(); break;
    case ABANDON_LEASE:
        pg_lease_abandon(&s.lease.lease);
        s.gone_lease = s.gone_leased = true;
        break;
    case CANCEL_THIS:
        if (s.here) pg_query_cancel(s.here);
        break;
    case CANCEL_ALL: cancel_all(); break;
    case QUERY:
        seen_init(&s.more, &world_echo, 9);
        pg_pool_query(s.pool, &s.more.query);
        break;
    case ACQUIRE: pg_pool_acquire(s.pool, &s.again.lease); break;
    case TRY:
        if (pg_pool_try_acquire(s.pool, &s.again.lease) == 0) pg_lease_release(&s.again.lease);
        break;
    case LEASED_QUERY:
        if (!s.lease.grants || s.lease.status || s.gone_lease) break;
        seen_init(&s.more, &world_echo, 9);
        pg_lease_query(&s.lease.lease, &s.more.query);
        break;
    case RESUME: pg_query_resume(&s.leased.query), pg_query_resume(&s.shared.query); break;
    case STATS: (void)world_stats(&s.w); break;
    case GROW: assert_int_equal(pg_pool_resize(s.pool, 3, 5), 0); break;
    case SHRINK: assert_int_equal(pg_pool_resize(s.pool, 0, 1), 0); break;
    case RESET: pg_pool_reset(s.pool); break;
    case SUSPEND: pg_pool_suspend(s.pool); break;
    case WARM: assert_int_equal(pg_pool_warm(s.pool, 0, on_warm, NULL), 0); break;
    case DEEDS: break;
    }
}

/* ---- the callbacks ---- */

static void on_warm(void *arg, int status)
{
    (void)arg, (void)status;
    s.warm++;
    act(ON_WARM);
}

static enum pg_flow row(struct pg_query *q, struct pg_row *r)
{
    (void)r;
    s.here = q;
    act(q == &s.leased.query ? ON_LEASED_ROW : q == &s.shared.query ? ON_ROW : PLACES);
    s.here = NULL;
    return PG_PAUSE;
}
static void done(struct pg_query *q)
{
    struct seen *seen = q->data;
    seen->done++;
    seen->status = q->status;
    s.here = q;
    act(q == &s.shared.query ? ON_DONE : q == &s.refused.query ? ON_REFUSED : q == &s.leased.query ? ON_LEASED_DONE
        : q == &s.batch[0].query ? ON_BATCH_DONE : PLACES);
    s.here = NULL;
}
static void grant(struct pg_lease *l, int status)
{
    struct held *h = l->data;
    h->grants++;
    h->status = status;
    if (h == &s.lease && !status) {
        pg_lease_query(l, &s.leased.query);
        act(ON_GRANT);
    }
    if (h == &s.hopeless) act(ON_NO_GRANT);
}
static void event(void *arg, const struct pg_event *e)
{
    (void)arg;
    static const enum where place[] = { [PG_EVENT_CONNECTED] = ON_CONNECTED,
                                        [PG_EVENT_CONNECT_FAILED] = ON_CONNECT_FAILED,
                                        [PG_EVENT_LOST] = ON_LOST,
                                        [PG_EVENT_RETIRED] = ON_RETIRED,
                                        [PG_EVENT_NOTICE] = ON_NOTICE };
    act(place[e->kind]);
}

static void query(struct seen *seen, struct pg_statement *statement, int64_t param)
{
    seen_init(seen, statement, param);
    seen->query.on_row = row;
    seen->query.on_done = done;
}
static void hold(struct held *h)
{
    held_init(h);
    h->lease.on_grant = grant;
}

/* ---- one world ---- */

static void open_scene(void)
{
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
    struct model_config server = { .exit_delay_ns = 200000 };
    struct pg_pool_config pc =
        PG_POOL_CONFIG("host=127.0.0.1 user=app dbname=app pool_max_conns=2 pool_close_linger=200ms");
    pc.on_event = event;
    world_open_with(&s.w, &sim, &server, "pool_max_conns=1"); /* its own pool stays idle */
    if (s.where == ON_CONNECT_FAILED) model_server_refuse(s.w.server, "57P03");
    assert_int_equal(pg_pool_open(&s.pool, s.w.reactor, &pc, NULL), 0);
}

static void start_all(void)
{
    hold(&s.lease), hold(&s.waiting), hold(&s.hopeless), hold(&s.again);
    query(&s.shared, &world_echo, 1);
    query(&s.leased, &world_echo, 2);
    query(&s.refused, NULL, 0);
    s.refused.query.sql = "BEGIN";
    for (int i = 0; i < 3; i++) query(&s.batch[i], i == 1 ? &world_insert : &world_echo, i);
    s.batch[0].query.next = &s.batch[1].query;
    s.batch[1].query.next = &s.batch[2].query;
    assert_int_equal(pg_pool_warm(s.pool, PG_NEVER, on_warm, NULL), 0);
    pg_pool_acquire(s.pool, &s.lease.lease);
    pg_pool_query(s.pool, &s.shared.query);
    pg_pool_query(s.pool, &s.batch[0].query);
    for (int i = 0; i < OTHERS; i++) query(&s.other[i], &world_echo, 10 + i), pg_pool_query(s.pool, &s.other[i].query);
    pg_pool_query(s.pool, &s.refused.query);
    pg_pool_acquire(s.pool, &s.waiting.lease);
    s.hopeless.lease.deadline_ns = pg_reactor_now(s.w.reactor);
    pg_pool_acquire(s.pool, &s.hopeless.lease);
}

static void play(enum where where, enum what what)
{
    memset(&s, 0, sizeof s);
    s.where = where;
    s.what = what;
    open_scene();
    start_all();
    world_run(&s.w, 20 * WORLD_MS);
    model_server_refuse(s.w.server, NULL);
    for (size_t i = 0; i < model_conn_count(s.w.server); i++)
        if (model_conn_alive(model_conn_at(s.w.server, i)))
            model_conn_notice(model_conn_at(s.w.server, i), "01000", "listen");
    world_run(&s.w, 20 * WORLD_MS);
    for (int i = 0; i < 10; i++) pg_query_resume(&s.leased.query), world_run(&s.w, WORLD_MS);
    if (where == ON_LOST)
        for (size_t i = 0; i < model_conn_count(s.w.server); i++)
            model_conn_end(model_conn_at(s.w.server, i), MODEL_END_FATAL, "57P01");
    if (where == ON_RETIRED) { /* the other one is held */
        pg_lease_abandon(&s.waiting.lease);
        pg_pool_reset(s.pool);
    }
    world_run(&s.w, WORLD_SECOND);
    if (what == SUSPEND) pg_pool_resume(s.pool);
    for (int i = 0; i < 100; i++) pg_query_resume(&s.leased.query), world_run(&s.w, 50 * WORLD_MS);
    assert_true(s.acted);
    assert_int_equal(s.warm, 1 + (what == WARM));
    if (!s.gone_lease && s.lease.grants && !s.lease.status) pg_lease_abandon(&s.lease.lease);
    world_run(&s.w, 20 * WORLD_SECOND);
    pg_lease_abandon(&s.waiting.lease);
    pg_lease_abandon(&s.again.lease);
    assert_int_equal(s.shared.done, !s.gone_shared || where == ON_DONE);
    assert_int_equal(s.refused.done, 1);
    assert_int_equal(s.hopeless.grants, 1);
    for (int i = 0; i < OTHERS; i++) assert_true(s.other[i].done == 1 || s.gone_others);
    if (!s.gone_others) assert_int_equal(s.batch[0].done + s.batch[1].done + s.batch[2].done, 3);
    if (what == QUERY) assert_int_equal(s.more.done, 1);
    if (what == ACQUIRE) assert_int_equal(s.again.grants, 1);
    if (what != CLOSE_NOW && what != CLOSE_LATER && what != CLOSE_REACTOR) pg_pool_close(s.pool, 0, on_closed, NULL);
    world_run(&s.w, 20 * WORLD_SECOND);
    if (what != CLOSE_REACTOR) assert_true(s.closed);
    if (what == CLOSE_REACTOR) s.w.pool = NULL;
    while (sim_step(s.w.sim)) {} /* the server's end may come after the reactor's */
    world_close(&s.w);
}

static void every_deed_in_every_place(void **state)
{
    (void)state;
    for (int where = 0; where < PLACES; where++)
        for (int what = 0; what < DEEDS; what++) play((enum where)where, (enum what)what);
}

/* ---- a lease that is acquired again inside of its own grant, and half-way closes its pool there ---- */

enum { ROUNDS = 1000 };
static struct { struct world w; unsigned grants, refusals, inside; } again;

static void on_round(struct pg_lease *lease, int status)
{
    assert_int_equal(again.inside++, 0);
    if (status) assert_int_equal(status, PG_E_CLOSED), again.refusals++;
    else again.grants++, pg_lease_release(lease);
    if (again.grants == ROUNDS / 2) pg_pool_close(again.w.pool, 0, NULL, NULL);
    if (again.grants + again.refusals < ROUNDS) pg_pool_acquire(again.w.pool, lease);
    again.inside--;
}
static void a_lease_is_acquired_again_in_its_grant(void **state)
{
    (void)state;
    memset(&again, 0, sizeof again);
    world_open(&again.w, "pool_max_conns=1");
    struct pg_lease leases[2] = { { .on_grant = on_round }, { .on_grant = on_round } };
    for (int i = 0; i < 2; i++) pg_pool_acquire(again.w.pool, &leases[i]);
    world_run(&again.w, WORLD_SECOND);
    assert_int_equal(again.grants, ROUNDS / 2); /* none after the close, and all others told so */
    assert_int_equal(again.refusals, ROUNDS / 2 + 1);
    assert_int_equal(model_stats(again.w.server)->connections_total, 1);
    again.w.pool = NULL;
    world_close(&again.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_deed_in_every_place),
                                        cmocka_unit_test(a_lease_is_acquired_again_in_its_grant) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
