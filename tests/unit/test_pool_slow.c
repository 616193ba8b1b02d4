/* unit/test_pool_slow.c - slow statements of the shared lane run alone: which they are, how many at a time, in which
 * order, and what becomes of one that is given up. Simulated host, virtual time. */
#include "timed.h"

static struct pg_statement slow = { .sql = "WORK 100000", .flags = PG_STATEMENT_SLOW };
static struct pg_statement learned = PG_STATEMENT("WORK 50000");
static struct pg_statement changing = PG_STATEMENT("CHANGING");

/* ---- alone ---- */

static void a_slow_one_runs_alone(void **state)
{
    (void)state;
    enum { N = 20 };
    struct world w;
    struct seen one, s[N];
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=0");
    timed_make(&w, 2);
    timed_start(&w, &one, &slow); /* never measured, and declared */
    assert_int_equal(world_stats(&w).solo_conns, 1);
    assert_int_equal(world_stats(&w).shared_conns, 1);
    for (int i = 0; i < N; i++) timed_start(&w, &s[i], &fast);
    world_run(&w, 5 * WORLD_MS);
    for (int i = 0; i < N; i++) assert_int_equal(s[i].done, 1);
    assert_int_equal(one.done, 0);
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(one.status, 0);
    assert_int_equal(one.done, 1);
    assert_int_equal(world_stats(&w).idle_conns, 2);
    world_close(&w);
}

static void a_batch_with_a_slow_member_is_slow(void **state)
{
    (void)state;
    struct world w;
    struct seen batch[3], s;
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=0");
    timed_make(&w, 2);
    for (int i = 0; i < 3; i++) {
        timed_init(&w, &batch[i], i == 2 ? &slow : &fast);
        if (i) batch[i - 1].query.next = &batch[i].query;
    }
    pg_pool_query(w.pool, &batch[0].query);
    assert_int_equal(world_stats(&w).solo_conns, 1);
    timed_start(&w, &s, &fast);
    world_run(&w, 5 * WORLD_MS);
    assert_int_equal(s.done, 1);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < 3; i++) assert_int_equal(batch[i].done, 1);
    world_close(&w);
}

/* ---- how many, and in which order ---- */

static void all_but_one_at_a_time(void **state)
{
    (void)state;
    enum { N = 7 };
    struct world w;
    struct seen s[N], quick;
    timed_open(&w, 50000, "pool_max_conns=4 pool_slow_statement=0");
    timed_make(&w, 4);
    for (int i = 0; i < N; i++) timed_start(&w, &s[i], &slow);
    for (int round = 0; round < 3; round++) {
        world_run(&w, 50 * WORLD_MS);
        struct pg_pool_stats now = world_stats(&w);
        assert_int_equal(now.solo_conns, round < 2 ? 3 : 1);
        assert_int_equal(now.pending, round == 0 ? 4 : round == 1 ? 1 : 0);
        timed_start(&w, &quick, &fast);
        world_run(&w, 5 * WORLD_MS);
        assert_int_equal(quick.done, 1); /* past those that wait */
        world_run(&w, 45 * WORLD_MS + WORLD_MS);
    }
    world_run(&w, WORLD_SECOND);
    for (int i = 1; i < N; i++) assert_true(s[i].order > s[i - 1].order || i % 3);
    for (int i = 3; i < N; i++) assert_true(s[i].order > s[i - 3].order);
    world_close(&w);
}

