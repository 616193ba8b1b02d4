/* sim/nth_failure.c - the n-th allocation fails, and the n-th host call fails, for every n until none is left to fail:
 * each scenario ends all that it started exactly once, leaks nothing, serves again afterwards and closes. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sim/pg_sim.h"

enum { QUERIES = 12, LEASES = 3, MOST = 4000, LARGE = 150000 };

static struct pg_statement echo = PG_STATEMENT("ECHO $1", PG_TYPE_INT8);
static struct pg_statement echo_text = PG_STATEMENT("ECHO $1", PG_TYPE_TEXT);
static struct pg_statement insert = PG_STATEMENT("INSERT $1", PG_TYPE_INT8);

struct world;
struct one { /* query */
    struct pg_query query;
    struct pg_param param;
    struct pg_error error;
    struct world *world;
    unsigned done;
    size_t bytes; /* of the row */
};
struct held {
    struct pg_lease lease;
    struct world *world;
    unsigned grants, returned;
};
struct world {
    struct heap heap;
    struct sim *sim;
    struct model_server *server;
    struct pg_reactor *reactor;
    struct pg_pool *pool;
    struct one query[QUERIES];
    struct held held[LEASES];
    unsigned queries, leases;
    unsigned warm_begun, warm_told;
    bool closed;
};

/* ---- what is asked ---- */

static enum pg_flow on_row(struct pg_query *q, struct pg_row *row)
{
    struct one *o = q->data;
    o->bytes = pg_row_value(row, 0).size;
    return PG_CONTINUE;
}

static void on_done(struct pg_query *q)
{
    struct one *o = q->data;
    o->done++;
}

static struct one *make(struct world *w, struct pg_statement *statement, int64_t value)
{
    struct one *o = &w->query[w->queries++];
    o->world = w;
    o->param = pg_int8(value);
    o->query = (struct pg_query){
        .statement = statement, .on_row = on_row, .on_done = on_done, .data = o, .error = &o->error
    };
    if (statement && statement->types[0]) o->query.params = &o->param, o->query.nparams = 1;
    return o;
}

static void settle(struct world *w)
{
    (void)sim_run(w->sim, w->reactor, 5 * SECOND);
}

/* ---- scenarios: called before the first turn, run, and called again until they say that this was all ---- */

static bool one_query(struct world *w, int step)
{
    if (step == 0) pg_pool_query(w->pool, &make(w, &echo, 1)->query);
    return step == 0;
}

static bool run_time_sql(struct world *w, int step)
{
    struct one *o = make(w, NULL, 0);
    o->query.sql = "ECHO of a text";
    pg_pool_query(w->pool, &o->query);
    return step < 2;
}

static bool batch(struct world *w, int step)
{
    struct one *a = make(w, &insert, 1), *b = make(w, &echo, 2), *c = make(w, &insert, 3);
    (void)step;
    a->query.next = &b->query;
    b->query.next = &c->query;
    pg_pool_query(w->pool, &a->query);
    return false;
}

static bool large(struct world *w, int step)
{
    static char text[LARGE];
    struct one *o = make(w, &echo_text, 0);
    memset(text, 'x', sizeof text);
    o->param = pg_strn(text, sizeof text);
    pg_pool_query(w->pool, &o->query);
    return step < 1;
}

static bool reconnect(struct world *w, int step)
{
    size_t n = model_conn_count(w->server);
    if (step == 1 && n) model_conn_end(model_conn_at(w->server, n - 1), MODEL_END_FATAL, "57P01");
    pg_pool_query(w->pool, &make(w, &echo, step)->query);
    return step < 2;
}

static bool given_up(struct world *w, int step)
{
    struct one *o = make(w, NULL, 0);
    o->query.sql = "SLEEP 20";
    o->query.deadline_ns = sim_now(w->sim) + 10 * MS;
    pg_pool_query(w->pool, &o->query);
    struct one *gone = make(w, &echo, 1);
    pg_pool_query(w->pool, &gone->query);
    pg_query_abandon(&gone->query);
    gone->done = 1;
    return step < 1;
}

