/* sim/nth_world.c - the world of nth_failure.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sim/nth_failure.h"

struct pg_statement nth_echo = PG_STATEMENT("ECHO $1", PG_TYPE_INT8);
struct pg_statement nth_echo_text = PG_STATEMENT("ECHO $1", PG_TYPE_TEXT);
struct pg_statement nth_insert = PG_STATEMENT("INSERT $1", PG_TYPE_INT8);
struct pg_statement nth_keep = { "KEEP $1", { PG_TYPE_INT8 }, NULL, PG_STATEMENT_REPEATABLE, 0 };
struct pg_statement nth_rows = PG_STATEMENT("ROWS $1", PG_TYPE_INT8);

/* ---- the server ---- */

/* ROWS n; STRAY opens a block; FORGET: the server loses what is prepared, without a word. The rest is the default. */
static void answer(void *arg, struct model_query *q)
{
    (void)arg;
    const char *sql = model_sql(q);
    if (!strncmp(sql, "ROWS", 4)) {
        model_columns(q, 1, &(struct model_column){ "n", PG_TYPE_INT8 });
        if (model_describing(q)) return;
        for (int64_t i = 0; i < model_param_int8(q, 0); i++) model_row_int8(q, i);
        model_complete(q, "SELECT 1");
    } else if (model_describing(q)) {
        return;
    } else if (!strncmp(sql, "STRAY", 5)) {
        model_opens_block(q);
        model_complete(q, "STRAY");
    } else if (!strncmp(sql, "FORGET", 6)) {
        model_forget(q);
        model_complete(q, "FORGET");
    }
}

/* ---- open and close ---- */

static void on_closed(void *arg)
{
    ((struct world *)arg)->closed++;
}

int open_pool(struct world *w, struct pg_pool **pool, const char *options)
{
    struct pg_error error = { 0 };
    char conninfo[400];
    static struct pg_statement *const warm[] = { &nth_echo, &nth_rows };
    snprintf(conninfo, sizeof conninfo,
             "user=app dbname=app password=secret pool_max_conns=3 pool_close_linger=100ms %s %s",
             strstr(options, "host=") ? "" : "host=127.0.0.1", options);
    struct pg_pool_config pc = PG_POOL_CONFIG(conninfo);
    pc.flags = PG_POOL_STRING_ONLY;
    if (strstr(options, "connect_sql")) pc.warm = warm, pc.nwarm = 2;
    if (strstr(options, "hooked")) set_hooks(&pc);
    pc.budget = w->budget;
    int status = pg_pool_open(pool, w->reactor, &pc, &error);
    if (status) {
        assert_int_equal(status, -ENOMEM);
        assert_int_equal(error.code, -ENOMEM);
        assert_null(*pool);
    }
    w->opened += status == 0;
    return status;
}

bool begin_world(struct world *w, const struct scenario *s, uint64_t allocation, uint64_t call)
{
    struct model_config mc = {
        .auth = s->auth, .password = "secret", .scram_iterations = 2, .answer = answer, .arg = w
    };
    memset(w, 0, sizeof *w);
    w->scenario = s;
    w->heap.fail_at = allocation;
    mc.sim = w->sim = sim_open(
        &(struct sim_config){ .seed = 7, .latency_min_ns = 20000, .latency_max_ns = 60000, .fail_call = call });
    w->server = model_server_open(&mc);
    mc.port = 5433;
    if (s->with & WITH_BESIDE) w->beside = model_server_open(&mc);
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(sim_host(w->sim));
    rc.allocate = heap_allocate;
    rc.deallocate = heap_deallocate;
    rc.arg = &w->heap;
    rc.statements = 32;
    rc.fibers = 8;
    if (s->with & WITH_BUDGET) assert_int_equal(pg_budget_open(&w->budget, 3), 0);
    int status = pg_reactor_open(&w->reactor, &rc, NULL);
    if (status) assert_int_equal(status, -ENOMEM);
    return status == 0 && open_pool(w, &w->pool, s->options ? s->options : "") == 0;
}

void close_pool(struct world *w, struct pg_pool **pool, uint64_t drain_ns)
{
    pg_pool_close(*pool, drain_ns ? sim_now(w->sim) + drain_ns : 0, on_closed, w);
    *pool = NULL;
}

