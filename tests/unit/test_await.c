/* test_await.c - fibers that await leases, queries and rows, on the simulated host: what an await gives, what a
 * cancel leaves behind in whichever of them it strikes, rows that are pulled, and transactions that are tried again. */
#include "support/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conn/query.h"
#include "fiber/fiber.h"

static struct pg_statement rows = PG_STATEMENT("ROWS $1", PG_TYPE_INT8);
static struct pg_statement nap = PG_STATEMENT("SLEEP 50");
static struct pg_statement shaky = PG_STATEMENT("SHAKY");

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

static void run_job(void *arg)
{
    struct job *job = arg;
    job->body(job);
    job->ended = true;
}

static void start(struct world *w, struct job *job, void (*body)(struct job *))
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
static void answer(void *arg, struct model_query *q)
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

static void open_world(struct world *w, const char *options)
{
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    struct model_config server = { .exit_delay_ns = 200000, .answer = answer };
    shaky_left = 0;
    shaky_at_commit = false;
    world_open_with(w, &sim, &server, options);
}

static void expect_rc(int rc, int expected) { assert_string_equal(pg_error_name(rc), pg_error_name(expected)); }

static void expect_no_waker(struct job *job)
{
    assert_null(rp_query(&job->query)->waker);
    assert_null(rp_lease(&job->lease)->waker);
}

static enum pg_flow add(struct pg_query *q, struct pg_row *row)
{
    *(int64_t *)q->data += pg_row_int8(row, 0);
    return PG_CONTINUE;
}

static struct pg_query echo_of(const struct pg_param *p, int64_t *sum)
{
    return (struct pg_query){ .statement = &world_echo, .params = p, .nparams = 1, .on_row = add, .data = sum };
}
static struct pg_query rows_of(const struct pg_param *p)
{
    return (struct pg_query){ .statement = &rows, .params = p, .nparams = 1, .on_row = pg_row_pull };
}
static uint64_t in_ms(const struct job *job, uint64_t ms) { return pg_reactor_now(job->w->reactor) + ms * WORLD_MS; }

/* ---- what an await gives ---- */

static void ask_on_a_lease(struct job *job)
{
    job->param = pg_int8(42);
    assert_int_equal(pg_await_acquire(job->w->pool, &job->lease), 0);
    for (int i = 0; i < 3; i++) {
        job->query = echo_of(&job->param, &job->sum);
        pg_lease_query(&job->lease, &job->query);
        assert_int_equal(pg_await(&job->query), 0);
        expect_no_waker(job);
    }
    pg_lease_release(&job->lease);
    assert_int_equal(pg_await_acquire(job->w->pool, &job->lease), 0); /* idle: at once */
    pg_lease_release(&job->lease);
    job->rc = 0;
}

static void test_lease_and_query(void **state)
{
    (void)state;
    struct world w;
    struct job job;
    open_world(&w, "");
    start(&w, &job, ask_on_a_lease);
    world_run(&w, WORLD_SECOND);
    assert_true(job.ended);
    expect_rc(job.rc, 0);
    assert_int_equal(job.sum, 3 * 42);
    assert_int_equal(world_stats(&w).acquire_count, 2);
    world_close(&w);
}

static void join_twenty(struct job *job)
{
    enum { N = 20 };
    struct pg_param p[N];
    struct pg_query q[N];
    for (int i = 0; i < N; i++) {
        p[i] = pg_int8(1 << i);
        q[i] = echo_of(&p[i], &job->sum);
        pg_pool_query(job->w->pool, &q[i]);
    }
    assert_int_equal(pg_await(&q[N - 1]), 0);
    for (int i = 0; i < N; i++) assert_int_equal(pg_await(&q[i]), 0); /* most of them have ended before */
    for (int i = 0; i < N; i++) assert_int_equal(q[i].rows, 1);
    struct pg_query bad = { .sql = "FAIL 22012" };
    pg_pool_query(job->w->pool, &bad);
    job->rc = pg_await(&bad);
    assert_int_equal(pg_await(&bad), job->rc);
    assert_string_equal(bad.sqlstate, "22012");
}

