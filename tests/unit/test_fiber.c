/* test_fiber.c - fibers without queries: when they start and go on, what wakes them, what a cancel does, and their
 * stacks. */
#include <errno.h>
#include <execinfo.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "fiber/fiber.h"
#include "support/fake_clock_host.h"

#define MS UINT64_C(1000000)

/* One reactor; its fibers leave letters. */
struct fixture {
    struct fake_clock_host fake;
    struct pg_reactor *r;
    char log[64];
    size_t logged;
};
/* One fiber of the tests. */
struct actor {
    struct fixture *f;
    struct pg_fiber self;
    uint64_t at_ns;
    int rc, again;
    char name;
    void (*body)(struct actor *);
};

static struct fixture *open_with(uint32_t fibers)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    fake_clock_host_init(&f->fake);
    f->fake.now_ns = 1000 * MS;
    struct pg_reactor_config config = PG_REACTOR_CONFIG(&f->fake.host);
    config.fibers = fibers;
    assert_int_equal(pg_reactor_open(&f->r, &config, NULL), 0);
    return f;
}

static void close_down(struct fixture *f)
{
    pg_reactor_free(f->r);
    free(f);
}

static void note(struct fixture *f, char what)
{
    assert_true(f->logged + 1 < sizeof f->log);
    f->log[f->logged++] = what;
}

static void expect(struct fixture *f, const char *letters)
{
    f->log[f->logged] = 0;
    assert_string_equal(f->log, letters);
    f->logged = 0;
}

static void run_actor(void *arg)
{
    struct actor *a = arg;
    note(a->f, a->name);
    if (a->body) a->body(a);
}

static void spawn(struct fixture *f, struct actor *a, char name, void (*body)(struct actor *))
{
    a->f = f;
    a->name = name;
    a->body = body;
    a->rc = a->again = 12345;
    assert_int_equal(pg_fiber_spawn(f->r, run_actor, a, &a->self), 0);
    assert_int_not_equal(a->self.generation, 0);
}

static void turn(struct fixture *f)
{
    int64_t wait_ns = pg_reactor_turn(f->r);
    assert_true(wait_ns >= PG_WAIT_CLOSED);
}

static void turn_at(struct fixture *f, uint64_t now_ns)
{
    f->fake.now_ns = now_ns;
    turn(f);
}

/* ---- start and end ---- */

static void check_self(struct actor *a)
{
    struct pg_fiber self = pg_fiber_self();
    assert_int_equal(self.slot, a->self.slot);
    assert_int_equal(self.generation, a->self.generation);
}

static void test_spawn_starts_in_a_turn(void **state)
{
    (void)state;
    struct fixture *f = open_with(8);
    struct actor a[3];
    for (size_t i = 0; i < 3; i++) spawn(f, &a[i], (char)('a' + i), check_self);
    expect(f, "");
    assert_int_equal(f->fake.wanted_turns, 1);
    turn(f);
    expect(f, "abc");
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    expect(f, "");
    close_down(f);
}

static struct actor inner;
static void spawn_another(struct actor *a)
{
    spawn(a->f, &inner, 'i', NULL);
    note(a->f, '.');
}

static void test_spawn_from_a_fiber_is_not_nested(void **state)
{
    (void)state;
    struct fixture *f = open_with(8);
    struct actor a, b;
    spawn(f, &a, 'a', spawn_another);
    spawn(f, &b, 'b', NULL);
    turn(f);
    turn(f);
    expect(f, "a.bi");
    close_down(f);
}

static void park_for_ever(struct actor *a)
{
    a->rc = pg_fiber_park(PG_NEVER);
    note(a->f, (char)(a->name - 'a' + 'A'));
}

