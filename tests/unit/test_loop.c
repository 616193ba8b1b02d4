/* test_loop.c - pg_loop on both of its hosts, without a server: it runs a fiber to its end, keeps what that left for
 * the next run, and closes over fibers that still wait. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "fiber/loop.h"
#include "ringpg.h"

#define MS UINT64_C(1000000)

struct run {
    struct pg_loop *loop;
    struct pg_fiber other;
    int rc, steps, other_steps;
};

static void open_run(struct run *run, bool epoll_only)
{
    struct pg_error error = { 0 };
    memset(run, 0, sizeof *run);
    if (rp_loop_open(&run->loop, epoll_only, &error)) fail_msg("%s", pg_error_field(&error, 'M'));
    if (epoll_only) assert_false(rp_loop_on_ring(run->loop));
}

static uint64_t now_of(struct run *run) { return pg_reactor_now(pg_loop_reactor(run->loop)); }

static void sleep_twice(void *arg)
{
    struct run *run = arg;
    for (int i = 0; i < 2; i++) {
        uint64_t until_ns = now_of(run) + 2 * MS;
        assert_int_equal(pg_await_sleep(until_ns), 0);
        assert_true(now_of(run) >= until_ns);
        run->steps++;
    }
}

static void other(void *arg)
{
    struct run *run = arg;
    while ((run->rc = pg_fiber_park(PG_NEVER)) == 0) run->other_steps++;
    run->other_steps += 100;
}

static void leave_another(void *arg)
{
    struct run *run = arg;
    assert_int_equal(pg_fiber_spawn(pg_loop_reactor(run->loop), other, run, &run->other), 0);
    run->steps++;
}

static void unpark_it(void *arg)
{
    struct run *run = arg;
    pg_fiber_unpark(run->other);
    assert_int_equal(pg_await_sleep(0), 0);
    run->steps++;
}

static void nothing(void *arg) { ((struct run *)arg)->steps++; }

static void run_all(bool epoll_only)
{
    struct run run;
    open_run(&run, epoll_only);
    assert_int_equal(pg_loop_run(run.loop, sleep_twice, &run), 0);
    assert_int_equal(run.steps, 2);
    assert_int_equal(pg_loop_run(run.loop, nothing, &run), 0);
    assert_int_equal(pg_loop_run(run.loop, leave_another, &run), 0);
    assert_int_equal(pg_loop_run(run.loop, unpark_it, &run), 0);
    assert_int_equal(run.steps, 5);
    assert_int_equal(run.other_steps, 1);
    pg_loop_close(run.loop);
    assert_int_equal(run.rc, PG_E_CANCELLED);
    assert_int_equal(run.other_steps, 101);
}

static void test_run(void **state)
{
    (void)state;
    run_all(false);
    run_all(true);
}

/* The program closes its own reactor and then waits for what cannot come. */
static void close_reactor(void *arg)
{
    struct run *run = arg;
    pg_reactor_close(pg_loop_reactor(run->loop), 0);
    run->rc = pg_fiber_park(PG_NEVER);
}

static void test_reactor_closed_by_the_program(void **state)
{
    (void)state;
    for (int epoll_only = 0; epoll_only < 2; epoll_only++) {
        struct run run;
        open_run(&run, epoll_only);
        assert_int_equal(pg_loop_run(run.loop, close_reactor, &run), 0);
        assert_int_equal(run.rc, PG_E_CANCELLED);
        pg_loop_close(run.loop);
    }
}

/* A server that is not there. */
static void acquire_nothing(void *arg)
{
    struct run *run = arg;
    struct pg_pool *pool;
    struct pg_error error = { 0 };
    struct pg_pool_config config = PG_POOL_CONFIG("host=/nonexistent user=nobody");
    assert_int_equal(pg_pool_open(&pool, pg_loop_reactor(run->loop), &config, &error), 0);
    struct pg_lease lease = { .tag = PG_HERE, .error = &error };
    do { /* until a connect has failed before the deadline came */
        lease.deadline_ns = now_of(run) + 5 * MS;
        run->rc = pg_await_acquire(pool, &lease);
    } while (run->rc == PG_E_TIMEOUT && ++run->other_steps < 1000);
    assert_non_null(strstr(pg_error_field(&error, 'M'), "/nonexistent"));
    run->steps++;
}

static void test_nobody_listens(void **state)
{
    (void)state;
    for (int epoll_only = 0; epoll_only < 2; epoll_only++) {
        struct run run;
        open_run(&run, epoll_only);
        assert_int_equal(pg_loop_run(run.loop, acquire_nothing, &run), 0);
        assert_int_equal(run.rc, PG_E_UNAVAILABLE);
        assert_int_equal(run.steps, 1);
        pg_loop_close(run.loop);
    }
}

static void test_close_without_a_run(void **state)
{
    (void)state;
    struct run run;
    pg_loop_close(NULL);
    for (int epoll_only = 0; epoll_only < 2; epoll_only++) {
        open_run(&run, epoll_only);
        pg_loop_close(run.loop);
    }
}

/* Descriptors that are there afterwards and were not before would add up. */
static void test_nothing_stays_open(void **state)
{
    (void)state;
    int before = dup(0);
    assert_true(before >= 0);
    close(before);
    for (int i = 0; i < 8; i++) run_all(i % 2);
    int after = dup(0);
    close(after);
    assert_int_equal(after, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_reactor_closed_by_the_program),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_close_without_a_run),
        cmocka_unit_test(test_nothing_stays_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