void end_world(struct world *w)
{
    if (w->pool) close_pool(w, &w->pool, 0);
    if (w->second) close_pool(w, &w->second, 0);
    if (w->reactor) {
        pg_reactor_close(w->reactor, 0);
        assert_int_equal(sim_run(w->sim, w->reactor, 10 * SECOND), SIM_CLOSED);
        assert_int_equal(w->closed, w->opened);
        pg_reactor_free(w->reactor);
    }
    if (w->budget) {
        struct pg_budget_stats stats = { .size = sizeof stats };
        pg_budget_stats(w->budget, &stats);
        assert_int_equal(stats.used, 0);
        pg_budget_close(w->budget);
    }
    for (int i = 0; i < 100000 && sim_step(w->sim); i++) {
    }
    assert_int_equal(w->heap.blocks, 0);
    assert_int_equal(sim_counters(w->sim)->descriptors_now, 0);
    assert_int_equal(model_stats(w->server)->sockets_now, 0);
    if (w->beside) {
        assert_int_equal(model_stats(w->beside)->sockets_now, 0);
        model_server_close(w->beside);
    }
    model_server_close(w->server);
    sim_close(w->sim);
}

void pass(struct world *w, uint64_t ns)
{
    (void)sim_run(w->sim, w->reactor, ns);
}

/* ---- queries ---- */

static enum pg_flow on_row(struct pg_query *q, struct pg_row *row)
{
    struct one *o = q->data;
    o->rows++;
    o->bytes = pg_row_value(row, 0).size;
    return o->flow;
}

void on_done(struct pg_query *q)
{
    struct one *o = q->data;
    o->done++;
}

struct one *make(struct world *w, struct pg_statement *statement, int64_t value)
{
    assert_true(w->queries < QUERIES);
    struct one *o = &w->query[w->queries++];
    o->world = w;
    o->param = pg_int8(value);
    o->query = (struct pg_query){
        .statement = statement, .on_row = on_row, .on_done = on_done, .data = o, .error = &o->error
    };
    if (statement && statement->types[0]) o->query.params = &o->param, o->query.nparams = 1;
    return o;
}

struct one *make_sql(struct world *w, const char *sql)
{
    struct one *o = make(w, NULL, 0);
    o->query.sql = sql;
    return o;
}

struct one *ask(struct world *w, struct pg_statement *statement, int64_t value)
{
    struct one *o = make(w, statement, value);
    pg_pool_query(w->pool, &o->query);
    return o;
}

struct one *ask_sql(struct world *w, const char *sql)
{
    struct one *o = make_sql(w, sql);
    pg_pool_query(w->pool, &o->query);
    return o;
}

void give_up(struct one *o)
{
    pg_query_abandon(&o->query);
    o->gone = true;
}

/* ---- leases ---- */

static void on_grant(struct pg_lease *lease, int status)
{
    struct held *h = lease->data;
    h->grants++;
    h->status = status;
    if (status) h->returned++;
    else if (h->then) h->then(h);
}

struct held *acquire(struct world *w, void (*then)(struct held *), uint64_t deadline_ns)
{
    assert_true(w->leases < LEASES);
    struct held *h = &w->held[w->leases++];
    h->world = w;
    h->then = then;
    h->lease = (struct pg_lease){ .on_grant = on_grant, .data = h, .deadline_ns = sim_now(w->sim) + deadline_ns };
    pg_pool_acquire(w->pool, &h->lease);
    return h;
}

bool is_held(const struct held *h)
{
    return h->grants && !h->returned && !h->abandoned;
}

void let_go(struct held *h)
{
    h->returned++;
    pg_lease_release(&h->lease);
}

void abandon(struct held *h)
{
    pg_lease_abandon(&h->lease);
    h->abandoned = true;
}

struct one *ask_held(struct held *h, struct pg_statement *statement, const char *sql, void (*done)(struct pg_query *))
{
    struct one *o = make(h->world, statement, 7);
    o->held = h;
    o->query.sql = sql;
    if (done) o->query.on_done = done;
    pg_lease_query(&h->lease, &o->query);
    return o;
}

void release_when_done(struct pg_query *q)
{
    struct one *o = q->data;
    on_done(q);
    let_go(o->held);
}