static void test_bound(void **state)
{
    (void)state;
    struct fixture *f = open_with(2);
    struct actor a, b;
    struct pg_fiber none = { 1, 1 };
    spawn(f, &a, 'a', park_for_ever);
    spawn(f, &b, 'b', park_for_ever);
    assert_int_equal(pg_fiber_spawn(f->r, run_actor, &a, &none), PG_E_FULL);
    assert_int_equal(none.generation, 0);
    turn(f);
    assert_int_equal(pg_fiber_spawn(f->r, run_actor, &a, NULL), PG_E_FULL);
    pg_fiber_unpark(a.self);
    turn(f);
    struct pg_fiber old = a.self;
    spawn(f, &a, 'a', park_for_ever);
    assert_int_equal(a.self.slot, old.slot);
    assert_int_not_equal(a.self.generation, old.generation);
    pg_fiber_cancel(old); /* ended: harmless to whoever has its slot now */
    pg_fiber_unpark(old);
    pg_fiber_cancel(none);
    turn(f);
    turn(f);
    expect(f, "abAa");
    close_down(f); /* with two that are parked */
}

/* ---- park and unpark ---- */

static void park_twice(struct actor *a)
{
    a->rc = pg_fiber_park(PG_NEVER);
    note(a->f, '1');
    a->again = pg_fiber_park(2000 * MS);
    note(a->f, '2');
}

static void test_unpark_resumes_in_a_turn(void **state)
{
    (void)state;
    struct fixture *f = open_with(4);
    struct actor a;
    spawn(f, &a, 'a', park_twice);
    turn(f);
    pg_fiber_unpark(a.self);
    pg_fiber_unpark(a.self); /* the same one */
    expect(f, "a");
    turn(f);
    expect(f, "1");
    assert_int_equal(a.rc, 0);
    turn_at(f, 1999 * MS);
    expect(f, "");
    turn_at(f, 2001 * MS);
    expect(f, "2");
    assert_int_equal(a.again, PG_E_TIMEOUT);
    close_down(f);
}

static void unpark_itself(struct actor *a)
{
    pg_fiber_unpark(a->self);
    pg_fiber_unpark(a->self);
    park_twice(a);
}

static void test_unpark_is_remembered_once(void **state)
{
    (void)state;
    struct fixture *f = open_with(4);
    struct actor a, b;
    spawn(f, &a, 'a', unpark_itself);
    turn(f);
    expect(f, "a1");
    assert_int_equal(a.rc, 0);
    turn_at(f, 2001 * MS);
    expect(f, "2");
    assert_int_equal(a.again, PG_E_TIMEOUT);
    spawn(f, &b, 'b', park_twice);
    pg_fiber_unpark(b.self); /* before it has started */
    turn(f);
    expect(f, "b1");
    pg_fiber_unpark(b.self);
    turn(f);
    expect(f, "2");
    assert_int_equal(b.again, 0);
    close_down(f);
}

/* ---- sleep ---- */

static void sleep_until(struct actor *a)
{
    a->rc = pg_await_sleep(a->at_ns);
    note(a->f, (char)(a->name - 'a' + 'A'));
}

static void test_sleep(void **state)
{
    (void)state;
    struct fixture *f = open_with(8);
    struct actor a = { .at_ns = 1030 * MS }, b = { .at_ns = 1010 * MS }, c = { .at_ns = 0 }, d = { .at_ns = PG_NEVER };
    spawn(f, &a, 'a', sleep_until);
    spawn(f, &b, 'b', sleep_until);
    spawn(f, &c, 'c', sleep_until);
    spawn(f, &d, 'd', sleep_until);
    turn(f);
    expect(f, "abcd");
    pg_fiber_unpark(b.self); /* it does not park: remembered, and no reason to wake up */
    turn(f);
    expect(f, "C");
    turn_at(f, 1011 * MS);
    expect(f, "B");
    turn_at(f, 1031 * MS);
    expect(f, "A");
    assert_int_equal(a.rc, 0);
    assert_int_equal(b.rc, 0);
    assert_int_equal(c.rc, 0);
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    close_down(f);
}

/* ---- cancel ---- */

static void every_await(struct actor *a)
{
    a->rc = pg_fiber_park(PG_NEVER);
    note(a->f, '1');
    pg_fiber_unpark(a->self);
    assert_int_equal(pg_fiber_park(PG_NEVER), PG_E_CANCELLED);
    assert_int_equal(pg_await_sleep(0), PG_E_CANCELLED);
    note(a->f, '2');
}