static void test_many_joined(void **state)
{
    (void)state;
    struct world w;
    struct job job;
    open_world(&w, "pool_max_conns=2");
    start(&w, &job, join_twenty);
    world_run(&w, WORLD_SECOND);
    assert_true(job.ended);
    assert_int_equal(job.sum, (1 << 20) - 1);
    expect_rc(job.rc, PG_E_SERVER);
    world_close(&w);
}

static void acquire_late(struct job *job)
{
    job->lease.deadline_ns = in_ms(job, 10);
    job->rc = pg_await_acquire(job->w->pool, &job->lease);
    expect_no_waker(job);
    job->lease.deadline_ns = PG_NEVER; /* the struct is free again */
    assert_int_equal(pg_await_acquire(job->w->pool, &job->lease), 0);
    pg_lease_release(&job->lease);
}

static void test_acquire_that_is_late(void **state)
{
    (void)state;
    struct world w;
    struct job job;
    struct held holder;
    open_world(&w, "pool_max_conns=1");
    held_init(&holder);
    pg_pool_acquire(w.pool, &holder.lease);
    world_run(&w, WORLD_SECOND / 10);
    start(&w, &job, acquire_late);
    world_run(&w, WORLD_SECOND / 10);
    expect_rc(job.rc, PG_E_TIMEOUT);
    assert_false(job.ended);
    pg_lease_release(&holder.lease);
    world_run(&w, WORLD_SECOND / 10);
    assert_true(job.ended);
    world_close(&w);
}

static void acquire_and_leave(struct job *job)
{
    job->rc = pg_await_acquire(job->w->pool, &job->lease);
    expect_no_waker(job);
    if (job->rc == 0) pg_lease_release(&job->lease);
}

static void test_closed_pool(void **state)
{
    (void)state;
    struct world w;
    struct job before, after;
    struct held holder;
    open_world(&w, "pool_max_conns=1");
    held_init(&holder);
    pg_pool_acquire(w.pool, &holder.lease);
    world_run(&w, WORLD_SECOND / 10);
    start(&w, &before, acquire_and_leave);
    world_run(&w, WORLD_SECOND / 10);
    pg_pool_close(w.pool, 0, NULL, NULL);
    start(&w, &after, acquire_and_leave);
    world_run(&w, WORLD_MS / 10);
    expect_rc(before.rc, PG_E_CLOSED);
    expect_rc(after.rc, PG_E_CLOSED);
    pg_lease_release(&holder.lease);
    w.pool = NULL;
    world_close(&w);
}

/* ---- cancel ---- */

static void test_cancel_while_it_acquires(void **state)
{
    (void)state;
    struct world w;
    struct job job, next;
    struct held holder;
    open_world(&w, "pool_max_conns=1");
    held_init(&holder);
    pg_pool_acquire(w.pool, &holder.lease);
    world_run(&w, WORLD_SECOND / 10);
    start(&w, &job, acquire_and_leave);
    start(&w, &next, acquire_and_leave);
    world_run(&w, WORLD_SECOND / 10);
    pg_fiber_cancel(job.fiber);
    expect_rc(job.rc, 12345); /* in a later turn */
    world_run(&w, WORLD_MS);
    expect_rc(job.rc, PG_E_CANCELLED);
    assert_int_equal(world_stats(&w).canceled_acquire_count, 1);
    assert_int_equal(world_stats(&w).pending, 1);
    pg_lease_release(&holder.lease);
    world_run(&w, WORLD_MS);
    expect_rc(next.rc, 0);
    world_close(&w);
}

/* Cancelled, and in the turn in which it would be told, the grant comes first: the connection is given back, not
 * lost. */
