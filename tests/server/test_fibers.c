/* test_fibers.c - a thousand fibers over four connections of a real server: whatever each of them asks, alone on the
 * shared lane or on a lease of its own, it receives its own answer and never another's. RINGPG_QUICK=1: a tenth of
 * the rounds. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "fiber/loop.h"
#include "ringpg.h"

enum { FIBERS = 1000 };

static struct pg_statement token = PG_STATEMENT("SELECT $1::int8", PG_TYPE_INT8);
static struct pg_statement many = PG_STATEMENT("SELECT $1::int8 + i FROM generate_series(0, $2::int8 - 1) i",
                                                PG_TYPE_INT8, PG_TYPE_INT8);
static struct pg_statement conflict = PG_STATEMENT("DO $$BEGIN RAISE 'once more' USING ERRCODE = '40001'; END$$");

struct all {
    struct pg_loop *loop;
    struct pg_pool *pool;
    struct pg_fiber program;
    unsigned shared_rounds, lease_rounds;
    unsigned left;
    uint64_t answers, mixed_up, failed;
};
struct worker {
    struct all *all;
    unsigned number;
};
struct answer {
    int64_t value;
    unsigned rows;
};

static enum pg_flow take(struct pg_query *q, struct pg_row *row)
{
    struct answer *answer = q->data;
    answer->value = pg_row_int8(row, 0);
    answer->rows++;
    return PG_CONTINUE;
}

static void judge(struct all *all, int rc, const struct answer *answer, int64_t sent)
{
    all->answers++;
    if (rc) {
        if (all->failed++ < 5) fprintf(stderr, "%s\n", pg_error_name(rc));
    } else if (answer->rows != 1 || answer->value != sent) {
        if (all->mixed_up++ < 5)
            fprintf(stderr, "sent %" PRId64 ", got %u rows, %" PRId64 "\n", sent, answer->rows, answer->value);
    }
}

static void ask(struct all *all, struct pg_lease *lease, int64_t sent)
{
    struct answer answer = { 0 };
    struct pg_param p = pg_int8(sent);
    struct pg_query q = { .statement = &token, .params = &p, .nparams = 1, .on_row = take, .data = &answer };
    q.deadline_ns = PG_NEVER;
    if (lease) pg_lease_query(lease, &q);
    else pg_pool_query(all->pool, &q);
    judge(all, pg_await(&q), &answer, sent);
}

static void work(void *arg)
{
    struct worker *w = arg;
    struct all *all = w->all;
    int64_t next = (int64_t)w->number * 1000000;
    for (unsigned i = 0; i < all->shared_rounds; i++) ask(all, NULL, next++);
    for (unsigned i = 0; i < all->lease_rounds; i++) {
        struct pg_lease lease = { .tag = PG_HERE, .deadline_ns = PG_NEVER };
        int rc = pg_await_acquire(all->pool, &lease);
        if (rc) {
            judge(all, rc, NULL, 0);
            continue;
        }
        ask(all, &lease, next++);
        pg_lease_release(&lease);
    }
    if (--all->left == 0) pg_fiber_unpark(all->program);
}

static void open_pool(struct all *all)
{
    struct pg_error error;
    struct pg_pool_config config = PG_POOL_CONFIG(getenv("DATABASE_URL"));
    config.max_conns = 4;
    int rc = pg_pool_open(&all->pool, pg_loop_reactor(all->loop), &config, &error);
    if (rc) fail_msg("%s", pg_error_field(&error, 'M'));
}

static void a_thousand(void *arg)
{
    struct all *all = arg;
    static struct worker worker[FIBERS];
    all->program = pg_fiber_self();
    all->left = FIBERS;
    for (unsigned i = 0; i < FIBERS; i++) {
        worker[i] = (struct worker){ .all = all, .number = i };
        assert_int_equal(pg_fiber_spawn(pg_loop_reactor(all->loop), work, &worker[i], NULL), 0);
    }
    assert_int_equal(pg_fiber_park(PG_NEVER), 0);
}

static void open_loop(struct all *all, bool epoll_only)
{
    struct pg_error error;
    memset(all, 0, sizeof *all);
    if (rp_loop_open(&all->loop, epoll_only, &error)) fail_msg("%s", pg_error_field(&error, 'M'));
    open_pool(all);
}

static void answers_go_to_who_asked(bool epoll_only, unsigned rounds)
{
    struct all all;
    open_loop(&all, epoll_only);
    all.shared_rounds = rounds;
    all.lease_rounds = rounds / 10;
    assert_int_equal(pg_loop_run(all.loop, a_thousand, &all), 0);
    struct pg_pool_stats stats = { .size = sizeof stats };
    pg_pool_stats(all.pool, &stats);
    assert_int_equal(all.answers, FIBERS * (all.shared_rounds + all.lease_rounds));
    assert_int_equal(all.failed, 0);
    assert_int_equal(all.mixed_up, 0);
    assert_int_equal(stats.acquire_count, FIBERS * all.lease_rounds);
    assert_in_range(stats.new_conns_count, 1, 4);
    assert_int_equal(stats.pending, 0);
    pg_loop_close(all.loop);
}

static void test_a_thousand_fibers(void **state)
{
    (void)state;
    const char *quick = getenv("RINGPG_QUICK");
    answers_go_to_who_asked(false, quick && *quick ? 100 : 1000);
}

static void test_a_thousand_fibers_on_epoll(void **state)
{
    (void)state;
    answers_go_to_who_asked(true, 100);
}

/* ---- rows one by one, more than any buffer holds, with another await in the middle ---- */

