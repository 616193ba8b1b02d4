/* unit/test_pool_work.c - the shared lane chooses the connection with the least work to be expected, and not the one
 * with the fewest statements: what it learns of them, and what it does when one takes longer than it should. Simulated
 * host, virtual time. */
#include "timed.h"
#include "conn/query.h"

static struct pg_statement middling = PG_STATEMENT("WORK 8000");
static struct pg_statement nothing = PG_STATEMENT("WORK 0");
static struct pg_statement sluggish = PG_STATEMENT("WORK 60000");

/* ---- the least work ---- */

/* One that takes 8 ms stands on one connection: it is worth dozens of the others, which all go elsewhere. */
static void the_least_work_and_not_the_fewest(void **state)
{
    (void)state;
    enum { N = 40 };
    struct world w;
    struct seen slow, s[N];
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=0");
    timed_make(&w, 2);
    timed_learn(&w, &fast, 20);
    timed_learn(&w, &middling, 20);
    timed_start(&w, &slow, &middling);
    for (int i = 0; i < N; i++) timed_start(&w, &s[i], &fast);
    world_run(&w, 5 * WORLD_MS);
    for (int i = 0; i < N; i++) assert_int_equal(s[i].done, 1);
    assert_int_equal(slow.done, 0);
    world_run(&w, 5 * WORLD_MS);
    assert_int_equal(slow.done, 1);
    assert_int_equal(world_stats(&w).total_conns, 2);
    world_close(&w);
}

/* Among equals it is the fewest. */
static void equals_are_spread(void **state)
{
    (void)state;
    enum { N = 32 };
    struct world w;
    struct seen s[N];
    timed_open(&w, 50000, "pool_max_conns=4 pool_slow_statement=0");
    timed_make(&w, 4);
    timed_learn(&w, &middling, 20);
    for (int i = 0; i < N; i++) timed_start(&w, &s[i], &middling);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < N; i++) assert_int_equal(s[i].done, 1);
    uint64_t took_ns = answered_ns - asked_ns;
    assert_in_range(took_ns, N / 4 * 8 * WORLD_MS, (N / 4 + 1) * 8 * WORLD_MS + WORLD_MS);
    world_close(&w);
}

/* What its callers never wait for is learned nevertheless. */
static void what_is_given_up_is_learned(void **state)
{
    (void)state;
    enum { N = 40 };
    struct world w;
    struct seen slow, s[N];
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=0 pool_close_linger=1s");
    timed_make(&w, 2);
    timed_learn(&w, &fast, 20);
    for (int i = 0; i < 20; i++) {
        seen_init(&slow, &middling, 0);
        slow.query.nparams = 0;
        slow.query.deadline_ns = sim_now(w.sim) + 5 * WORLD_MS;
        pg_pool_query(w.pool, &slow.query);
        world_run(&w, WORLD_SECOND);
        assert_int_equal(slow.status, PG_E_TIMEOUT);
    }
    assert_int_equal(world_stats(&w).idle_conns, 2);
    timed_start(&w, &slow, &middling);
    for (int i = 0; i < N; i++) timed_start(&w, &s[i], &fast);
    world_run(&w, 5 * WORLD_MS);
    for (int i = 0; i < N; i++) assert_int_equal(s[i].done, 1);
    assert_int_equal(slow.done, 0);
    world_close(&w);
}

/* ---- room ---- */

/* The one with the least work is full: the other one takes it, and nobody parks. */
static void a_full_one_is_not_chosen(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, s[5];
    timed_open(&w, 50000, "pool_max_conns=2 pool_max_pipeline=4 pool_slow_statement=0");
    timed_make(&w, 2);
    timed_learn(&w, &fast, 20);
    timed_learn(&w, &middling, 20);
    timed_start(&w, &slow, &middling);
    for (int i = 0; i < 5; i++) timed_start(&w, &s[i], &fast);
    assert_int_equal(world_stats(&w).pending, 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s[4].status, 0);
    world_close(&w);
}

static void a_batch_goes_where_it_fits(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, s[2], batch[3];
    timed_open(&w, 50000, "pool_max_conns=2 pool_max_pipeline=4 pool_slow_statement=0");
    timed_make(&w, 2);
    timed_learn(&w, &fast, 20);
    timed_learn(&w, &middling, 20);
    timed_start(&w, &slow, &middling);
    for (int i = 0; i < 2; i++) timed_start(&w, &s[i], &fast);
    for (int i = 0; i < 3; i++) {
        seen_init(&batch[i], &fast, 0);
        batch[i].query.nparams = 0;
        if (i) batch[i - 1].query.next = &batch[i].query;
    }
    pg_pool_query(w.pool, &batch[0].query);
    assert_int_equal(world_stats(&w).pending, 0);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < 3; i++) assert_int_equal(batch[i].done, 1);
    world_close(&w);
}