static void test_cancel_meets_grant(void **state)
{
    (void)state;
    struct world w;
    struct job job;
    struct held holder, next;
    open_world(&w, "pool_max_conns=1");
    held_init(&holder);
    held_init(&next);
    pg_pool_acquire(w.pool, &holder.lease);
    world_run(&w, WORLD_SECOND / 10);
    start(&w, &job, acquire_and_leave);
    world_run(&w, WORLD_SECOND / 10);
    pg_lease_release(&holder.lease);
    pg_fiber_cancel(job.fiber);
    world_run(&w, WORLD_MS);
    expect_rc(job.rc, PG_E_CANCELLED);
    pg_pool_acquire(w.pool, &next.lease);
    world_run(&w, WORLD_MS);
    assert_int_equal(next.grants, 1);
    assert_int_equal(next.status, 0);
    pg_lease_release(&next.lease);
    world_close(&w);
}

static void nap_and_ask(struct job *job)
{
    job->param = pg_int8(7);
    job->query = (struct pg_query){ .statement = &nap };
    pg_pool_query(job->w->pool, &job->query);
    job->rc = pg_await(&job->query);
    expect_no_waker(job);
    struct pg_query second = echo_of(&job->param, &job->sum);
    pg_pool_query(job->w->pool, &second);
    expect_rc(pg_await(&second), PG_E_CANCELLED); /* abandoned before it returned: it is on this stack */
    assert_false(rp_query_running(&second));
    memset(&second, 0xaa, sizeof second);
    struct pg_lease lease = { .tag = PG_HERE };
    expect_rc(pg_await_acquire(job->w->pool, &lease), PG_E_CANCELLED);
    expect_rc(pg_await_transaction(job->w->pool, NULL, 3, 0, NULL, NULL, NULL), PG_E_CANCELLED);
    memset(&job->query, 0xaa, sizeof job->query);
}

static void test_cancel_while_it_awaits_a_query(void **state)
{
    (void)state;
    struct world w;
    struct job job;
    struct seen after;
    open_world(&w, "pool_max_conns=1");
    start(&w, &job, nap_and_ask);
    world_run(&w, 10 * WORLD_MS);
    pg_fiber_cancel(job.fiber);
    world_run(&w, WORLD_MS);
    assert_true(job.ended);
    expect_rc(job.rc, PG_E_CANCELLED);
    seen_init(&after, &world_echo, 5);
    pg_pool_query(w.pool, &after.query);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(after.done, 1);
    assert_int_equal(after.value, 5);
    assert_int_equal(job.sum, 0);
    assert_int_equal(model_stats(w.server)->connections_total, 1);
    world_close(&w);
}

static void pull_all(struct job *job)
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

static void test_cancel_in_the_middle_of_rows(void **state)
{
    (void)state;
    struct world w;
    struct job job, next;
    open_world(&w, "pool_max_conns=1");
    start(&w, &job, pull_all);
    job.asked = 5000; /* more than fits the buffer */
    job.step = 1 + 2 + 3;
    job.attempts = PG_E_CANCELLED;
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(job.sum, 6); /* it holds the third row, and parks */
    pg_fiber_cancel(job.fiber);
    world_run(&w, WORLD_MS);
    assert_true(job.ended);
    expect_rc(job.rc, PG_E_CANCELLED);
    memset(&job, 0xaa, sizeof job);
    start(&w, &next, pull_all);
    world_run(&w, WORLD_SECOND);
    expect_rc(next.rc, 0);
    assert_int_equal(next.sum, 45);
    world_close(&w);
}

static void await_slow_row(struct job *job)
{
    struct pg_row *row;
    assert_int_equal(pg_await_acquire(job->w->pool, &job->lease), 0);
    job->query = (struct pg_query){ .statement = &nap, .on_row = pg_row_pull };
    pg_lease_query(&job->lease, &job->query);
    job->rc = pg_await_row(&job->query, &row);
    expect_no_waker(job);
    assert_false(rp_query_running(&job->query));
    pg_lease_abandon(&job->lease);
}

static void test_cancel_while_it_awaits_a_row(void **state)
{
    (void)state;
    struct world w;
    struct job job;
    open_world(&w, "pool_max_conns=1");
    start(&w, &job, await_slow_row);
    world_run(&w, 10 * WORLD_MS);
    assert_false(job.ended);
    pg_fiber_cancel(job.fiber);
    world_run(&w, WORLD_MS);
    assert_true(job.ended);
    expect_rc(job.rc, PG_E_CANCELLED);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    world_close(&w);
}