static void test_cancel(void **state)
{
    (void)state;
    struct fixture *f = open_with(8);
    struct actor fresh, parked, asleep = { .at_ns = 5000 * MS };
    spawn(f, &fresh, 'f', every_await);
    pg_fiber_cancel(fresh.self); /* before it starts: it runs, so that it can clean up */
    turn(f);
    expect(f, "f12");
    assert_int_equal(fresh.rc, PG_E_CANCELLED);
    spawn(f, &parked, 'p', every_await);
    spawn(f, &asleep, 's', sleep_until);
    turn(f);
    pg_fiber_cancel(asleep.self);
    pg_fiber_cancel(parked.self);
    pg_fiber_cancel(parked.self);
    expect(f, "ps");
    turn(f);
    expect(f, "S12");
    assert_int_equal(parked.rc, PG_E_CANCELLED);
    assert_int_equal(asleep.rc, PG_E_CANCELLED);
    pg_fiber_cancel(parked.self);
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    close_down(f);
}

static void cancel_itself(struct actor *a)
{
    pg_fiber_cancel(pg_fiber_self());
    every_await(a);
}

static void test_cancel_of_oneself(void **state)
{
    (void)state;
    struct fixture *f = open_with(8);
    struct actor a;
    spawn(f, &a, 'a', cancel_itself);
    turn(f);
    expect(f, "a12");
    assert_int_equal(a.rc, PG_E_CANCELLED);
    close_down(f);
}

static void test_cancel_of_one_that_is_due(void **state)
{
    (void)state;
    struct fixture *f = open_with(8);
    struct actor a, b = { .at_ns = 1010 * MS };
    spawn(f, &a, 'a', every_await);
    spawn(f, &b, 'b', sleep_until);
    turn(f);
    pg_fiber_unpark(a.self);
    pg_fiber_cancel(a.self);
    f->fake.now_ns = 1020 * MS;
    pg_fiber_cancel(b.self);
    turn(f);
    assert_int_equal(a.rc, PG_E_CANCELLED);
    assert_int_equal(b.rc, PG_E_CANCELLED);
    close_down(f);
}

/* ---- stacks ---- */

static unsigned dive(unsigned depth, unsigned seed)
{
    volatile unsigned here[16];
    for (unsigned i = 0; i < 16; i++) here[i] = seed * 31 + i;
    unsigned below = depth ? dive(depth - 1, seed + 1) : 0;
    for (unsigned i = 0; i < 16; i++) assert_int_equal(here[i], seed * 31 + i);
    return below + here[depth % 16];
}

struct many {
    struct fixture *f;
    unsigned seed, wakeups;
    bool ended;
};

static void sleep_and_dive(void *arg)
{
    struct many *m = arg;
    unsigned seed = m->seed, once = dive(20, seed);
    volatile double third = m->seed / 3.0;
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(pg_await_sleep(pg_reactor_now(m->f->r) + (1 + (seed * 7 + i * 13) % 40) * MS), 0);
        m->wakeups++;
        assert_int_equal(dive(20, seed), once);
        assert_true(third == seed / 3.0);
    }
    m->ended = true;
}

static void test_a_thousand_fibers(void **state)
{
    (void)state;
    enum { N = 1000 };
    struct fixture *f = open_with(N);
    struct many *m = calloc(N, sizeof *m);
    assert_non_null(m);
    for (unsigned i = 0; i < N; i++) {
        m[i] = (struct many){ .f = f, .seed = i };
        assert_int_equal(pg_fiber_spawn(f->r, sleep_and_dive, &m[i], NULL), 0);
    }
    for (unsigned i = 0; i < 300; i++) turn_at(f, f->fake.now_ns + MS);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(m[i].wakeups, 5);
        assert_true(m[i].ended);
    }
    assert_int_equal(rp_fibers_stacks(f->r)->nkept, RP_STACKS_KEPT); /* the cache is bounded */
    free(m);
    close_down(f);
}