/* ---- late ---- */

/* Nobody knew that it is slow: who came with it waits, who comes when it is late does not. */
static void nobody_goes_behind_one_that_is_late(const char *options, bool avoided)
{
    enum { N = 20 };
    struct world w;
    struct seen slow, s[N];
    timed_open(&w, 50000, options);
    timed_make(&w, 2);
    timed_learn(&w, &fast, 20);
    timed_start(&w, &slow, &sluggish);
    world_run(&w, 25 * WORLD_MS);
    for (int i = 0; i < N; i++) timed_start(&w, &s[i], &fast);
    world_run(&w, 5 * WORLD_MS);
    unsigned done = 0;
    for (int i = 0; i < N; i++) done += s[i].done;
    if (avoided) assert_int_equal(done, N);
    else assert_in_range(done, N / 2 - 2, N / 2 + 2);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(slow.status, 0);
    world_close(&w);
}
static void late_ones_are_avoided(void **state)
{
    (void)state;
    nobody_goes_behind_one_that_is_late("pool_max_conns=2", true);
    nobody_goes_behind_one_that_is_late("pool_max_conns=2 pool_slow_statement=20ms", true);
    nobody_goes_behind_one_that_is_late("pool_max_conns=2 pool_slow_statement=40ms", false);
    nobody_goes_behind_one_that_is_late("pool_max_conns=2 pool_slow_statement=0", false);
}

/* Without another choice they go there, and are served when it is over. */
static void late_is_better_than_not_at_all(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, s;
    timed_open(&w, 50000, "pool_max_conns=1");
    timed_make(&w, 1);
    timed_start(&w, &slow, &sluggish);
    world_run(&w, 25 * WORLD_MS);
    timed_start(&w, &s, &fast);
    assert_int_equal(world_stats(&w).pending, 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s.done, 1);
    assert_in_range(answered_ns - asked_ns, 35 * WORLD_MS, 36 * WORLD_MS);
    world_close(&w);
}

/* A server 30 ms away is no slow server: its connections are not late. */
static void far_is_not_late(void **state)
{
    (void)state;
    enum { N = 20 };
    struct world w;
    struct seen first, s[N];
    timed_open(&w, 15 * WORLD_MS, "pool_max_conns=2 pool_slow_statement=20ms");
    timed_make(&w, 2);
    timed_learn(&w, &fast, 20);
    timed_start(&w, &first, &fast);
    world_run(&w, 25 * WORLD_MS);
    for (int i = 0; i < N; i++) timed_start(&w, &s[i], &fast);
    world_run(&w, 8 * WORLD_MS); /* the first has ended; of the others half went behind it, as they should */
    assert_int_equal(first.done, 1);
    assert_int_equal(world_stats(&w).shared_conns, 2);
    world_run(&w, 25 * WORLD_MS);
    for (int i = 0; i < N; i++) assert_int_equal(s[i].done, 1);
    world_close(&w);
}

/* ---- those who go on from an outcome ---- */

enum { ROUNDS = 50 };
static unsigned moved; /* times that somebody went on on another connection */
static void go_on(struct pg_query *q)
{
    struct seen *s = q->data;
    const struct rp_slot *before = (const struct rp_slot *)(uintptr_t)s->value;
    assert_int_equal(q->status, 0);
    if (++s->done == ROUNDS) return;
    pg_pool_query(s->world->pool, q);
    s->value = (int64_t)(uintptr_t)rp_query(q)->slot;
    moved += before && before != rp_query(q)->slot;
}
static void loop_start(struct world *w, struct seen *s, struct pg_statement *statement)
{
    timed_init(w, s, statement);
    s->query.on_done = go_on;
    pg_pool_query(w->pool, &s->query);
}

/* So that what came together is sent together. */
static void who_goes_on_stays_where_it_was(void **state)
{
    (void)state;
    enum { N = 32 };
    static struct seen s[N];
    struct world w;
    timed_open(&w, 50000, "pool_max_conns=4");
    timed_make(&w, 4);
    timed_learn(&w, &nothing, 20);
    moved = 0;
    for (int i = 0; i < N; i++) loop_start(&w, &s[i], &nothing);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < N; i++) assert_int_equal(s[i].done, ROUNDS);
    assert_int_equal(moved, 0);
    world_close(&w);
}

