/* unit/test_pool_slow_load.c - what slow statements do to the others: a hundred arrivals to one slow one, at random
 * times, in virtual time. With slow statements known, nearly nobody waits for one; without, the hundredth does. */
#include "timed.h"

enum { ARRIVALS = 20000 };
static struct load {
    struct world w;
    struct seen seen[ARRIVALS];
    uint64_t began_ns[ARRIVALS], took_ns[ARRIVALS];
    struct pg_statement *quick_one, *slow;
    unsigned arrived, quick, answered;
    uint64_t pace_ns, worst_ns;
} load;

static void answered(struct pg_query *q)
{
    struct seen *s = q->data;
    size_t i = (size_t)(s - load.seen);
    uint64_t took_ns = sim_now(load.w.sim) - load.began_ns[i];
    assert_int_equal(q->status, 0);
    load.answered++;
    if (q->statement == load.quick_one) load.took_ns[load.quick++] = took_ns;
    else if (took_ns > load.worst_ns) load.worst_ns = took_ns;
}

static void arrive(void *arg)
{
    (void)arg;
    unsigned i = load.arrived++;
    bool slow = load.slow && sim_random(load.w.sim, 100) == 0;
    timed_init(&load.w, &load.seen[i], slow ? load.slow : load.quick_one);
    load.seen[i].query.on_done = answered;
    load.began_ns[i] = sim_now(load.w.sim);
    pg_pool_query(load.w.pool, &load.seen[i].query);
    /* Two draws together: bursts and pauses. */
    uint64_t pause_ns = sim_random(load.w.sim, load.pace_ns) + sim_random(load.w.sim, load.pace_ns);
    if (load.arrived < ARRIVALS) sim_after(load.w.sim, pause_ns, arrive, NULL);
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* The 99th percentile of the fast ones. */
static uint64_t p99_ns(struct pg_statement *quick, struct pg_statement *slow, uint64_t pace_ns, const char *options)
{
    memset(&load, 0, sizeof load);
    timed_open(&load.w, 50000, options);
    timed_make(&load.w, 4);
    load.quick_one = quick;
    load.slow = slow;
    load.pace_ns = pace_ns;
    arrive(NULL);
    world_run(&load.w, ARRIVALS * pace_ns * 11 / 10 + 20 * WORLD_SECOND);
    assert_int_equal(load.answered, ARRIVALS);
    qsort(load.took_ns, load.quick, sizeof *load.took_ns, compare);
    uint64_t found_ns = load.took_ns[load.quick * 99 / 100];
    print_message("  %-40s p99 %7llu us, slow at most %llu ms\n", options, (unsigned long long)found_ns / 1000,
                  (unsigned long long)load.worst_ns / 1000000);
    world_close(&load.w);
    return found_ns;
}

static void slow_ones_hold_up_nobody(struct pg_statement *quick, struct pg_statement *slow, uint64_t pace_ns,
                                     const char *on)
{
    uint64_t without_ns = p99_ns(quick, NULL, pace_ns, on);
    uint64_t with_ns = p99_ns(quick, slow, pace_ns, on);
    uint64_t off_ns = p99_ns(quick, slow, pace_ns, "pool_max_conns=4 pool_slow_statement=0");
    assert_true(with_ns < 2 * without_ns);
    assert_true(off_ns > 10 * without_ns);
}

/* On the average two of four connections are busy with slow ones, and all four at times. */
static void of_100_ms(void **state)
{
    (void)state;
    static struct pg_statement slow = PG_STATEMENT("WORK 100000");
    slow_ones_hold_up_nobody(&fast, &slow, 450000, "pool_max_conns=4 pool_slow_statement=20ms");
}
static void of_5_ms(void **state)
{
    (void)state;
    static struct pg_statement quick = PG_STATEMENT("WORK 10"), slow = PG_STATEMENT("WORK 5000");
    slow_ones_hold_up_nobody(&quick, &slow, 30000, "pool_max_conns=4 pool_slow_statement=2ms");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(of_100_ms), cmocka_unit_test(of_5_ms) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
