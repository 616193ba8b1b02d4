/* unit/test_overload.c - the two rules about a queue that is too long, alone: what they say to a history. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "pool/overload.h"

#define MS (UINT64_C(1000000))
enum { TARGET = 5, INTERVAL = 100 };
#define T0 (1000 * MS)

/* ---- a standing queue ---- */

static struct rp_overload fresh(void)
{
    struct rp_overload o;
    rp_overload_open(&o, TARGET * MS, INTERVAL * MS);
    rp_overload_began(&o, T0);
    return o;
}

/* At `at_ms` somebody is served who came `waited_ms` before, with others behind. */
static void serve(struct rp_overload *o, uint64_t at_ms, uint64_t waited_ms)
{
    rp_overload_served(o, T0 + at_ms * MS, T0 + at_ms * MS - waited_ms * MS, 3);
}
static bool refuses(const struct rp_overload *o, uint64_t at_ms, uint64_t waited_ms)
{
    return rp_overload_end(o, T0 + at_ms * MS - waited_ms * MS) <= T0 + at_ms * MS;
}
static void stand(struct rp_overload *o)
{
    for (uint64_t at = 10; at <= 10 + INTERVAL; at += 10) serve(o, at, 6);
    assert_true(refuses(o, 10 + INTERVAL, 2 * TARGET));
}

static void off_is_off(void **state)
{
    (void)state;
    struct rp_overload o;
    rp_overload_open(&o, 0, INTERVAL * MS);
    for (uint64_t at = 0; at < 1000; at += 10) serve(&o, at, 900);
    assert_false(refuses(&o, 1000, 900));
}

static void only_a_whole_interval_of_waits_makes_it_stand(void **state)
{
    (void)state;
    struct rp_overload o = fresh();
    for (uint64_t at = 10; at < 10 + INTERVAL; at += 10) serve(&o, at, 6);
    assert_false(refuses(&o, 9 + INTERVAL, 50)); /* a burst, however long the wait */
    assert_true(refuses(&o, 10 + INTERVAL, 50)); /* known beforehand: nobody need be served for it */
    assert_true(refuses(&o, 10 + INTERVAL, 10));
    assert_false(refuses(&o, 10 + INTERVAL, 9));
    assert_true(rp_overload_end(&o, T0 + 200 * MS) == T0 + 210 * MS);
}

static void one_short_wait_in_time_and_it_was_a_burst(void **state)
{
    (void)state;
    struct rp_overload o = fresh();
    for (uint64_t at = 10; at < INTERVAL; at += 10) serve(&o, at, 60);
    serve(&o, INTERVAL, 4);
    assert_false(refuses(&o, 20 + INTERVAL, 60));
    for (uint64_t at = INTERVAL + 10; at <= 2 * INTERVAL; at += 10) serve(&o, at, 60);
    assert_false(refuses(&o, 2 * INTERVAL, 60));
    assert_true(refuses(&o, 2 * INTERVAL + 10, 60));
}

static void a_short_wait_does_not_end_it_and_an_empty_queue_does(void **state)
{
    (void)state;
    struct rp_overload o = fresh();
    stand(&o);
    serve(&o, 120, 1);
    assert_true(refuses(&o, 121, 10));
    rp_overload_served(&o, T0 + 122 * MS, T0 + 121 * MS, 0);
    assert_false(refuses(&o, 123, 10));
}

/* What a refusal has emptied is not empty for want of arrivals. */
static void an_empty_queue_after_a_refusal_does_not_end_it(void **state)
{
    (void)state;
    struct rp_overload o = fresh();
    stand(&o);
    rp_overload_refused(&o, T0 + 120 * MS);
    rp_overload_served(&o, T0 + 120 * MS, T0 + 119 * MS, 0);
    rp_overload_began(&o, T0 + 130 * MS);
    assert_true(refuses(&o, 140, 10));
    rp_overload_served(&o, T0 + 141 * MS, T0 + 140 * MS, 0);
    assert_false(refuses(&o, 142, 10));
}