static void a_pool_of_one_shares(void **state)
{
    (void)state;
    struct world w;
    struct seen one, s;
    timed_open(&w, 50000, "pool_max_conns=1");
    timed_make(&w, 1);
    timed_start(&w, &one, &slow);
    timed_start(&w, &s, &fast);
    assert_int_equal(world_stats(&w).solo_conns, 0);
    assert_int_equal(world_stats(&w).pending, 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(one.done + s.done, 2);
    assert_true(answered_ns - asked_ns > 99 * WORLD_MS);
    world_close(&w);
}

/* Of two connections one is leased: the other one is the fast ones' as well. */
static void beside_leases_it_shares(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct seen one, two, s;
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=0");
    timed_make(&w, 2);
    held_init(&h);
    assert_int_equal(pg_pool_try_acquire(w.pool, &h.lease), 0);
    timed_start(&w, &one, &slow);
    timed_start(&w, &s, &fast);
    assert_int_equal(world_stats(&w).solo_conns, 0);
    assert_int_equal(world_stats(&w).pending, 0);
    world_run(&w, 200 * WORLD_MS);
    assert_int_equal(one.done + s.done, 2);
    pg_lease_release(&h.lease);
    timed_start(&w, &one, &slow); /* and alone again; a second one waits for its place, until there is none */
    timed_start(&w, &two, &slow);
    assert_int_equal(world_stats(&w).solo_conns, 1);
    assert_int_equal(world_stats(&w).pending, 1);
    assert_int_equal(pg_pool_try_acquire(w.pool, &h.lease), 0); /* nobody may have it who waits */
    world_run(&w, 150 * WORLD_MS);
    assert_int_equal(one.done, 1);
    assert_int_equal(world_stats(&w).pending, 0);
    assert_int_equal(world_stats(&w).solo_conns, 0);
    assert_int_equal(world_stats(&w).shared_conns, 1);
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(two.done, 1);
    pg_lease_release(&h.lease);
    world_close(&w);
}

/* An idle connection goes to who waits longest, lease or slow. */
/* What closes has its place yet, and takes nothing from those that stand. */
static void closing_ones_take_no_solo_place(void **state)
{
    (void)state;
    enum { N = 4 };
    struct world w;
    struct held h[N];
    struct seen one;
    timed_open(&w, 50000, "pool_max_conns=4 pool_slow_statement=0");
    model_settings(w.server)->exit_delay_ns = WORLD_SECOND;
    for (int i = 0; i < N; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(pg_pool_resize(w.pool, 0, 2), 0);
    for (int i = 0; i < N; i++) pg_lease_release(&h[i].lease);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(world_stats(&w).total_conns, 4);
    assert_int_equal(world_stats(&w).idle_conns, 2);
    timed_start(&w, &one, &slow);
    assert_int_equal(world_stats(&w).solo_conns, 1);
    world_run(&w, 3 * WORLD_SECOND);
    assert_int_equal(one.status, 0);
    world_close(&w);
}

/* A connect that a resize made superfluous leaves no connection for the fast ones. */
static void one_too_many_takes_no_solo_place(void **state)
{
    (void)state;
    struct world w;
    struct held h, other;
    struct seen one, s;
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=0");
    timed_make(&w, 1);
    held_init(&h);
    held_init(&other);
    assert_int_equal(pg_pool_try_acquire(w.pool, &h.lease), 0);
    pg_pool_acquire(w.pool, &other.lease);
    world_run(&w, 0);
    pg_lease_abandon(&other.lease);
    pg_lease_release(&h.lease);
    assert_int_equal(world_stats(&w).constructing_conns, 1);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    assert_int_equal(pg_pool_resize(w.pool, 0, 1), 0);
    timed_start(&w, &one, &slow);
    timed_start(&w, &s, &fast);
    assert_int_equal(world_stats(&w).solo_conns, 0);
    assert_int_equal(world_stats(&w).pending, 0);
    world_run(&w, 200 * WORLD_MS);
    assert_int_equal(one.done + s.done, 2);
    world_close(&w);
}

static void leases_and_slow_ones_by_age(void **state)
{
    (void)state;
    struct world w;
    struct held a, b, first, third;
    struct seen second, fourth;
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=0");
    timed_make(&w, 2);
    held_init(&a), held_init(&b), held_init(&first), held_init(&third);
    assert_int_equal(pg_pool_try_acquire(w.pool, &a.lease), 0);
    timed_start(&w, &second, &fast); /* keeps the other one shared for now */
    world_run(&w, WORLD_MS);
    pg_lease_release(&a.lease);
    timed_start(&w, &second, &slow);
    assert_int_equal(pg_pool_try_acquire(w.pool, &b.lease), 0);
    /* both are taken: one solo, one leased */
    pg_pool_acquire(w.pool, &first.lease), world_run(&w, WORLD_MS);
    timed_start(&w, &fourth, &slow), world_run(&w, WORLD_MS);
    pg_pool_acquire(w.pool, &third.lease), world_run(&w, WORLD_MS);
    assert_int_equal(first.grants, 0);
    world_run(&w, 110 * WORLD_MS); /* the solo one has ended */
    assert_int_equal(second.done, 1);
    assert_int_equal(first.grants, 1);
    assert_int_equal(third.grants, 0);
    pg_lease_release(&b.lease);
    world_run(&w, 2 * WORLD_MS);
    assert_int_equal(third.grants, 0); /* the slow one is older */
    assert_int_equal(fourth.done, 0);
    assert_int_equal(world_stats(&w).pending, 1);
    world_run(&w, 110 * WORLD_MS);
    assert_int_equal(fourth.done, 1);
    assert_int_equal(third.grants, 1);
    pg_lease_release(&first.lease);
    pg_lease_release(&third.lease);
    world_close(&w);
}

/* The solo place is free again, and the connection still goes to the lease that came earlier. */
static void a_slow_one_overtakes_no_lease(void **state)
{
    (void)state;
    struct world w;
    struct held held, waiting;
    struct seen one, two, busy_one;
    timed_open(&w, 50000, "pool_max_conns=3 pool_slow_statement=0");
    timed_make(&w, 3);
    held_init(&held), held_init(&waiting);
    assert_int_equal(pg_pool_try_acquire(w.pool, &held.lease), 0);
    timed_init(&w, &busy_one, &fast);
    busy_one.query.statement = NULL;
    busy_one.query.sql = "WORK 300000";
    pg_pool_query(w.pool, &busy_one.query);
    timed_start(&w, &one, &slow), world_run(&w, WORLD_MS);
    pg_pool_acquire(w.pool, &waiting.lease), world_run(&w, WORLD_MS);
    timed_start(&w, &two, &slow);
    assert_int_equal(world_stats(&w).pending, 2);
    world_run(&w, 110 * WORLD_MS);
    assert_int_equal(one.done, 1);
    assert_int_equal(waiting.grants, 1);
    assert_int_equal(world_stats(&w).solo_conns, 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(two.done + busy_one.done, 2);
    pg_lease_release(&held.lease);
    pg_lease_release(&waiting.lease);
    world_close(&w);
}

/* ---- under load ---- */

static struct {
    struct world w;
    struct seen s[16];
    unsigned outcomes;
    uint64_t worst_ns, began_ns[16];
    bool over;
} busy;
static void once_more(struct pg_query *q)
{
    struct seen *s = q->data;
    size_t i = (size_t)(s - busy.s);
    uint64_t now = sim_now(busy.w.sim), took_ns = now - busy.began_ns[i];
    assert_int_equal(q->status, 0);
    busy.outcomes++;
    if (took_ns > busy.worst_ns) busy.worst_ns = took_ns;
    busy.began_ns[i] = now;
    if (!busy.over) pg_pool_query(busy.w.pool, q);
}
static void keep_some_busy(const char *options, int conns, int handlers)
{
    memset(&busy, 0, sizeof busy);
    timed_open(&busy.w, 50000, options);
    timed_make(&busy.w, conns);
    for (int i = 0; i < handlers; i++) {
        timed_init(&busy.w, &busy.s[i], &fast);
        busy.s[i].query.on_done = once_more;
        busy.began_ns[i] = sim_now(busy.w.sim);
        pg_pool_query(busy.w.pool, &busy.s[i].query);
        world_run(&busy.w, WORLD_MS / 10);
    }
}
static void keep_busy(const char *options, int conns) { keep_some_busy(options, conns, 16); }

/* No connection is ever idle by itself: one is drained for those who want it alone. */
static void busy_connections_are_drained(void **state)
{
    (void)state;
    struct seen one, two;
    keep_busy("pool_max_conns=2 pool_slow_statement=0", 2);
    world_run(&busy.w, 20 * WORLD_MS);
    timed_start(&busy.w, &one, &slow);
    timed_start(&busy.w, &two, &slow);
    assert_int_equal(world_stats(&busy.w).pending, 2);
    struct held h;
    held_init(&h);
    assert_int_equal(pg_pool_try_acquire(busy.w.pool, &h.lease), PG_E_REFUSED);
    world_run(&busy.w, 5 * WORLD_MS);
    assert_int_equal(world_stats(&busy.w).solo_conns, 1);
    assert_int_equal(world_stats(&busy.w).pending, 1);
    world_run(&busy.w, 240 * WORLD_MS);
    assert_int_equal(one.done, 1);
    assert_int_equal(two.done, 1);
    assert_true(one.order < two.order);
    assert_true(busy.worst_ns < 5 * WORLD_MS); /* 16 of them on one connection: 1.6 ms */
    assert_true(busy.outcomes > 2000);
    busy.over = true;
    world_run(&busy.w, WORLD_SECOND);
    world_close(&busy.w);
}

/* Up to half of the connections are left to the fast ones, one for each that there is; with them goes what they kept. */
static void fast_ones_keep_half(void **state)
{
    (void)state;
    enum { N = 9 };
    struct seen s[N], quick;
    keep_busy("pool_max_conns=6 pool_slow_statement=0", 6);
    world_run(&busy.w, 20 * WORLD_MS);
    for (int i = 0; i < N; i++) timed_start(&busy.w, &s[i], &slow);
    world_run(&busy.w, 90 * WORLD_MS);
    assert_int_equal(world_stats(&busy.w).solo_conns, 3);
    assert_int_equal(world_stats(&busy.w).pending, N - 3);
    assert_true(busy.worst_ns < 3 * WORLD_MS); /* 16 of them on three connections, and while those are drained */
    busy.over = true;
    world_run(&busy.w, 5 * WORLD_MS);
    assert_int_equal(world_stats(&busy.w).solo_conns, 5);
    assert_int_equal(world_stats(&busy.w).idle_conns, 1);
    timed_start(&busy.w, &quick, &fast); /* one alone needs no more than the one that is left */
    world_run(&busy.w, 5 * WORLD_MS);
    assert_int_equal(quick.done, 1);
    assert_int_equal(world_stats(&busy.w).solo_conns, 5);
    world_run(&busy.w, WORLD_SECOND);
    for (int i = 0; i < N; i++) assert_int_equal(s[i].done, 1);
    world_close(&busy.w);
}

/* Few have a connection each, and none idles: what one of them leaves is its own again when it goes on. */
static void few_fast_ones_keep_one_each(void **state)
{
    (void)state;
    enum { N = 12 };
    for (int handlers = 1; handlers <= 4; handlers++) {
        struct seen s[N];
        keep_some_busy("pool_max_conns=6 pool_slow_statement=0", 6, handlers);
        world_run(&busy.w, 20 * WORLD_MS);
        for (int i = 0; i < N; i++) timed_start(&busy.w, &s[i], &slow);
        world_run(&busy.w, 90 * WORLD_MS);
        assert_int_equal(world_stats(&busy.w).solo_conns, handlers < 3 ? 6 - handlers : 3);
        assert_int_equal(world_stats(&busy.w).idle_conns, 0);
        busy.worst_ns = 0;
        world_run(&busy.w, 5 * WORLD_MS);
        if (handlers < 4) assert_true(busy.worst_ns < 300000); /* 200 us, since nobody waits for another */
        busy.over = true;
        world_run(&busy.w, 2 * WORLD_SECOND);
        world_close(&busy.w);
    }
}

/* Leases that come later do not overtake it by their number. */
static void a_slow_one_goes_before_younger_leases(void **state)
{
    (void)state;
    enum { N = 5, LEASES = 3 };
    struct world w;
    struct seen s[N], other, last;
    struct held h[LEASES];
    timed_open(&w, 50000, "pool_max_conns=6 pool_slow_statement=0");
    timed_make(&w, 6);
    for (int i = 0; i < N; i++) timed_start(&w, &s[i], &slow), world_run(&w, 10 * WORLD_MS);
    timed_init(&w, &other, &fast);
    other.query.statement = NULL;
    other.query.sql = "WORK 400000"; /* the sixth is shared */
    pg_pool_query(w.pool, &other.query);
    timed_start(&w, &last, &slow), world_run(&w, WORLD_MS);
    for (int i = 0; i < LEASES; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
    world_run(&w, 56 * WORLD_MS); /* the first of them is over */
    assert_int_equal(s[0].done + s[1].done, 1);
    assert_int_equal(world_stats(&w).solo_conns, N);
    assert_int_equal(h[0].grants, 0);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < LEASES; i++) {
        assert_int_equal(h[i].grants, 1);
        pg_lease_release(&h[i].lease);
    }
    assert_int_equal(last.done + other.done, 2);
    world_close(&w);
}

/* One that idles, reserved for others, is none that a slow statement could wait for. */
static void reserved_ones_are_not_waited_for(void **state)
{
    (void)state;
    struct seen one;
    struct held h;
    keep_busy("pool_max_conns=3 pool_reserved_conns=1 pool_slow_statement=0", 2);
    held_init(&h);
    h.lease.priority = PG_PRIORITY_HIGH;
    pg_pool_acquire(busy.w.pool, &h.lease);
    world_run(&busy.w, 20 * WORLD_MS);
    pg_lease_release(&h.lease);
    assert_int_equal(world_stats(&busy.w).idle_conns, 1);
    timed_start(&busy.w, &one, &slow);
    assert_int_equal(world_stats(&busy.w).pending, 1);
    world_run(&busy.w, 5 * WORLD_MS);
    assert_int_equal(world_stats(&busy.w).solo_conns, 1);
    assert_int_equal(world_stats(&busy.w).idle_conns, 1);
    world_run(&busy.w, 110 * WORLD_MS);
    assert_int_equal(one.done, 1);
    busy.over = true;
    world_run(&busy.w, WORLD_SECOND);
    world_close(&busy.w);
}

/* ---- learning ---- */

static bool runs_alone(struct world *w, struct pg_statement *statement)
{
    struct seen s;
    timed_start(w, &s, statement);
    bool alone = world_stats(w).solo_conns == 1;
    world_run(w, WORLD_SECOND / 2);
    assert_int_equal(s.status, 0);
    return alone;
}

static void slow_ones_are_found(void **state)
{
    (void)state;
    struct world w;
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=20ms");
    timed_make(&w, 2);
    timed_learn(&w, &fast, 20);
    timed_learn(&w, &learned, 1);
    assert_false(runs_alone(&w, &learned)); /* one hiccup is none */
    timed_learn(&w, &learned, 4);
    assert_true(runs_alone(&w, &learned));
    assert_false(runs_alone(&w, &fast));
    world_close(&w);
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=0");
    timed_make(&w, 2);
    timed_learn(&w, &learned, 20);
    assert_false(runs_alone(&w, &learned));
    world_close(&w);
}

/* Among others, which say how far away the server is. */
static void learn_among_others(struct world *w, struct pg_statement *statement, int times)
{
    for (int i = 0; i < times; i++) timed_learn(w, statement, 1), timed_learn(w, &fast, 1);
}

/* At the threshold it becomes slow, and only at half of it fast again. */
static void fast_again(void **state)
{
    (void)state;
    struct world w;
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=20ms");
    timed_make(&w, 2);
    timed_learn(&w, &fast, 20);
    changing_us = 15000;
    learn_among_others(&w, &changing, 40);
    assert_false(runs_alone(&w, &changing));
    changing_us = 25000;
    learn_among_others(&w, &changing, 40);
    assert_true(runs_alone(&w, &changing));
    changing_us = 15000;
    learn_among_others(&w, &changing, 40);
    assert_true(runs_alone(&w, &changing));
    changing_us = 5000;
    learn_among_others(&w, &changing, 40);
    assert_false(runs_alone(&w, &changing));
    world_close(&w);
}

/* Nothing is slow at a server that is far away, or where all take as long: all connections serve all of them. */
static void slow_is_what_others_are_not(void **state)
{
    (void)state;
    struct world w;
    timed_open(&w, 40 * WORLD_MS, "pool_max_conns=2 pool_slow_statement=20ms");
    timed_make(&w, 2);
    timed_learn(&w, &fast, 40);
    assert_false(runs_alone(&w, &fast));
    timed_learn(&w, &learned, 10);
    assert_true(runs_alone(&w, &learned));
    world_close(&w);
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=20ms");
    timed_make(&w, 2);
    timed_learn(&w, &fast, 1);
    timed_learn(&w, &learned, 300);
    assert_false(runs_alone(&w, &learned));
    world_close(&w);
}

/* ---- given up ---- */

static void a_solo_one_that_is_given_up_is_stopped(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    for (int how = 0; how < 4; how++) {
        static struct pg_statement sleep = { .sql = "SLEEP 5000", .flags = PG_STATEMENT_SLOW };
        timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=0");
        timed_make(&w, 2);
        timed_init(&w, &s, &sleep);
        if (how == 0) s.query.deadline_ns = sim_now(w.sim) + 20 * WORLD_MS;
        pg_pool_query(w.pool, &s.query);
        assert_int_equal(world_stats(&w).solo_conns, 1);
        world_run(&w, 10 * WORLD_MS);
        if (how == 1) pg_query_cancel(&s.query);
        if (how == 2) pg_query_abandon(&s.query);
        for (size_t i = 0; how == 3 && i < model_conn_count(w.server); i++)
            model_conn_end(model_conn_at(w.server, i), MODEL_END_RESET, NULL);
        world_run(&w, 100 * WORLD_MS);
        assert_int_equal(s.done, how != 2);
        if (how != 2)
            assert_int_equal(s.status, how == 0 ? PG_E_TIMEOUT : how == 1 ? PG_E_CANCELLED : PG_E_LOST);
        assert_int_equal(model_stats(w.server)->cancels_that_hit, how < 3);
        assert_int_equal(world_stats(&w).solo_conns, 0);
        assert_int_equal(world_stats(&w).idle_conns, how < 3 ? 2 : 0);
        world_close(&w);
    }
}

static void parked_ones_end_like_others(void **state)
{
    (void)state;
    enum { N = 7 }; /* one runs; of an idle connection the queue is longer by one */
    struct world w;
    struct seen s[N];
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=0 pool_acquire_timeout=50ms pool_max_waiters=4");
    timed_make(&w, 2);
    for (int i = 0; i < N; i++) {
        timed_init(&w, &s[i], &slow);
        pg_pool_query(w.pool, &s[i].query);
    }
    world_run(&w, WORLD_MS);
    assert_int_equal(s[6].status, PG_E_REFUSED);
    pg_query_abandon(&s[1].query);
    pg_query_cancel(&s[2].query);
    assert_int_equal(world_stats(&w).pending, 3);
    world_run(&w, 60 * WORLD_MS);
    assert_int_equal(s[1].done, 0);
    assert_int_equal(s[2].status, PG_E_CANCELLED);
    assert_int_equal(s[3].status, PG_E_TIMEOUT);
    assert_int_equal(s[4].status + s[5].status, 2 * PG_E_TIMEOUT);
    assert_int_equal(s[0].done, 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s[0].status, 0);
    timed_start(&w, &s[0], &slow);
    timed_start(&w, &s[1], &slow);
    pg_pool_close(w.pool, 0, NULL, NULL);
    w.pool = NULL;
    world_run(&w, 10 * WORLD_SECOND);
    assert_int_equal(s[0].status, PG_E_CLOSED);
    assert_int_equal(s[1].status, PG_E_CLOSED);
    world_close(&w);
}

/* The connection is lost under a repeatable one: it is repeated, alone. */
static void a_lost_one_is_repeated_alone(void **state)
{
    (void)state;
    static struct pg_statement again = { .sql = "WORK 50000", .flags = PG_STATEMENT_SLOW | PG_STATEMENT_REPEATABLE };
    struct world w;
    struct seen s;
    timed_open(&w, 50000, "pool_max_conns=2 pool_slow_statement=0");
    timed_make(&w, 2);
    timed_start(&w, &s, &again);
    world_run(&w, 10 * WORLD_MS);
    for (size_t i = 0; i < model_conn_count(w.server); i++)
        model_conn_end(model_conn_at(w.server, i), MODEL_END_RESET, NULL);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(s.done, 0);
    assert_int_equal(world_stats(&w).solo_conns, 1);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s.status, 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_one_runs_alone),
        cmocka_unit_test(a_batch_with_a_slow_member_is_slow),
        cmocka_unit_test(all_but_one_at_a_time),
        cmocka_unit_test(a_pool_of_one_shares),
        cmocka_unit_test(beside_leases_it_shares),
        cmocka_unit_test(closing_ones_take_no_solo_place),
        cmocka_unit_test(one_too_many_takes_no_solo_place),
        cmocka_unit_test(leases_and_slow_ones_by_age),
        cmocka_unit_test(a_slow_one_overtakes_no_lease),
        cmocka_unit_test(busy_connections_are_drained),
        cmocka_unit_test(fast_ones_keep_half),
        cmocka_unit_test(few_fast_ones_keep_one_each),
        cmocka_unit_test(a_slow_one_goes_before_younger_leases),
        cmocka_unit_test(reserved_ones_are_not_waited_for),
        cmocka_unit_test(slow_ones_are_found),
        cmocka_unit_test(fast_again),
        cmocka_unit_test(slow_is_what_others_are_not),
        cmocka_unit_test(a_solo_one_that_is_given_up_is_stopped),
        cmocka_unit_test(parked_ones_end_like_others),
        cmocka_unit_test(a_lost_one_is_repeated_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
