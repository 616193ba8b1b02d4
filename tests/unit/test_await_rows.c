/* test_await_rows.c - rows that a fiber pulls: at its own pace, across other awaits, and left in the middle. */
#include "jobs.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_rows_across_other_awaits),
        cmocka_unit_test(test_rows_are_left_in_the_middle),
        cmocka_unit_test(test_fiber_ends_with_a_row_in_hand),
        cmocka_unit_test(test_await_drops_the_rows),
        cmocka_unit_test(test_a_getters_complaint),
        cmocka_unit_test(test_query_ends_with_a_row_in_hand),
        cmocka_unit_test(test_connection_is_lost_under_the_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