static void an_interval_of_peace_ends_it(void **state)
{
    (void)state;
    struct rp_overload o = fresh();
    stand(&o);
    rp_overload_refused(&o, T0 + 120 * MS); /* the last one */
    rp_overload_began(&o, T0 + 219 * MS);
    assert_true(refuses(&o, 230, 10));
    rp_overload_began(&o, T0 + 220 * MS);
    assert_false(refuses(&o, 231, 10));
}

/* ---- how long one would wait ---- */

static void nobody_knows_at_first(void **state)
{
    (void)state;
    struct rp_admission a;
    rp_admission_open(&a);
    assert_int_equal(rp_admission_wait(&a, T0, 10), 0);
    rp_admission_began(&a, T0);
    for (int i = 1; i <= 7; i++) rp_admission_served(&a, T0 + (uint64_t)i * MS);
    assert_int_equal(rp_admission_wait(&a, T0 + 7 * MS, 10), 0);
    rp_admission_served(&a, T0 + 8 * MS);
    assert_int_equal(rp_admission_wait(&a, T0 + 8 * MS, 10), 11 * MS);
}

/* A pace of 3 ms, in whatever groups they are served. */
static uint64_t pace(struct rp_admission *a, uint64_t now, unsigned served, unsigned together, uint64_t each_ns)
{
    for (unsigned i = 0; i < served; i += together) {
        now += together * each_ns;
        for (unsigned k = 0; k < together; k++) rp_admission_served(a, now);
    }
    return now;
}

static void the_mean_of_the_last_ones_counts(void **state)
{
    (void)state;
    struct rp_admission a;
    rp_admission_open(&a);
    rp_admission_began(&a, T0);
    uint64_t now = pace(&a, T0, 400, 4, 3 * MS);
    assert_int_equal(rp_admission_wait(&a, now, 0), 3 * MS);
    assert_int_equal(rp_admission_wait(&a, now, 99), 300 * MS);
    now = pace(&a, now, 160, 1, 300 * MS / 1000); /* ten times as fast: believed after some dozens */
    uint64_t wait_ns = rp_admission_wait(&a, now, 99);
    assert_true(wait_ns >= 30 * MS && wait_ns < 32 * MS);
    assert_true(rp_admission_wait(&a, now, UINT64_MAX - 1) == UINT64_MAX);
}

static void only_time_with_waiters_counts(void **state)
{
    (void)state;
    struct rp_admission a;
    rp_admission_open(&a);
    rp_admission_began(&a, T0);
    uint64_t now = pace(&a, T0, 64, 1, 2 * MS);
    rp_admission_emptied(&a, now);
    now += 1000 * 1000 * MS;
    assert_int_equal(rp_admission_wait(&a, now, 4), 10 * MS);
    rp_admission_began(&a, now);
    rp_admission_emptied(&a, now + 16 * MS); /* it gave up: that, too, was waiting, and nobody was served in it */
    assert_true(rp_admission_wait(&a, now + 16 * MS, 4) > 10 * MS);
}

static void what_does_not_move_is_slow(void **state)
{
    (void)state;
    struct rp_admission a;
    rp_admission_open(&a);
    rp_admission_began(&a, T0);
    uint64_t now = pace(&a, T0, 40, 1, MS); /* 24 are known of */
    assert_int_equal(rp_admission_wait(&a, now, 0), MS);
    assert_int_equal(rp_admission_wait(&a, now + 240 * MS, 0), 11 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_is_off),
        cmocka_unit_test(only_a_whole_interval_of_waits_makes_it_stand),
        cmocka_unit_test(one_short_wait_in_time_and_it_was_a_burst),
        cmocka_unit_test(a_short_wait_does_not_end_it_and_an_empty_queue_does),
        cmocka_unit_test(an_empty_queue_after_a_refusal_does_not_end_it),
        cmocka_unit_test(an_interval_of_peace_ends_it),
        cmocka_unit_test(nobody_knows_at_first),
        cmocka_unit_test(the_mean_of_the_last_ones_counts),
        cmocka_unit_test(only_time_with_waiters_counts),
        cmocka_unit_test(what_does_not_move_is_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
