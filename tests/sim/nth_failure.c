/* sim/nth_failure.c - the n-th allocation fails, and the n-th host call fails, for every n until none is left to fail:
 * each scenario ends all that it started exactly once, leaks nothing, serves again afterwards and closes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sim/nth_failure.h"

enum { MOST = 4000 };

static void check_outcomes(const struct world *w)
{
    const char *name = w->scenario->name;
    assert_int_equal(w->warm_told, w->warm_begun);
    assert_int_equal(w->fibers_ended, w->fibers_begun);
    for (unsigned i = 0; i < w->queries; i++) {
        const struct one *o = &w->query[i];
        bool may_be_silent = o->gone || (o->held && o->held->abandoned);
        if (o->done > 1 || (o->done == 0 && !may_be_silent)) fail_msg("%s: query %u ended %u times", name, i, o->done);
    }
    for (unsigned i = 0; i < w->leases; i++) {
        const struct held *h = &w->held[i];
        if (h->grants > 1 || (!h->abandoned && (h->grants != 1 || h->returned != 1)))
            fail_msg("%s: lease %u: %u grants, %u returns", name, i, h->grants, h->returned);
    }
}

/* The failure is over: whatever it has left behind, a query is served; where the scenario closed the pool, by the next
 * one of the same reactor. */
static void serve_again(struct world *w)
{
    w->heap.fail_at = 0;
    sim_settings(w->sim)->fail_call = 0;
    w->queries = 0;
    if (!w->pool) assert_int_equal(open_pool(w, &w->pool, ""), 0);
    for (int i = 0; i < 3; i++) {
        memset(&w->query[i], 0, sizeof w->query[i]);
        struct one *o = make(w, i ? &nth_echo_text : &nth_echo, 5);
        if (i) o->param = pg_str("five");
        pg_pool_query(w->pool, &o->query);
        pass(w, 5 * SECOND);
        if (o->done != 1 || o->query.status != PG_OK)
            fail_msg("%s: not served afterwards: %u %s %s", w->scenario->name, o->done, pg_error_name(o->query.status),
                     o->error.text);
    }
}

static char letter_of(int status)
{
    static const struct { int status; char letter; } letters[] = {
        { PG_OK, '.' }, { PG_E_SERVER, 'S' }, { PG_E_TIMEOUT, 'T' }, { PG_E_CANCELLED, 'C' }, { PG_E_LOST, 'L' },
        { PG_E_ROLLED_BACK, 'R' }, { PG_E_NEEDS_LEASE, 'N' }, { PG_E_CLOSED, 'X' }, { PG_E_BATCH, 'B' },
        { PG_E_UNAVAILABLE, 'U' }, { PG_E_REFUSED, 'F' }, { PG_E_PROTOCOL, 'P' }, { PG_E_VALUE, 'V' },
    };
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if (letters[i].status == status) return letters[i].letter;
    return '?';
}

/* Where nothing failed, everything has its own outcome: so a scenario is known to do what it is there for. */
static void check_clean(const struct world *w)
{
    char seen[QUERIES + LEASES + 2], *to = seen;
    for (unsigned i = 0; i < w->queries; i++)
        *to++ = w->query[i].done ? letter_of(w->query[i].query.status) : '-';
    *to++ = '|';
    for (unsigned i = 0; i < w->leases; i++) *to++ = w->held[i].grants ? letter_of(w->held[i].status) : '-';
    *to = 0;
    if (strcmp(seen, w->scenario->clean) != 0)
        fail_msg("%s: without a failure %s and not %s", w->scenario->name, seen, w->scenario->clean);
}

/* True: the failure happened. */
static bool run(const struct scenario *s, uint64_t allocation, uint64_t call)
{
    struct world *w = malloc(sizeof *w);
    assert_non_null(w);
    bool open = begin_world(w, s, allocation, call);
    for (int step = 0; open; step++) {
        bool more = s->step(w, step);
        pass(w, 5 * SECOND);
        if (!more) break;
    }
    bool failed = (allocation && w->heap.calls >= allocation) || (call && sim_counters(w->sim)->calls >= call);
    if (open) check_outcomes(w);
    if (!failed) check_clean(w);
    if (open) serve_again(w);
    end_world(w);
    free(w);
    return failed;
}

static void fail_each(const struct scenario *scenarios, bool allocations, unsigned *ran, unsigned *runs)
{
    for (const struct scenario *s = scenarios; s->name; s++) {
        uint64_t n = 1;
        while (run(s, allocations ? n : 0, allocations ? 0 : n)) assert_true(++n < MOST);
        printf("%4llu %s: %s\n", (unsigned long long)(n - 1), allocations ? "allocations" : "host calls ", s->name);
        assert_true(n > 5);
        *runs += (unsigned)n;
        (*ran)++;
    }
}

static void each_failure(bool allocations)
{
    unsigned ran = 0, runs = 0;
    fail_each(nth_query, allocations, &ran, &runs);
    fail_each(nth_lease, allocations, &ran, &runs);
    fail_each(nth_pool, allocations, &ran, &runs);
    printf("%u scenarios, %u runs\n", ran, runs);
    assert_true(ran >= 30);
}

static void allocations_fail(void **state)
{
    (void)state;
    each_failure(true);
}

static void host_calls_fail(void **state)
{
    (void)state;
    each_failure(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(allocations_fail), cmocka_unit_test(host_calls_fail) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