/* How many of them are on the connection of the first. */
static int beside_the_first(struct seen *s, int n)
{
    int beside = 0;
    for (int i = 0; i < n; i++) beside += rp_query(&s[i].query)->slot == rp_query(&s[0].query)->slot;
    return beside;
}
static void until_it_is_even(void **state)
{
    (void)state;
    enum { N = 16 };
    static struct seen s[N];
    struct world w;
    struct held h;
    timed_open(&w, 50000, "pool_max_conns=2");
    timed_make(&w, 2);
    timed_learn(&w, &fast, 20);
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, WORLD_MS);
    for (int i = 0; i < N; i++) loop_start(&w, &s[i], &fast);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(beside_the_first(s, N), N);
    pg_lease_release(&h.lease);
    world_run(&w, 10 * WORLD_MS);
    assert_in_range(beside_the_first(s, N), N / 2 - 1, N / 2 + 1);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < N; i++) assert_int_equal(s[i].done, ROUNDS);
    world_close(&w);
}

/* Nobody goes on behind a statement of 8 ms that was sent there meanwhile, though fewer are there. */
static void not_behind_more_work(void **state)
{
    (void)state;
    enum { N = 8 };
    static struct seen s[N];
    struct world w;
    struct seen slow;
    unsigned before[N];
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=0");
    timed_make(&w, 2);
    timed_learn(&w, &fast, 20);
    timed_learn(&w, &middling, 20);
    for (int i = 0; i < N; i++) loop_start(&w, &s[i], &fast);
    world_run(&w, 5 * WORLD_MS);
    timed_start(&w, &slow, &middling);
    for (int i = 0; i < N; i++) before[i] = s[i].done;
    world_run(&w, 8 * WORLD_MS);
    assert_int_equal(slow.done, 0);
    for (int i = 0; i < N; i++) assert_in_range(s[i].done, before[i] + 5, ROUNDS);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < N; i++) assert_int_equal(s[i].done, ROUNDS);
    world_close(&w);
}

/* The times that somebody goes on elsewhere than behind a statement that was sent there meanwhile, of 1 ms. The program
 * turns whenever something has happened, or every 2 ms. */
static unsigned moved_from(struct pg_statement *longer, bool coarse)
{
    enum { N = 8 };
    static struct seen s[N];
    struct world w;
    struct seen one;
    timed_open(&w, 50000, "pool_max_conns=2");
    timed_make(&w, 2);
    timed_learn(&w, &nothing, 20);
    timed_learn(&w, longer, 20);
    for (int i = 0; i < N; i++) loop_start(&w, &s[i], &nothing);
    world_run(&w, WORLD_MS);
    moved = 0;
    for (int turn = 0; turn < 10 && coarse; turn++) {
        uint64_t until_ns = sim_now(w.sim) + 2 * WORLD_MS;
        if (turn == 2) timed_start(&w, &one, longer);
        assert_true(pg_reactor_turn(w.reactor) >= PG_WAIT_FOREVER);
        while (sim_step_until(w.sim, until_ns)) continue;
    }
    if (!coarse) timed_start(&w, &one, longer);
    world_run(&w, 2 * WORLD_MS);
    unsigned result = moved;
    assert_int_equal(one.done, 1);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < N; i++) assert_int_equal(s[i].done, ROUNDS);
    world_close(&w);
    return result;
}

/* By the clock of such a program some statements take 2 ms and others nothing: 1 ms says nothing of the server. */
static void what_is_less_than_a_turn_says_nothing(void **state)
{
    (void)state;
    static struct pg_statement one_ms = PG_STATEMENT("WORK 1000");
    assert_in_range(moved_from(&one_ms, false), 1, ROUNDS);
    assert_int_equal(moved_from(&one_ms, true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_work_and_not_the_fewest), cmocka_unit_test(equals_are_spread),
        cmocka_unit_test(what_is_given_up_is_learned),       cmocka_unit_test(a_full_one_is_not_chosen),
        cmocka_unit_test(a_batch_goes_where_it_fits),        cmocka_unit_test(late_ones_are_avoided),
        cmocka_unit_test(late_is_better_than_not_at_all),    cmocka_unit_test(far_is_not_late),
        cmocka_unit_test(who_goes_on_stays_where_it_was),    cmocka_unit_test(until_it_is_even),
        cmocka_unit_test(not_behind_more_work),              cmocka_unit_test(what_is_less_than_a_turn_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
