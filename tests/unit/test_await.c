/* test_await.c - fibers that await leases and queries, on the simulated host: what an await gives, what a cancel leaves
 * behind in whichever of them it strikes, and transactions that are tried again. */
#include "jobs.h"

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
        cmocka_unit_test(test_transaction),
        cmocka_unit_test(test_transaction_is_cancelled),
        cmocka_unit_test(test_transaction_is_late),
        cmocka_unit_test(test_free_with_waiting_fibers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
