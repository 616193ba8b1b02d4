/* test_wheel.c - the timing wheel against a model that is too simple to be wrong: an array that is searched from end to
 * end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "reactor/wheel.h"

enum { TIMERS = 200 };

struct probe {
    struct rp_timer timer;
    struct model *model;
    bool armed;
    uint64_t due_tick; /* when the wheel may fire it: its tick, at least the wheel's position when it was started */
};
struct model {
    struct rp_wheel wheel;
    struct probe probes[TIMERS];
    uint64_t now_ns, last_tick, random;
    unsigned fired;
    bool meddle; /* callbacks start and stop others */
};

static uint64_t next_random(struct model *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random;
}

static uint64_t tick_up(uint64_t ns)
{
    return ns / RP_TICK_NS + !!(ns % RP_TICK_NS);
}

/* All magnitudes alike: from under a tick to years. */
static uint64_t some_distance(struct model *m)
{
    unsigned bits = (unsigned)(next_random(m) % 60);
    return next_random(m) & ((UINT64_C(1) << bits) - 1);
}

static void start(struct model *m, struct probe *p, uint64_t at_ns)
{
    rp_wheel_start(&m->wheel, &p->timer, at_ns);
    p->armed = at_ns != PG_NEVER;
    p->due_tick = tick_up(at_ns) > m->wheel.position ? tick_up(at_ns) : m->wheel.position;
}

static void stop(struct model *m, struct probe *p)
{
    rp_wheel_stop(&m->wheel, &p->timer);
    p->armed = false;
}

static void on_fire(struct rp_timer *t)
{
    struct probe *p = RP_CONTAINER(t, struct probe, timer);
    struct model *m = p->model;
    assert_true(p->armed);
    assert_false(rp_timer_armed(t));
    assert_true(t->expires_ns <= m->now_ns);  /* never early */
    assert_true(p->due_tick >= m->last_tick); /* in order */
    m->last_tick = p->due_tick;
    p->armed = false;
    m->fired++;
    if (!m->meddle) return;
    struct probe *other = &m->probes[next_random(m) % TIMERS];
    switch (next_random(m) % 4) {
    case 0: stop(m, other); break;
    case 1: start(m, other, m->now_ns + 1 + some_distance(m)); break;
    case 2: start(m, p, m->now_ns + 1 + some_distance(m)); break;
    default: break;
    }
}

static void advance(struct model *m, uint64_t now_ns)
{
    m->now_ns = now_ns;
    m->last_tick = 0;
    rp_wheel_advance(&m->wheel, now_ns);
    for (size_t i = 0; i < TIMERS; i++) {
        struct probe *p = &m->probes[i];
        assert_int_equal(p->armed, rp_timer_armed(&p->timer));
        if (p->armed) assert_true(p->due_tick > now_ns / RP_TICK_NS); /* never late */
    }
}

/* The first due tick of all that is armed, in ns. */
static uint64_t naive_next(const struct model *m)
{
    uint64_t next = PG_NEVER;
    for (size_t i = 0; i < TIMERS; i++)
        if (m->probes[i].armed && m->probes[i].due_tick * RP_TICK_NS < next) next = m->probes[i].due_tick * RP_TICK_NS;
    return next;
}

static struct model *new_model(uint64_t seed, bool meddle)
{
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    rp_wheel_init(&m->wheel);
    m->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    m->meddle = meddle;
    for (size_t i = 0; i < TIMERS; i++) m->probes[i] = (struct probe){ .timer.fire = on_fire, .model = m };
    return m;
}

static void random_steps(uint64_t seed, bool meddle)
{
    struct model *m = new_model(seed, meddle);
    advance(m, some_distance(m));
    for (unsigned step = 0; step < 3000; step++) {
        struct probe *p = &m->probes[next_random(m) % TIMERS];
        switch (next_random(m) % 8) {
        case 0: case 1: case 2: start(m, p, m->now_ns + some_distance(m)); break;
        case 3: start(m, p, m->now_ns > 5000000 ? m->now_ns - next_random(m) % 5000000 : 0); break; /* due already */
        case 4: stop(m, p); break;
        case 5: start(m, p, PG_NEVER); break;
        case 6: advance(m, m->now_ns + (some_distance(m) >> 20)); break;
        default: { /* to exactly the next expiry, or just before it */
            uint64_t next = rp_wheel_next(&m->wheel), naive = naive_next(m);
            if (next == PG_NEVER) {
                assert_true(naive == PG_NEVER);
                break;
            }
            assert_true(next <= naive);
            if (next > m->now_ns) advance(m, next - (next_random(m) & 1));
        }
        }
        assert_true(rp_wheel_next(&m->wheel) <= naive_next(m));
        if (m->now_ns > UINT64_MAX / 4) break;
    }
    assert_true(m->fired > 100);
    free(m);
}

static void agrees_with_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) random_steps(seed, false);
}

static void agrees_while_callbacks_start_and_stop_others(void **state)
{
    (void)state;
    for (uint64_t seed = 101; seed <= 160; seed++) random_steps(seed, true);
}