/* ---- rows ---- */

static void test_rows(void **state)
{
    (void)state;
    static const int64_t counts[] = { 0, 1, 2, 1000, 20000 };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct world w;
        struct job job;
        open_world(&w, "");
        start(&w, &job, pull_all);
        job.asked = counts[i] ? counts[i] : -1;
        world_run(&w, 10 * WORLD_SECOND);
        assert_true(job.ended);
        expect_rc(job.rc, 0);
        assert_int_equal(job.sum, counts[i] * (counts[i] + 1) / 2);
        world_close(&w);
    }
}

/* The row in hand stays as it is while the fiber awaits other things. */
static void pull_and_do_other_things(struct job *job)
{
    struct pg_row *row;
    struct pg_lease other = { .tag = PG_HERE };
    job->param = pg_int8(400);
    assert_int_equal(pg_await_acquire(job->w->pool, &job->lease), 0);
    job->query = rows_of(&job->param);
    pg_lease_query(&job->lease, &job->query);
    assert_int_equal(pg_await_sleep(in_ms(job, 5)), 0); /* rows come before anybody asks */
    for (int64_t n = 1; (job->rc = pg_await_row(&job->query, &row)) > 0; n++) {
        assert_int_equal(pg_row_int8(row, 0), n);
        if (n % 3 == 0) assert_int_equal(pg_await_sleep(in_ms(job, 1)), 0);
        if (n % 5 == 0) {
            assert_int_equal(pg_await_acquire(job->w->pool, &other), 0);
            pg_lease_release(&other);
        }
        if (n % 7 == 0) {
            struct pg_param p = pg_int8(n);
            struct pg_query q = echo_of(&p, &job->sum);
            pg_pool_query(job->w->pool, &q);
            assert_int_equal(pg_await(&q), 0);
        }
        if (n % 11 == 0) {
            pg_fiber_unpark(job->fiber);
            assert_int_equal(pg_fiber_park(PG_NEVER), 0);
        }
        assert_int_equal(pg_row_int8(row, 0), n);
        job->step = n;
    }
    pg_lease_release(&job->lease);
}

static void test_rows_across_other_awaits(void **state)
{
    (void)state;
    struct world w;
    struct job job;
    open_world(&w, "pool_max_conns=3");
    start(&w, &job, pull_and_do_other_things);
    world_run(&w, 10 * WORLD_SECOND);
    assert_true(job.ended);
    expect_rc(job.rc, 0);
    assert_int_equal(job.step, 400);
    assert_int_equal(job.sum, 7 * 57 * 58 / 2);
    world_close(&w);
}

/* With a row in hand, in the delivery that brought it: the lease is abandoned, the query too, and their memory is
 * used anew. */
static void leave_in_the_middle(struct job *job)
{
    struct pg_row *row;
    for (int round = 0; round < 4; round++) {
        job->param = pg_int8(3000);
        assert_int_equal(pg_await_acquire(job->w->pool, &job->lease), 0);
        job->query = rows_of(&job->param);
        pg_lease_query(&job->lease, &job->query);
        for (int n = 0; n <= round; n++) assert_int_equal(pg_await_row(&job->query, &row), 1);
        job->sum += pg_row_int8(row, 0);
        if (round % 2) pg_query_abandon(&job->query);
        pg_lease_abandon(&job->lease);
        memset(&job->query, 0, sizeof job->query);
    }
    job->rc = 0;
}

static void test_rows_are_left_in_the_middle(void **state)
{
    (void)state;
    struct world w;
    struct job job;
    open_world(&w, "pool_max_conns=1");
    start(&w, &job, leave_in_the_middle);
    world_run(&w, 10 * WORLD_SECOND);
    assert_true(job.ended);
    assert_int_equal(job.sum, 1 + 2 + 3 + 4);
    world_close(&w);
}

static void pull_one(struct job *job)
{
    struct pg_row *row;
    job->param = pg_int8(3000);
    assert_int_equal(pg_await_acquire(job->w->pool, &job->lease), 0);
    job->query = rows_of(&job->param);
    pg_lease_query(&job->lease, &job->query);
    assert_int_equal(pg_await_row(&job->query, &row), 1);
    job->rc = 1; /* and ends, with the row in hand: lease and query are not on its stack */
}