static void test_stacks_are_used_again(void **state)
{
    (void)state;
    struct fixture *f = open_with(8);
    struct actor a;
    for (int i = 0; i < 100; i++) {
        spawn(f, &a, 'a', NULL);
        turn(f);
        expect(f, "a");
        assert_int_equal(rp_fibers_stacks(f->r)->nkept, 1);
    }
    close_down(f);
}

/* About three quarters of the stack, whatever its size. */
static void dive_deep(struct actor *a)
{
    size_t bytes = rp_config(a->f->r)->fiber_stack_bytes / 4 * 3;
    volatile char *at = __builtin_alloca(bytes);
    for (size_t i = 0; i < bytes; i += 64) at[i] = (char)i;
    park_for_ever(a);
    for (size_t i = 0; i < bytes; i += 64) assert_int_equal(at[i], (char)i);
}

static void test_deep_stacks(void **state)
{
    (void)state;
    struct fixture *f = open_with(8);
    struct actor a, b;
    spawn(f, &a, 'a', dive_deep);
    spawn(f, &b, 'b', dive_deep);
    turn(f);
    pg_fiber_unpark(b.self);
    pg_fiber_unpark(a.self);
    turn(f);
    expect(f, "abBA");
    close_down(f);
}

#ifndef RP_FIBER_ASAN
static volatile int sink;
static int endless(int depth)
{
    volatile char here[512];
    here[0] = here[511] = (char)depth;
    int below = depth == INT32_MAX ? 0 : endless(depth + 1);
    return below + here[0] + here[511];
}
static void overflow(void *arg)
{
    (void)arg;
    sink = endless(0);
}
static void overflow_in_a_fiber(void *arg)
{
    (void)arg;
    signal(SIGSEGV, SIG_DFL);
    struct fixture *f = open_with(8);
    struct actor a;
    spawn(f, &a, 'a', NULL);
    if (pg_fiber_spawn(f->r, overflow, NULL, NULL) == 0) turn(f);
}
#endif

static void test_guard(void **state)
{
    (void)state;
#ifdef RP_FIBER_ASAN
    puts("skipped: the overflow of a fiber's stack, since AddressSanitizer catches the signal");
    skip();
#else
    assert_int_equal(signal_of(overflow_in_a_fiber, NULL), SIGSEGV);
#endif
}

static void walk_stack(struct actor *a)
{
    void *frames[64];
    a->rc = backtrace(frames, 64);
}

static void test_backtraces_end(void **state)
{
    (void)state;
    struct fixture *f = open_with(8);
    struct actor a;
    spawn(f, &a, 'a', walk_stack);
    turn(f);
    assert_in_range(a.rc, 1, 16);
    close_down(f);
}

/* ---- what belongs to a fiber and must come back with it ---- */

#ifdef __x86_64__
/* Rounding modes of the two floating-point units. */
struct modes { uint32_t mxcsr; uint16_t x87; };
static struct modes get_modes(void)
{
    struct modes m;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(m.mxcsr), "=m"(m.x87));
    m.mxcsr &= ~UINT32_C(0x3f); /* flags of what has happened, which belong to nobody */
    return m;
}
static void set_modes(struct modes m) { __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(m.mxcsr), "m"(m.x87)); }
static void assert_modes(struct modes expected)
{
    assert_int_equal(get_modes().mxcsr, expected.mxcsr);
    assert_int_equal(get_modes().x87, expected.x87);
}

static struct modes usual;
static void round_upwards(struct actor *a)
{
    struct modes upward = { usual.mxcsr | 0x4000, (uint16_t)(usual.x87 | 0x0800) };
    assert_modes(usual);
    set_modes(upward);
    a->rc = pg_fiber_park(PG_NEVER);
    assert_modes(upward);
}

static void test_rounding_modes_stay_with_their_fiber(void **state)
{
    (void)state;
    struct fixture *f = open_with(8);
    struct actor a;
    usual = get_modes();
    spawn(f, &a, 'a', round_upwards);
    turn(f);
    assert_modes(usual);
    pg_fiber_unpark(a.self);
    turn(f);
    assert_modes(usual);
    assert_int_equal(a.rc, 0);
    close_down(f);
}
#endif