/* Without stops in between the next expiry is exact, however far away; waiting for it fires it. */
static void the_next_expiry_is_exact(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct model *m = new_model(seed, false);
        advance(m, some_distance(m));
        for (size_t i = 0; i < TIMERS; i++) start(m, &m->probes[i], m->now_ns + 1 + some_distance(m));
        while (m->fired < TIMERS) {
            unsigned before = m->fired;
            assert_true(rp_wheel_next(&m->wheel) == naive_next(m));
            advance(m, naive_next(m));
            assert_true(m->fired > before);
        }
        assert_true(rp_wheel_next(&m->wheel) == PG_NEVER);
        free(m);
    }
}

/* Each stop leaves a bound behind that is too early at the most; sorting the slots anew then costs one advance per
 * level. */
static void a_stopped_neighbour_costs_no_more_than_a_few_empty_advances(void **state)
{
    (void)state;
    struct model *m = new_model(7, false);
    start(m, &m->probes[0], 3600 * UINT64_C(1000000000));
    start(m, &m->probes[1], 3700 * UINT64_C(1000000000));
    stop(m, &m->probes[0]);
    unsigned advances = 0;
    for (; m->fired == 0; advances++) advance(m, rp_wheel_next(&m->wheel));
    assert_true(m->now_ns == 3700 * UINT64_C(1000000000));
    assert_true(advances <= RP_WHEEL_LEVELS);
    free(m);
}

static void the_ends_of_time(void **state)
{
    (void)state;
    struct model *m = new_model(3, false);
    start(m, &m->probes[0], PG_NEVER - 1);
    start(m, &m->probes[1], 0);
    start(m, &m->probes[2], UINT64_C(1) << 62);
    start(m, &m->probes[3], 1);
    assert_true(rp_wheel_next(&m->wheel) == 0);
    advance(m, 0);
    assert_int_equal(m->fired, 1);
    assert_true(rp_wheel_next(&m->wheel) == RP_TICK_NS);
    advance(m, RP_TICK_NS);
    assert_int_equal(m->fired, 2);
    advance(m, UINT64_C(1) << 63);
    assert_int_equal(m->fired, 3);
    advance(m, PG_NEVER - 1 - RP_TICK_NS);
    assert_int_equal(m->fired, 3);
    assert_true(rp_timer_armed(&m->probes[0].timer));
    assert_true(rp_wheel_next(&m->wheel) >= PG_NEVER - 1 - RP_TICK_NS);
    free(m);
}

/* Restarting itself as due already must not keep the advance from ending. */
struct restless { struct rp_timer timer; struct rp_wheel *wheel; uint64_t at_ns; unsigned fired; };

static void restart_overdue(struct rp_timer *t)
{
    struct restless *x = RP_CONTAINER(t, struct restless, timer);
    x->fired++;
    rp_wheel_start(x->wheel, t, x->at_ns);
}

static void an_overdue_restart_is_the_next_advances(void **state)
{
    (void)state;
    struct rp_wheel *w = calloc(1, sizeof *w);
    assert_non_null(w);
    rp_wheel_init(w);
    struct restless x = { .timer.fire = restart_overdue, .wheel = w, .at_ns = 5 * RP_TICK_NS };
    rp_wheel_start(w, &x.timer, x.at_ns);
    for (unsigned i = 1; i <= 3; i++) {
        rp_wheel_advance(w, 10 * RP_TICK_NS);
        assert_int_equal(x.fired, i);
        assert_true(rp_wheel_next(w) == 0);
    }
    rp_wheel_stop(w, &x.timer);
    assert_true(rp_wheel_next(w) == PG_NEVER);
    free(w);
}

static void never(struct rp_timer *t)
{
    (void)t;
    fail_msg("a stopped timer fired");
}

/* A million deadlines started, moved and stopped. Were one of these linear in what is armed, this would be 10^12 steps
 * and run into the test's time limit; that the wheel is empty afterwards without an advance shows that a stop leaves
 * nothing. */
static void a_million_timers(void **state)
{
    (void)state;
    enum { MANY = 1000000 };
    struct rp_wheel *w = calloc(1, sizeof *w);
    struct rp_timer *timers = calloc(MANY, sizeof *timers);
    assert_true(w && timers);
    rp_wheel_init(w);
    rp_wheel_advance(w, 123456789012345);
    for (size_t i = 0; i < MANY; i++) {
        timers[i].fire = never;
        rp_wheel_start(w, &timers[i], 123456789012345 + (i * 7919 % 30000) * RP_TICK_NS + 1);
    }
    for (size_t i = 0; i < MANY; i++) rp_wheel_start(w, &timers[i], timers[i].expires_ns + 1000 * RP_TICK_NS);
    for (size_t i = 0; i < MANY; i++) rp_wheel_stop(w, &timers[i * 7919 % MANY]);
    for (size_t i = 0; i < MANY; i++) assert_false(rp_timer_armed(&timers[i]));
    for (size_t i = 0; i < RP_WHEEL_LEVELS; i++) assert_true(w->occupied[i] == 0);
    assert_true(rp_wheel_next(w) == PG_NEVER);
    rp_wheel_advance(w, 123456789012345 + 40000 * RP_TICK_NS);
    free(timers);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_model),
        cmocka_unit_test(agrees_while_callbacks_start_and_stop_others),
        cmocka_unit_test(the_next_expiry_is_exact),
        cmocka_unit_test(a_stopped_neighbour_costs_no_more_than_a_few_empty_advances),
        cmocka_unit_test(the_ends_of_time),
        cmocka_unit_test(an_overdue_restart_is_the_next_advances),
        cmocka_unit_test(a_million_timers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
