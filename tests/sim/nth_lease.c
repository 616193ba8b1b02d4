/* sim/nth_lease.c - short scenarios of leases and fibers, for nth_failure.h. */
#include "sim/nth_failure.h"

/* ---- leases ---- */

static void transfer(struct held *h)
{
    ask_held(h, &pg_begin, NULL, NULL);
    ask_held(h, &nth_insert, NULL, NULL);
    ask_held(h, &pg_commit, NULL, release_when_done);
}
static bool transaction(struct world *w, int step)
{
    size_t committed;
    if (step == 0) acquire(w, transfer, 3 * SECOND);
    (void)model_committed(w->server, &committed);
    if (step && w->queries == 3 && w->query[2].query.status == PG_OK) assert_int_equal(committed, 1);
    return step < 1;
}

static bool acquire_and_release(struct world *w, int step)
{
    acquire(w, let_go, 3 * SECOND);
    acquire(w, let_go, 3 * SECOND);
    return step < 1;
}

static bool park_and_time_out(struct world *w, int step)
{
    if (step == 0) {
        acquire(w, NULL, 3 * SECOND);
        acquire(w, NULL, 3 * SECOND);
        acquire(w, NULL, 3 * SECOND); /* of one connection */
        return true;
    }
    for (unsigned i = 0; i < w->leases; i++)
        if (is_held(&w->held[i])) let_go(&w->held[i]);
    return false;
}

static bool abandon_all(struct world *w, int step)
{
    if (step == 0)
        for (int i = 0; i < 5; i++) acquire(w, NULL, 3 * SECOND);
    if (step == 0) abandon(&w->held[4]); /* parked, and nothing stands yet */
    for (unsigned i = 0; i < w->leases && step; i++) abandon(&w->held[i]);
    return step < 1;
}

static void sleeps(struct held *h)
{
    ask_held(h, &pg_begin, NULL, NULL);
    ask_held(h, NULL, "SLEEP 1000", NULL);
    ask_held(h, &nth_insert, NULL, NULL);
}
static bool abandon_at_work(struct world *w, int step)
{
    struct held *h = acquire(w, sleeps, 3 * SECOND);
    pass(w, 20 * MS);
    abandon(h);
    return step < 1;
}

static bool cancel_at_work(struct world *w, int step)
{
    if (step == 0) {
        struct held *h = acquire(w, NULL, 3 * SECOND);
        pass(w, 20 * MS);
        if (!is_held(h)) return true;
        struct one *o = ask_held(h, NULL, "SLEEP 1000", NULL);
        pass(w, 5 * MS);
        pg_query_cancel(&o->query);
        return true;
    }
    if (is_held(&w->held[0])) let_go(&w->held[0]);
    return false;
}

static void leave_open(struct held *h)
{
    ask_held(h, &pg_begin, NULL, NULL);
    ask_held(h, &nth_insert, NULL, release_when_done);
}
static void leave_failed(struct held *h)
{
    ask_held(h, &pg_begin, NULL, NULL);
    ask_held(h, NULL, "FAIL 23505", release_when_done);
}
static bool rollback_on_release(struct world *w, int step)
{
    size_t committed;
    acquire(w, leave_open, 3 * SECOND);
    acquire(w, leave_failed, 3 * SECOND);
    (void)model_committed(w->server, &committed);
    assert_int_equal(committed, 0);
    return step < 1;
}

static void pauses(struct held *h)
{
    struct one *o = make(h->world, &nth_rows, 2000);
    o->held = h;
    o->flow = PG_PAUSE;
    o->query.on_done = release_when_done;
    pg_lease_query(&h->lease, &o->query);
}
static bool pause_and_resume(struct world *w, int step)
{
    if (step == 0) acquire(w, pauses, 3 * SECOND);
    if (step == 0 || !w->queries) return step == 0;
    struct one *o = &w->query[0];
    if (step == 3) o->flow = PG_CONTINUE;
    pg_query_resume(&o->query);
    return step < 4;
}

static bool try_to_acquire(struct world *w, int step)
{
    if (step == 0) ask(w, &nth_echo, 1); /* so that something stands */
    if (step == 0) return true;
    struct held *h = &w->held[w->leases++];
    int rc = pg_pool_try_acquire(w->pool, &h->lease);
    h->world = w;
    h->grants = 1;
    if (rc) h->returned = 1;
    else ask_held(h, &nth_echo, NULL, release_when_done);
    return step < 2;
}

static bool lost_under_a_lease(struct world *w, int step)
{
    if (step == 0) acquire(w, NULL, 3 * SECOND);
    if (step == 1) {
        if (is_held(&w->held[0])) ask_held(&w->held[0], NULL, "SLEEP 50", NULL);
        pass(w, 5 * MS);
        model_server_restart(w->server, MODEL_END_RESET, 0);
    }
    if (step == 2 && is_held(&w->held[0])) let_go(&w->held[0]);
    return step < 2;
}

static bool urgent(struct world *w, int step)
{
    if (step == 0) {
        for (int i = 0; i < 3; i++) acquire(w, i < 2 ? NULL : let_go, 3 * SECOND);
        struct held *h = &w->held[w->leases++];
        h->world = w;
        h->then = let_go;
        h->lease = w->held[0].lease; /* its callback; that one is parked, and this one a copy that is cleared */
        for (size_t i = 0; i < sizeof h->lease.private_ / 8; i++) h->lease.private_[i] = 0;
        h->lease.data = h;
        h->lease.priority = PG_PRIORITY_HIGH;
        pg_pool_acquire(w->pool, &h->lease);
        return true;
    }
    for (unsigned i = 0; i < w->leases; i++)
        if (is_held(&w->held[i])) let_go(&w->held[i]);
    return false;
}