/* ---- one fiber resumes another one inline ---- */

static struct rp_fiber *sleeper;
static void be_told(struct actor *a)
{
    sleeper = rp_fiber_current();
    rp_fiber_wait(sleeper, RP_WAIT_TOLD);
    note(a->f, '1');
    rp_fiber_wait(sleeper, RP_WAIT_TOLD);
    note(a->f, '2');
}
static void tell(struct actor *a)
{
    rp_fiber_resume(sleeper);
    note(a->f, 'x');
    assert_int_equal(pg_fiber_self().slot, a->self.slot);
    a->rc = pg_fiber_park(PG_NEVER);
    rp_fiber_resume(sleeper);
    note(a->f, 'y');
    assert_int_equal(pg_fiber_self().slot, a->self.slot);
}

static void test_nested_resumption(void **state)
{
    (void)state;
    struct fixture *f = open_with(8);
    struct actor a, b;
    spawn(f, &a, 'a', be_told);
    turn(f);
    spawn(f, &b, 'b', tell);
    turn(f);
    expect(f, "ab1x");
    pg_fiber_unpark(b.self);
    turn(f);
    expect(f, "2y");
    close_down(f);
}

/* ---- several reactors of one thread ---- */

static void test_handles_of_two_reactors(void **state)
{
    (void)state;
    struct fixture *f = open_with(8), *g = open_with(8), *h;
    struct actor a, b, c;
    spawn(f, &a, 'a', park_for_ever);
    spawn(g, &b, 'b', park_for_ever);
    assert_int_not_equal(a.self.slot, b.self.slot);
    turn(f);
    turn(g);
    pg_fiber_unpark(b.self);
    turn(f);
    turn(g);
    expect(f, "a");
    expect(g, "bB");
    close_down(f);
    h = open_with(16);
    spawn(h, &c, 'c', park_for_ever);
    pg_fiber_cancel(a.self); /* its reactor is gone */
    turn(h);
    pg_fiber_unpark(c.self);
    turn(h);
    expect(h, "cC");
    assert_int_equal(c.rc, 0);
    close_down(g);
    close_down(h);
}

/* ---- misuse ---- */

static void park_outside(void *arg) { (void)arg, (void)!pg_fiber_park(0); }
static void sleep_outside(void *arg) { (void)arg, (void)!pg_await_sleep(0); }
static void self_outside(void *arg) { (void)arg, (void)pg_fiber_self(); }
static void await_outside(void *arg)
{
    (void)arg;
    struct pg_query q = { .sql = "SELECT 1" };
    (void)!pg_await(&q);
}

static void test_outside_of_a_fiber(void **state)
{
    (void)state;
    assert_int_equal(signal_of(park_outside, NULL), SIGABRT);
    assert_int_equal(signal_of(sleep_outside, NULL), SIGABRT);
    assert_int_equal(signal_of(self_outside, NULL), SIGABRT);
    assert_int_equal(signal_of(await_outside, NULL), SIGABRT);
    pg_fiber_unpark((struct pg_fiber){ 0 });
    pg_fiber_cancel((struct pg_fiber){ 0 });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spawn_starts_in_a_turn),
        cmocka_unit_test(test_spawn_from_a_fiber_is_not_nested),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_unpark_resumes_in_a_turn),
        cmocka_unit_test(test_unpark_is_remembered_once),
        cmocka_unit_test(test_sleep),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_of_oneself),
        cmocka_unit_test(test_cancel_of_one_that_is_due),
        cmocka_unit_test(test_a_thousand_fibers),
        cmocka_unit_test(test_stacks_are_used_again),
        cmocka_unit_test(test_deep_stacks),
        cmocka_unit_test(test_guard),
        cmocka_unit_test(test_backtraces_end),
#ifdef __x86_64__
        cmocka_unit_test(test_rounding_modes_stay_with_their_fiber),
#endif
        cmocka_unit_test(test_nested_resumption),
        cmocka_unit_test(test_handles_of_two_reactors),
        cmocka_unit_test(test_outside_of_a_fiber),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