static void test_fiber_ends_with_a_row_in_hand(void **state)
{
    (void)state;
    struct world w;
    struct job job;
    open_world(&w, "pool_max_conns=1");
    start(&w, &job, pull_one);
    world_run(&w, WORLD_SECOND);
    assert_true(job.ended);
    assert_int_equal(world_stats(&w).acquired_conns, 1);
    pg_lease_abandon(&job.lease);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    world_close(&w);
}

static void pull_one_and_await(struct job *job)
{
    pull_one(job);
    job->rc = pg_await(&job->query); /* the rest of the rows is of no interest */
    struct pg_row *row;
    assert_int_equal(pg_await_row(&job->query, &row), 0);
    job->query = rows_of(&job->param);
    pg_lease_query(&job->lease, &job->query);
    assert_int_equal(pg_await(&job->query), 0);
    pg_lease_release(&job->lease);
}

static void test_await_drops_the_rows(void **state)
{
    (void)state;
    struct world w;
    struct job job;
    open_world(&w, "pool_max_conns=1");
    start(&w, &job, pull_one_and_await);
    world_run(&w, WORLD_SECOND);
    assert_true(job.ended);
    expect_rc(job.rc, 0);
    world_close(&w);
}

static void misread(struct job *job)
{
    struct pg_row *row;
    pull_one(job);
    struct pg_error error = { 0 };
    pg_query_abandon(&job->query);
    job->query = rows_of(&job->param);
    job->query.error = &error;
    pg_lease_query(&job->lease, &job->query);
    assert_int_equal(pg_await_row(&job->query, &row), 1);
    assert_int_equal(pg_row_bool(row, 0), false);
    while ((job->rc = pg_await_row(&job->query, &row)) > 0) job->step++;
    assert_non_null(strstr(pg_error_field(&error, 'M'), "column 0"));
    pg_lease_release(&job->lease);
}

static void test_a_getters_complaint(void **state)
{
    (void)state;
    struct world w;
    struct job job;
    open_world(&w, "pool_max_conns=1");
    start(&w, &job, misread);
    world_run(&w, WORLD_SECOND);
    assert_true(job.ended);
    expect_rc(job.rc, PG_E_VALUE);
    world_close(&w);
}

/* A row in hand while the fiber awaits something else. The query's deadline ends it: the row has no columns any more.
 * The connection's end does not before all that had come is read. */
static void hold_a_row(struct job *job)
{
    struct pg_row *row;
    bool late = job->step;
    job->param = pg_int8(10); /* room is left in the buffer, so that a receive is armed and sees the end */
    assert_int_equal(pg_await_acquire(job->w->pool, &job->lease), 0);
    job->query = rows_of(&job->param);
    if (late) job->query.deadline_ns = in_ms(job, 20);
    pg_lease_query(&job->lease, &job->query);
    assert_int_equal(pg_await_row(&job->query, &row), 1);
    assert_int_equal(pg_row_columns(row), 1);
    assert_int_equal(pg_await_sleep(in_ms(job, 10000)), 0);
    assert_int_equal(pg_row_columns(row), late ? 0 : 1);
    assert_int_equal(pg_row_is_null(row, 0), late);
    for (job->sum = 1; (job->rc = pg_await_row(&job->query, &row)) > 0;) job->sum++;
    assert_int_equal(job->sum, late ? 1 : 10);
    pg_lease_release(&job->lease);
}

static void test_query_ends_with_a_row_in_hand(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct world w;
        struct job job;
        open_world(&w, "pool_max_conns=1");
        start(&w, &job, hold_a_row);
        job.step = late;
        world_run(&w, 10 * WORLD_MS);
        if (!late) model_conn_end(model_conn_at(w.server, 0), MODEL_END_RESET, NULL);
        world_run(&w, 20 * WORLD_SECOND);
        assert_true(job.ended);
        expect_rc(job.rc, late ? PG_E_TIMEOUT : PG_OK);
        if (!late) assert_int_equal(w.events[PG_EVENT_LOST], 1);
        world_close(&w);
    }
}