/* With cancel requests of which some fail, and then the pool is still to be used. */
static bool stopped(struct world *w, int step)
{
    struct one *o = make(w, NULL, 0);
    o->query.sql = "SLEEP 30";
    if (step == 0) o->query.deadline_ns = sim_now(w->sim) + 10 * MS;
    pg_pool_query(w->pool, &o->query);
    if (step != 2) return true;
    struct one *unsent = make(w, &echo, 1);
    pg_pool_query(w->pool, &unsent->query);
    pg_query_cancel(&unsent->query);
    return false;
}

static void release_when_done(struct pg_query *q)
{
    struct one *o = q->data;
    struct held *h = &o->world->held[0];
    on_done(q);
    h->returned++;
    pg_lease_release(&h->lease);
}

static void on_grant(struct pg_lease *lease, int status)
{
    struct held *h = lease->data;
    struct world *w = h->world;
    h->grants++;
    if (status) h->returned++;
    if (status || h != &w->held[0]) return;
    struct one *a = make(w, &pg_begin, 0), *b = make(w, &insert, 7), *c = make(w, &pg_commit, 0);
    c->query.on_done = release_when_done;
    pg_lease_query(lease, &a->query);
    pg_lease_query(lease, &b->query);
    pg_lease_query(lease, &c->query);
}

static struct held *acquire(struct world *w)
{
    struct held *h = &w->held[w->leases++];
    h->world = w;
    h->lease = (struct pg_lease){ .on_grant = on_grant, .data = h, .deadline_ns = sim_now(w->sim) + 3 * SECOND };
    pg_pool_acquire(w->pool, &h->lease);
    return h;
}

static bool transaction(struct world *w, int step)
{
    (void)step;
    acquire(w);
    return false;
}

static bool many_leases(struct world *w, int step)
{
    if (step == 0) {
        for (int i = 0; i < LEASES; i++) acquire(w);
        return true;
    }
    for (int i = 0; i < LEASES; i++) {
        if (w->held[i].returned) continue;
        w->held[i].returned++;
        pg_lease_abandon(&w->held[i].lease);
    }
    return false;
}

static void on_warm(void *arg, int status)
{
    struct world *w = arg;
    w->warm_told++;
    assert_true(status == 0 || status == PG_E_TIMEOUT || status == PG_E_UNAVAILABLE);
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
    int rc = pg_pool_warm(w->pool, sim_now(w->sim) + 3 * SECOND, on_warm, w);
    assert_true(rc == 0 || rc == -ENOMEM);
    w->warm_begun += rc == 0;
    pg_pool_query(w->pool, &make(w, &echo, step)->query);
    return step < 2;
}

/* ---- one run with one failure ---- */

static const struct scenario {
    const char *name;
    bool (*step)(struct world *, int step); /* true: once more */
    enum model_auth auth;
} scenarios[] = {
    { "one query", one_query, MODEL_TRUST },
    { "SCRAM", one_query, MODEL_SCRAM },
    { "SQL built at run time", run_time_sql, MODEL_TRUST },
    { "a batch", batch, MODEL_MD5 },
    { "large parameter and row", large, MODEL_TRUST },
    { "reconnect", reconnect, MODEL_CLEARTEXT },
    { "timeout and abandon", given_up, MODEL_TRUST },
    { "stopped at the server", stopped, MODEL_TRUST },
    { "a transaction", transaction, MODEL_TRUST },
    { "many leases", many_leases, MODEL_TRUST },
    { "resize, reset and warm", sizes, MODEL_TRUST },
};

static void on_closed(void *arg)
{
    ((struct world *)arg)->closed = true;
}

/* False: it could not even be opened, and said so. */
static bool open_world(struct world *w, const struct scenario *s, uint64_t allocation, uint64_t call)
{
    struct pg_error error = { 0 };
    memset(w, 0, sizeof *w);
    w->heap.fail_at = allocation;
    w->sim = sim_open(
        &(struct sim_config){ .seed = 7, .latency_min_ns = 20000, .latency_max_ns = 60000, .fail_call = call });
    w->server = model_server_open(
        &(struct model_config){ .sim = w->sim, .auth = s->auth, .password = "secret", .scram_iterations = 2 });
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(sim_host(w->sim));
    rc.allocate = heap_allocate;
    rc.deallocate = heap_deallocate;
    rc.arg = &w->heap;
    rc.statements = 16;
    int status = pg_reactor_open(&w->reactor, &rc, &error);
    if (status) {
        assert_int_equal(status, -ENOMEM);
        return false;
    }
    struct pg_pool_config pc =
        PG_POOL_CONFIG("host=127.0.0.1 user=app dbname=app password=secret pool_max_conns=3 pool_close_linger=100ms");
    status = pg_pool_open(&w->pool, w->reactor, &pc, &error);
    if (status) {
        assert_int_equal(status, -ENOMEM);
        assert_int_equal(error.code, -ENOMEM);
        assert_null(w->pool);
    }
    return status == 0;
}

