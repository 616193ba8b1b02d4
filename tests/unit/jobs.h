/* jobs.h - fibers as the tests of awaiting have them: one struct each for what it does and what it has to say, in a
 * world whose server knows a few statements more. Included by test_await*.c. */
#ifndef UNIT_JOBS_H
#define UNIT_JOBS_H
#include "support/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conn/query.h"
#include "fiber/fiber.h"

static struct pg_statement rows __attribute__((unused)) = PG_STATEMENT("ROWS $1", PG_TYPE_INT8);
static struct pg_statement nap __attribute__((unused)) = PG_STATEMENT("SLEEP 50");
static struct pg_statement shaky __attribute__((unused)) = PG_STATEMENT("SHAKY");

/* One fiber of a test, and what it has to say. */
struct job {
    struct world *w;
    struct pg_fiber fiber;
    void (*body)(struct job *);
    struct pg_lease lease;
    struct pg_query query;
    struct pg_param param;
    int64_t asked, sum, step;
    int rc, attempts;
    bool ended;
    struct pg_error error;
};

static inline void run_job(void *arg)
{
    struct job *job = arg;
    job->body(job);
    job->ended = true;
}

static inline void start(struct world *w, struct job *job, void (*body)(struct job *))
{
    memset(job, 0, sizeof *job);
    job->w = w;
    job->body = body;
    job->rc = 12345;
    assert_int_equal(pg_fiber_spawn(w->reactor, run_job, job, &job->fiber), 0);
}

/* What the server answers beside the defaults: ROWS n; SHAKY fails with 40001 as often as `shaky_left` says. */
static unsigned shaky_left;
static bool shaky_at_commit;
static inline void answer(void *arg, struct model_query *q)
{
    (void)arg;
    if (!strncmp(model_sql(q), "ROWS", 4)) {
        model_columns(q, 1, &(struct model_column){ "n", PG_TYPE_INT8 });
        if (model_describing(q)) return;
        int64_t n = model_param_int8(q, 0);
        for (int64_t i = 1; i <= n; i++) model_row_int8(q, i);
        model_complete(q, "SELECT 9");
    } else if (!strcmp(model_sql(q), "SHAKY") && !model_describing(q) && shaky_left) {
        shaky_left--;
        if (shaky_at_commit) model_error_at_commit(q, "40001", "could not serialize access");
        else model_error(q, "40001", "could not serialize access");
    } else {
        model_default_answer(q);
    }
}

static inline void open_world(struct world *w, const char *options)
{
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    struct model_config server = { .exit_delay_ns = 200000, .answer = answer };
    shaky_left = 0;
    shaky_at_commit = false;
    world_open_with(w, &sim, &server, options);
}

static inline void expect_rc(int rc, int expected) { assert_string_equal(pg_error_name(rc), pg_error_name(expected)); }

static inline void expect_no_waker(struct job *job)
{
    assert_null(rp_query(&job->query)->waker);
    assert_null(rp_lease(&job->lease)->waker);
}

static inline enum pg_flow add(struct pg_query *q, struct pg_row *row)
{
    *(int64_t *)q->data += pg_row_int8(row, 0);
    return PG_CONTINUE;
}

static inline struct pg_query echo_of(const struct pg_param *p, int64_t *sum)
{
    return (struct pg_query){ .statement = &world_echo, .params = p, .nparams = 1, .on_row = add, .data = sum };
}
static inline struct pg_query rows_of(const struct pg_param *p)
{
    return (struct pg_query){ .statement = &rows, .params = p, .nparams = 1, .on_row = pg_row_pull };
}
static inline uint64_t in_ms(const struct job *job, uint64_t ms)
{
    return pg_reactor_now(job->w->reactor) + ms * WORLD_MS;
}

static inline void pull_all(struct job *job)
{
    struct pg_row *row;
    job->param = pg_int8(job->asked ? job->asked : 9);
    job->rc = pg_await_acquire(job->w->pool, &job->lease);
    if (job->rc) return;
    job->query = rows_of(&job->param);
    pg_lease_query(&job->lease, &job->query);
    while ((job->rc = pg_await_row(&job->query, &row)) > 0) {
        job->sum += pg_row_int8(row, 0);
        if (job->step && job->sum >= job->step) assert_int_equal(pg_fiber_park(PG_NEVER), job->attempts);
    }
    assert_null(row);
    expect_no_waker(job);
    assert_int_equal(pg_query_columns(&job->query), job->rc == 0 ? 1 : pg_query_columns(&job->query));
    pg_lease_abandon(&job->lease);
}

#endif