static void test_connection_is_lost_under_the_rows(void **state)
{
    (void)state;
    struct world w;
    struct job job;
    open_world(&w, "pool_max_conns=1");
    start(&w, &job, pull_all);
    job.asked = 3000;
    job.step = 1;
    job.attempts = 0;
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(job.sum, 1);
    sim_settings(w.sim)->reset = 1000; /* what was not received yet is lost */
    for (int i = 0; i < 4000 && !job.ended; i++) {
        pg_fiber_unpark(job.fiber);
        world_run(&w, WORLD_MS);
    }
    assert_true(job.ended);
    sim_settings(w.sim)->reset = 0;
    expect_rc(job.rc, PG_E_LOST);
    world_close(&w);
}

/* ---- transactions ---- */

static int insert_and_shake(struct pg_lease *lease, void *arg)
{
    struct job *job = arg;
    struct pg_param p = pg_int8(++job->attempts);
    struct pg_query q = { .statement = &world_insert, .params = &p, .nparams = 1 };
    assert_int_equal(pg_lease_transaction(lease), 'T');
    pg_lease_query(lease, &q);
    int rc = pg_await(&q);
    if (rc) return rc;
    q = (struct pg_query){ .statement = &shaky };
    pg_lease_query(lease, &q);
    rc = pg_await(&q);
    return rc ? rc : (int)job->asked;
}

static void transact(struct job *job)
{
    job->rc = pg_await_transaction(job->w->pool, NULL, 3, in_ms(job, 1000), insert_and_shake, job, &job->error);
}

static void expect_transaction(unsigned failures, bool at_commit, int64_t body, int rc, int attempts, bool committed)
{
    struct world w;
    struct job job;
    size_t n;
    open_world(&w, "pool_max_conns=1");
    start(&w, &job, transact);
    job.asked = body;
    shaky_left = failures;
    shaky_at_commit = at_commit;
    world_run(&w, WORLD_SECOND);
    assert_true(job.ended);
    assert_int_equal(job.rc, rc);
    assert_int_equal(job.error.code, rc);
    if (rc) assert_int_equal(job.error.sent, at_commit ? PG_SENT_YES : PG_SENT_NO);
    if (rc && at_commit) assert_string_equal(job.error.sqlstate, "40001"); /* what COMMIT was answered */
    assert_int_equal(job.attempts, attempts);
    const int64_t *key = model_committed(w.server, &n);
    assert_int_equal(n, committed);
    if (committed) assert_int_equal(key[0], attempts);
    assert_int_equal(model_stats(w.server)->inserts_rolled_back, attempts - committed);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    assert_int_equal(model_conn_status(model_conn_at(w.server, 0)), 'I');
    world_close(&w);
}

static void test_transaction(void **state)
{
    (void)state;
    expect_transaction(0, false, 0, 0, 1, true);
    expect_transaction(0, false, 409, 409, 1, false);   /* body's own word: rolled back */
    expect_transaction(2, false, 0, 0, 3, true);        /* tried again                  */
    expect_transaction(3, false, 0, PG_E_SERVER, 3, false);
    expect_transaction(9, false, 0, PG_E_SERVER, 3, false);
    expect_transaction(1, true, 0, 0, 2, true);         /* COMMIT itself failed         */
    expect_transaction(9, true, 0, PG_E_SERVER, 3, false);
}

static int nap_in_it(struct pg_lease *lease, void *arg)
{
    struct job *job = arg;
    job->attempts++;
    struct pg_query q = { .statement = &nap };
    pg_lease_query(lease, &q);
    return pg_await(&q);
}
static void transact_slowly(struct job *job)
{
    job->rc = pg_await_transaction(job->w->pool, NULL, 3, 0, nap_in_it, job, NULL);
}