static void pull_rows(void *arg)
{
    enum { ROWS = 20000 };
    struct all *all = arg;
    struct pg_lease lease = { .tag = PG_HERE };
    struct pg_param p[] = { pg_int8(7), pg_int8(ROWS) };
    struct pg_query q = { .statement = &many, .params = p, .nparams = 2, .on_row = pg_row_pull };
    struct pg_row *row;
    int64_t n = 0;
    int rc;
    assert_int_equal(pg_await_acquire(all->pool, &lease), 0);
    pg_lease_query(&lease, &q);
    while ((rc = pg_await_row(&q, &row)) > 0) {
        if (n % 500 == 0) ask(all, NULL, n);
        if (pg_row_int8(row, 0) != 7 + n) all->mixed_up++;
        n++;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(n, ROWS);
    assert_int_equal(q.rows, ROWS);
    pg_lease_release(&lease);
}

static void test_rows_are_pulled(void **state)
{
    (void)state;
    struct all all;
    open_loop(&all, false);
    assert_int_equal(pg_loop_run(all.loop, pull_rows, &all), 0);
    assert_int_equal(all.answers, 40);
    assert_int_equal(all.failed + all.mixed_up, 0);
    pg_loop_close(all.loop);
}

/* ---- transactions ---- */

static int fail_twice(struct pg_lease *lease, void *arg)
{
    int *calls = arg;
    if (++*calls == 3) return 0;
    struct pg_query q = { .statement = &conflict };
    pg_lease_query(lease, &q);
    int rc = pg_await(&q);
    assert_int_equal(rc, PG_E_SERVER);
    assert_string_equal(q.sqlstate, "40001");
    assert_int_equal(pg_lease_transaction(lease), 'E');
    return rc;
}

static void run_transactions(void *arg)
{
    struct all *all = arg;
    int calls = 0;
    assert_int_equal(pg_await_transaction(all->pool, NULL, 3, PG_NEVER, fail_twice, &calls, NULL), 0);
    assert_int_equal(calls, 3);
    calls = 0;
    assert_int_equal(pg_await_transaction(all->pool, NULL, 2, PG_NEVER, fail_twice, &calls, NULL), PG_E_SERVER);
    assert_int_equal(calls, 2);
}

static void test_transactions_are_tried_again(void **state)
{
    (void)state;
    struct all all;
    open_loop(&all, false);
    assert_int_equal(pg_loop_run(all.loop, run_transactions, &all), 0);
    pg_loop_close(all.loop);
}

/* ---- the end: what is left is cancelled and runs to its end ---- */

static void hold_and_sleep(void *arg)
{
    struct all *all = arg;
    struct pg_lease lease = { .tag = PG_HERE };
    assert_int_equal(pg_await_acquire(all->pool, &lease), 0);
    all->answers++;
    pg_fiber_unpark(all->program);
    assert_int_equal(pg_await_sleep(PG_NEVER), PG_E_CANCELLED);
    pg_lease_release(&lease);
    all->left--;
}

static void leave_two(void *arg)
{
    struct all *all = arg;
    all->program = pg_fiber_self();
    all->left = 2;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pg_fiber_spawn(pg_loop_reactor(all->loop), hold_and_sleep, all, NULL), 0);
    while (all->answers < 2) assert_int_equal(pg_fiber_park(PG_NEVER), 0);
}

static void test_close_ends_what_is_left(void **state)
{
    (void)state;
    for (int epoll_only = 0; epoll_only < 2; epoll_only++) {
        struct all all;
        open_loop(&all, epoll_only);
        assert_int_equal(pg_loop_run(all.loop, leave_two, &all), 0);
        assert_int_equal(all.left, 2);
        pg_loop_close(all.loop);
        assert_int_equal(all.left, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thousand_fibers),
        cmocka_unit_test(test_a_thousand_fibers_on_epoll),
        cmocka_unit_test(test_rows_are_pulled),
        cmocka_unit_test(test_transactions_are_tried_again),
        cmocka_unit_test(test_close_ends_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