/* ---- fibers ---- */

static int pay(struct pg_lease *lease, void *arg)
{
    (void)arg;
    struct pg_param p = pg_int8(9);
    struct pg_query q = { .statement = &nth_insert, .params = &p, .nparams = 1 };
    pg_lease_query(lease, &q);
    return pg_await(&q);
}
static void transacts(void *arg)
{
    struct world *w = arg;
    size_t committed;
    int rc = pg_await_transaction(w->pool, NULL, 2, sim_now(w->sim) + 3 * SECOND, pay, NULL, NULL);
    (void)model_committed(w->server, &committed);
    if (rc == 0) assert_true(committed >= 1);
    w->fibers_ended++;
}
static void pulls(void *arg)
{
    struct world *w = arg;
    struct pg_lease lease = { .deadline_ns = sim_now(w->sim) + 3 * SECOND };
    struct pg_param p = pg_int8(5);
    struct pg_query q = { .statement = &nth_rows, .params = &p, .nparams = 1, .on_row = pg_row_pull };
    struct pg_row *row;
    int rc = pg_await_acquire(w->pool, &lease), rows = 0;
    if (rc == 0) {
        pg_lease_query(&lease, &q);
        while ((rc = pg_await_row(&q, &row)) > 0) assert_int_equal(pg_row_int8(row, 0), rows++);
        assert_true(rc || rows == 5);
        pg_lease_release(&lease);
    }
    w->fibers_ended++;
}
static void is_cancelled(void *arg)
{
    struct world *w = arg;
    struct pg_query q = { .sql = "SLEEP 1000" };
    pg_pool_query(w->pool, &q);
    (void)!pg_await(&q); /* on its stack: abandoned before it returns */
    w->fibers_ended++;
}
static void spawn(struct world *w, void (*run)(void *), struct pg_fiber *out)
{
    int rc = pg_fiber_spawn(w->reactor, run, w, out);
    assert_true(rc == 0 || rc == -ENOMEM);
    w->fibers_begun += rc == 0;
}
static bool fibers(struct world *w, int step)
{
    struct pg_fiber fiber;
    spawn(w, transacts, NULL);
    spawn(w, pulls, NULL);
    spawn(w, is_cancelled, &fiber);
    pass(w, 30 * MS);
    pg_fiber_cancel(fiber);
    return step < 1;
}

/* More than both buffers hold, in; and the default's lines, out. */
static void copies(void *arg)
{
    enum { LINES = 20000 };
    static const char line[] = "123456789\n";
    struct world *w = arg;
    struct pg_lease lease = { .deadline_ns = sim_now(w->sim) + 3 * SECOND };
    struct pg_copy in = { .query.sql = "COPYIN" };
    struct pg_copy out = { .query.sql = "COPYOUT 20000", .on_data = pg_copy_pull };
    char part[1000];
    int64_t n, lines = 0;
    int rc = pg_await_acquire(w->pool, &lease);
    if (rc == 0) {
        pg_lease_copy(&lease, &in);
        for (int i = 0; i < LINES && rc == 0; i++) rc = pg_await_copy_write(&in, line, sizeof line - 1);
        pg_copy_finish(&in, NULL);
        rc = pg_await(&in.query);
        assert_true(rc || in.query.rows == LINES);
        pg_lease_copy(&lease, &out);
        while ((n = pg_await_copy_read(&out, part, sizeof part)) > 0)
            for (int64_t i = 0; i < n; i++) lines += part[i] == '\n';
        assert_true(n || lines == LINES);
        pg_lease_release(&lease);
    }
    w->fibers_ended++;
}
static bool copy(struct world *w, int step)
{
    spawn(w, copies, NULL);
    return step < 1;
}

const struct scenario nth_lease[] = {
    { "a transaction", transaction, NULL, "...|.", MODEL_TRUST, 0 },
    { "acquire and release", acquire_and_release, NULL, "|....", MODEL_TRUST, 0 },
    { "park and time out", park_and_time_out, "pool_max_conns=1", "|.TT", MODEL_TRUST, 0 },
    { "abandon held and parked", abandon_all, NULL, "|...T-", MODEL_TRUST, 0 },
    { "abandon at work", abandon_at_work, NULL, ".--.--|..", MODEL_TRUST, 0 },
    { "cancel at work", cancel_at_work, NULL, "C|.", MODEL_TRUST, 0 },
    { "rollback on release", rollback_on_release, NULL, "...S...S|....", MODEL_TRUST, 0 },
    { "pause and resume", pause_and_resume, NULL, ".|.", MODEL_TRUST, 0 },
    { "try to acquire", try_to_acquire, NULL, "...|..", MODEL_TRUST, 0 },
    { "lost under a lease", lost_under_a_lease, NULL, "L|.", MODEL_TRUST, 0 },
    { "an urgent lease", urgent, "pool_max_conns=2 pool_reserved_conns=1", "|.TT.", MODEL_TRUST, 0 },
    { "fibers", fibers, NULL, "|", MODEL_TRUST, 0 },
    { "copies", copy, NULL, "|", MODEL_TRUST, 0 },
    { NULL, NULL, NULL, NULL, MODEL_TRUST, 0 },
};