static void test_transaction_is_cancelled(void **state)
{
    (void)state;
    struct world w;
    struct job job, next;
    open_world(&w, "pool_max_conns=1");
    start(&w, &job, transact_slowly);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(job.attempts, 1);
    pg_fiber_cancel(job.fiber);
    world_run(&w, WORLD_MS);
    assert_true(job.ended);
    expect_rc(job.rc, PG_E_CANCELLED);
    start(&w, &next, transact);
    world_run(&w, WORLD_SECOND);
    expect_rc(next.rc, 0);
    assert_int_equal(next.attempts, 1);
    world_close(&w);
}

static void test_transaction_is_late(void **state)
{
    (void)state;
    struct world w;
    struct job job;
    struct held holder;
    open_world(&w, "pool_max_conns=1");
    held_init(&holder);
    pg_pool_acquire(w.pool, &holder.lease);
    world_run(&w, WORLD_SECOND / 10);
    start(&w, &job, transact);
    world_run(&w, 2 * WORLD_SECOND);
    assert_true(job.ended);
    expect_rc(job.rc, PG_E_TIMEOUT);
    assert_int_equal(job.attempts, 0);
    pg_lease_release(&holder.lease);
    world_close(&w);
}

/* ---- the reactor ends before its fibers ---- */

/* No connection stands, since nothing may be in flight on a simulated descriptor that is closed. */
static void sleep_for_ever(struct job *job) { job->rc = pg_await_sleep(PG_NEVER); }
static void test_free_with_waiting_fibers(void **state)
{
    (void)state;
    static struct pg_pool *kept; /* freeing early frees no pool: its memory stays reachable */
    struct world w;
    struct job query, acquire, asleep, fresh;
    open_world(&w, "pool_max_conns=2");
    model_server_connects(w.server, SIM_REFUSE);
    start(&w, &query, nap_and_ask);
    start(&w, &acquire, acquire_and_leave);
    start(&w, &asleep, sleep_for_ever);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(world_stats(&w).pending, 2);
    assert_int_equal(sim_counters(w.sim)->descriptors_now, 0);
    start(&w, &fresh, sleep_for_ever);
    kept = w.pool;
    pg_reactor_free(w.reactor);
    assert_non_null(kept);
    assert_false(query.ended || acquire.ended || asleep.ended || fresh.ended);
    model_server_close(w.server);
    sim_close(w.sim);
}

/* ---- everything at once ---- */

/* Each asks for its own tokens, pulls rows, and now and then cancels somebody. Who holds a lease and asks on the shared
 * lane may wait for others who do the same, until the acquire timeout parts them. */

enum { CROWD = 60 };
struct member {
    struct job job;
    struct sim *sim;
    uint64_t base;
    unsigned answers, strange, failures;
    struct member *all;
};

static void ask_own_token(struct member *m, struct pg_lease *lease, int64_t token)
{
    struct pg_param p = pg_int8(token);
    int64_t sum = 0;
    struct pg_query q = echo_of(&p, &sum);
    if (lease) pg_lease_query(lease, &q);
    else pg_pool_query(m->job.w->pool, &q);
    int rc = pg_await(&q);
    if (rc == 0 && sum != token) m->strange++;
    if (rc == 0) m->answers++;
    else m->failures++;
}

static void pull_some(struct member *m, struct pg_lease *lease)
{
    struct pg_param p = pg_int8((int64_t)sim_random(m->sim, 900));
    struct pg_query q = rows_of(&p);
    struct pg_row *row;
    int64_t n = 0, most = (int64_t)sim_random(m->sim, 1200);
    int rc;
    pg_lease_query(lease, &q);
    while ((rc = pg_await_row(&q, &row)) > 0 && n < most) {
        if (pg_row_int8(row, 0) != ++n) m->strange++;
        if (sim_chance(m->sim, 50)) ask_own_token(m, NULL, (int64_t)(m->base + sim_random(m->sim, 1000)));
        if (sim_chance(m->sim, 20)) (void)!pg_await_sleep(pg_reactor_now(m->job.w->reactor) + WORLD_MS);
    }
    if (rc == 0 && n == p.u.i) m->answers++;
    if (rc > 0) pg_query_abandon(&q);
    if (rc < 0) m->failures++;
}