static void check_outcomes(const struct scenario *s, struct world *w)
{
    size_t committed;
    unsigned told = 0;
    assert_int_equal(w->warm_told, w->warm_begun);
    for (unsigned i = 0; i < w->queries; i++) {
        if (w->query[i].done != 1) fail_msg("%s: query %u ended %u times", s->name, i, w->query[i].done);
        if (w->query[i].query.statement == &insert && w->query[i].query.status == PG_OK) told++;
        if (s->step == large && w->query[i].query.status == PG_OK) assert_int_equal(w->query[i].bytes, LARGE);
    }
    for (unsigned i = 0; i < w->leases; i++) {
        if (s->step == many_leases && w->held[i].grants == 0) continue; /* abandoned while it waited */
        if (w->held[i].grants != 1 || w->held[i].returned != 1)
            fail_msg("%s: lease %u: %u grants, %u returns", s->name, i, w->held[i].grants, w->held[i].returned);
    }
    (void)model_committed(w->server, &committed);
    if (s->step == batch) assert_true(committed == 0 || committed == 2);
    if (s->step == batch) assert_true(told <= committed);
}

static void close_world(struct world *w)
{
    if (w->pool) pg_pool_close(w->pool, 0, on_closed, w);
    if (w->reactor) {
        pg_reactor_close(w->reactor, 0);
        assert_int_equal(sim_run(w->sim, w->reactor, 10 * SECOND), SIM_CLOSED);
        assert_true(w->closed == (w->pool != NULL));
        pg_reactor_free(w->reactor);
    }
    for (int i = 0; i < 100000 && sim_step(w->sim); i++) {
    }
    assert_int_equal(w->heap.blocks, 0);
    assert_int_equal(sim_counters(w->sim)->descriptors_now, 0);
    assert_int_equal(model_stats(w->server)->sockets_now, 0);
    model_server_close(w->server);
    sim_close(w->sim);
}

/* The failure is over: whatever it has left behind, a query is served. */
static void serve_again(const struct scenario *s, struct world *w)
{
    struct world after = { 0 };
    w->heap.fail_at = 0;
    sim_settings(w->sim)->fail_call = 0;
    for (int i = 0; i < 3; i++) {
        struct one *o = make(&after, i ? &echo_text : &echo, 5);
        if (i) o->param = pg_str("five");
        pg_pool_query(w->pool, &o->query);
        settle(w);
        if (o->done != 1 || o->query.status != PG_OK)
            fail_msg("%s: not served afterwards: %u %s %s", s->name, o->done, pg_error_name(o->query.status),
                     o->error.text);
    }
}

/* True: the failure happened. */
static bool run(const struct scenario *s, uint64_t allocation, uint64_t call)
{
    struct world *w = malloc(sizeof *w);
    assert_non_null(w);
    bool open = open_world(w, s, allocation, call);
    for (int step = 0; open; step++) {
        bool more = s->step(w, step);
        settle(w);
        if (!more) break;
    }
    bool failed = (allocation && w->heap.calls >= allocation) || (call && sim_counters(w->sim)->calls >= call);
    if (open) check_outcomes(s, w);
    if (open) serve_again(s, w);
    close_world(w);
    free(w);
    return failed;
}

static void allocations_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        uint64_t n = 1;
        while (run(&scenarios[i], n, 0)) assert_true(++n < MOST);
        print_message("%s: %llu allocations\n", scenarios[i].name, (unsigned long long)(n - 1));
        assert_true(n > 10);
    }
}

static void host_calls_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        uint64_t n = 1;
        while (run(&scenarios[i], 0, n)) assert_true(++n < MOST);
        print_message("%s: %llu host calls\n", scenarios[i].name, (unsigned long long)(n - 1));
        assert_true(n > 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(allocations_fail), cmocka_unit_test(host_calls_fail) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