static void live(void *arg)
{
    struct member *m = arg;
    while (sim_random(m->sim, 40)) {
        struct pg_lease lease = { .tag = PG_HERE };
        if (sim_chance(m->sim, 10)) pg_fiber_cancel(m->all[sim_random(m->sim, CROWD)].job.fiber);
        switch (sim_random(m->sim, 3)) {
        case 0: ask_own_token(m, NULL, (int64_t)(m->base + sim_random(m->sim, 1000))); break;
        case 1: (void)!pg_await_sleep(pg_reactor_now(m->job.w->reactor) + sim_random(m->sim, 3 * WORLD_MS)); break;
        default:
            if (pg_await_acquire(m->job.w->pool, &lease)) break;
            ask_own_token(m, &lease, (int64_t)(m->base + sim_random(m->sim, 1000)));
            pull_some(m, &lease);
            pg_lease_abandon(&lease);
        }
    }
    m->job.ended = true;
}

static unsigned crowd(uint64_t seed, struct sim_config sim)
{
    struct world w;
    unsigned answers = 0;
    struct member *m = calloc(CROWD, sizeof *m);
    assert_non_null(m);
    struct model_config server = { .answer = answer };
    sim.seed = seed;
    sim.latency_max_ns = 100000;
    world_open_with(&w, &sim, &server, "pool_max_conns=3 pool_acquire_timeout=1s");
    for (unsigned i = 0; i < CROWD; i++) {
        m[i] = (struct member){ .sim = w.sim, .base = i * 1000, .all = m, .job.w = &w };
        assert_int_equal(pg_fiber_spawn(w.reactor, live, &m[i], &m[i].job.fiber), 0);
    }
    enum sim_end end = sim_run(w.sim, w.reactor, 5000 * WORLD_SECOND);
    assert_int_equal(end, SIM_IDLE);
    for (unsigned i = 0; i < CROWD; i++) {
        if (!m[i].job.ended) fail_msg("seed %llu: fiber %u has not ended", (unsigned long long)seed, i);
        if (m[i].strange) fail_msg("seed %llu: fiber %u got another's answer", (unsigned long long)seed, i);
        answers += m[i].answers;
    }
    world_close(&w);
    free(m);
    return answers;
}

static void test_a_crowd(void **state)
{
    (void)state;
    static const struct sim_config rough = {
        .short_send = 100, .short_recv = 300, .submit_again = 50, .retryable = 50,
        .completion_ns = 100000, .burst = 300,
    };
    static const struct sim_config deadly = { .short_recv = 300, .reset = 2 };
    unsigned answers = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) answers += crowd(seed, (struct sim_config){ 0 });
    for (uint64_t seed = 21; seed <= 50; seed++) answers += crowd(seed, rough);
    for (uint64_t seed = 51; seed <= 70; seed++) answers += crowd(seed, deadly);
    assert_in_range(answers, 1000, 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lease_and_query),
        cmocka_unit_test(test_many_joined),
        cmocka_unit_test(test_acquire_that_is_late),
        cmocka_unit_test(test_closed_pool),
        cmocka_unit_test(test_cancel_while_it_acquires),
        cmocka_unit_test(test_cancel_meets_grant),
        cmocka_unit_test(test_cancel_while_it_awaits_a_query),
        cmocka_unit_test(test_cancel_in_the_middle_of_rows),
        cmocka_unit_test(test_cancel_while_it_awaits_a_row),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_rows_across_other_awaits),
        cmocka_unit_test(test_rows_are_left_in_the_middle),
        cmocka_unit_test(test_fiber_ends_with_a_row_in_hand),
        cmocka_unit_test(test_await_drops_the_rows),
        cmocka_unit_test(test_a_getters_complaint),
        cmocka_unit_test(test_query_ends_with_a_row_in_hand),
        cmocka_unit_test(test_connection_is_lost_under_the_rows),
        cmocka_unit_test(test_transaction),
        cmocka_unit_test(test_transaction_is_cancelled),
        cmocka_unit_test(test_transaction_is_late),
        cmocka_unit_test(test_free_with_waiting_fibers),
        cmocka_unit_test(test_a_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
