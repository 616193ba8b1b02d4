/* unit/test_pool.c - parking and resuming on the simulated host: who is granted in which order, and that every waiter
 * ends exactly once whatever happens in the same turn. Each test opens its own world and closes it; closing asserts
 * that nothing is left anywhere. */
#define _GNU_SOURCE
#include "support/world.h"
#include <stdlib.h>
#include <string.h>
#include "support/model_private.h"

/* ---- serving ---- */

static void shared_query_answers(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    world_open(&w, "pool_max_conns=2");
    seen_init(&s, &world_echo, 42);
    pg_pool_query(w.pool, &s.query);
    assert_int_equal(s.done, 0); /* never inside the call */
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s.done, 1);
    assert_string_equal(pg_error_name(s.status), "PG_OK");
    assert_int_equal(s.rows, 1);
    assert_int_equal(s.value, 42);
    assert_int_equal(s.query.rows, 1);
    assert_string_equal(s.query.tag, "SELECT");
    assert_int_equal(s.sent, PG_SENT_YES);
    world_close(&w);
}

/* N handlers on M < N connections: granted in the order of their calls, one resumed by each release. */
static void grants_are_first_in_first_out(void **state)
{
    (void)state;
    enum { N = 64, M = 3 };
    struct world w;
    struct held h[N];
    world_open(&w, "pool_max_conns=3");
    for (int i = 0; i < N; i++) {
        held_init(&h[i]);
        pg_pool_acquire(w.pool, &h[i].lease);
        assert_int_equal(h[i].grants, 0);
    }
    world_run(&w, WORLD_SECOND);
    unsigned last = 0;
    for (int i = 0; i < N; i++) {
        assert_int_equal(h[i].grants, 1);
        assert_int_equal(h[i].status, 0);
        assert_true(h[i].order > last);
        last = h[i].order;
        if (i + M < N) assert_int_equal(h[i + M].grants, 0); /* M at a time, not one more */
        pg_lease_release(&h[i].lease);
        world_run(&w, WORLD_MS);
    }
    assert_int_equal(model_stats(w.server)->connections_max, M);
    assert_int_equal(world_stats(&w).acquire_count, N);
    assert_int_equal(world_stats(&w).max_pending, N);
    world_close(&w);
}

/* ---- timeouts and cancels ---- */

/* The holder releases in the very turn in which the waiter's deadline passes: the documented rule says timeout, and the
 * connection goes to the one behind (failures 44). */
static void release_now(void *arg) { pg_lease_release(arg); }
static void timeout_beats_grant_in_the_same_turn(void **state)
{
    (void)state;
    struct world w;
    struct held holder, late, next;
    world_open(&w, "pool_max_conns=1");
    held_init(&holder);
    held_init(&late);
    held_init(&next);
    pg_pool_acquire(w.pool, &holder.lease);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(holder.grants, 1);
    uint64_t now = pg_reactor_now(w.reactor);
    late.lease.deadline_ns = now + 10 * WORLD_MS;
    next.lease.deadline_ns = PG_NEVER;
    pg_pool_acquire(w.pool, &late.lease);
    pg_pool_acquire(w.pool, &next.lease);
    world_run(&w, 9 * WORLD_MS);
    assert_int_equal(late.grants, 0);
    /* The release is an event at a time when the deadline has passed too: both are seen by the same turn. */
    sim_after(w.sim, 5 * WORLD_MS, release_now, &holder.lease);
    while (sim_now(w.sim) < now + 14 * WORLD_MS && sim_step(w.sim)) {}
    assert_int_equal(late.grants + next.grants, 0);
    (void)!pg_reactor_turn(w.reactor);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(late.grants, 1);
    assert_int_equal(late.status, PG_E_TIMEOUT);
    assert_int_equal(next.grants, 1);
    assert_int_equal(next.status, 0);
    assert_int_equal(world_stats(&w).timeout_count, 1);
    pg_lease_release(&next.lease);
    world_close(&w);
}

static void cancel_before_and_after_the_grant(void **state)
{
    (void)state;
    struct world w;
    struct held holder, parked, granted, last;
    world_open(&w, "pool_max_conns=1");
    held_init(&holder);
    held_init(&parked);
    held_init(&granted);
    held_init(&last);
    pg_pool_acquire(w.pool, &holder.lease);
    pg_pool_acquire(w.pool, &parked.lease);
    pg_pool_acquire(w.pool, &granted.lease);
    pg_pool_acquire(w.pool, &last.lease);
    world_run(&w, WORLD_SECOND / 10);
    pg_lease_abandon(&parked.lease); /* parked: never granted afterwards */
    memset(&parked, 0xaa, sizeof parked);
    pg_lease_abandon(&holder.lease); /* held */
    pg_lease_abandon(&holder.lease); /* idempotent */
    world_run(&w, WORLD_MS);
    assert_int_equal(granted.grants, 1);
    assert_int_equal(last.grants, 0);
    pg_lease_abandon(&granted.lease); /* granted, then cancelled: the connection goes to the next (failures 45) */
    world_run(&w, WORLD_MS);
    assert_int_equal(last.grants, 1);
    assert_int_equal(last.status, 0);
    pg_lease_release(&last.lease);
    assert_int_equal(world_stats(&w).canceled_acquire_count, 1);
    assert_int_equal(holder.grants, 1);
    assert_int_equal(model_stats(w.server)->connections_total, 1);
    world_close(&w);
}

/* ---- a million waiters, each released inside its own grant (failures 46) ---- */

static struct { char *highest, *lowest; unsigned granted; } stack;
static void release_inside(struct pg_lease *lease, int status)
{
    char here;
    char *at = &here;
    assert_int_equal(status, 0);
    if (!stack.lowest || at < stack.lowest) stack.lowest = at;
    if (at > stack.highest) stack.highest = at;
    stack.granted++;
    pg_lease_release(lease);
}
static void a_million_waiters_need_constant_stack(void **state)
{
    (void)state;
    enum { N = 1000000 };
    struct world w;
    struct pg_lease *lease = calloc(N, sizeof *lease);
    assert_non_null(lease);
    memset(&stack, 0, sizeof stack);
    world_open(&w, "pool_max_conns=2 pool_max_waiters=1000000");
    for (int i = 0; i < N; i++) {
        lease[i] = (struct pg_lease){ .on_grant = release_inside, .deadline_ns = PG_NEVER };
        pg_pool_acquire(w.pool, &lease[i]);
    }
    assert_int_equal(world_stats(&w).pending, N);
    uint64_t turns = sim_counters(w.sim)->turns;
    world_run(&w, 100 * WORLD_SECOND);
    assert_int_equal(stack.granted, N);
    assert_true(stack.highest - stack.lowest < 4096);
    assert_true(sim_counters(w.sim)->turns - turns >=
                N / 1024); /* the budget lets others have their turn (failures 48) */
    world_close(&w);
    free(lease);
}

/* ---- connections that die ---- */

static void death_strands_nobody(void **state)
{
    (void)state;
    enum { N = 8 };
    struct world w;
    struct held h[N];
    struct seen s;
    world_open(&w, "pool_max_conns=2");
    for (int i = 0; i < N; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
    world_run(&w, WORLD_SECOND / 10);
    assert_int_equal(h[0].grants + h[1].grants, 2);
    seen_sql(&s, "SLEEP 1000");
    pg_lease_query(&h[0].lease, &s.query);
    world_run(&w, WORLD_MS);
    model_conn_end(model_conn_at(w.server, 0), MODEL_END_RESET, NULL);
    model_conn_end(model_conn_at(w.server, 1), MODEL_END_FATAL, "57P01");
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.status, PG_E_LOST);
    assert_int_equal(s.sent, PG_SENT_MAYBE);
    assert_int_equal(w.events[PG_EVENT_LOST], 2);
    /* Both are still held, on nothing: they refuse, and return like any other. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pg_lease_transaction(&h[i].lease), 0);
        seen_init(&s, &world_echo, 1);
        pg_lease_query(&h[i].lease, &s.query);
        assert_int_equal(s.done, 0);
        world_run(&w, WORLD_MS);
        assert_int_equal(s.status, PG_E_LOST);
        assert_int_equal(s.sent, PG_SENT_NO);
        pg_lease_release(&h[i].lease);
    }
    for (int i = 2; i < N; i++) {
        world_run(&w, WORLD_SECOND);
        assert_int_equal(h[i].grants, 1);
        assert_int_equal(h[i].status, 0);
        pg_lease_release(&h[i].lease);
    }
    world_close(&w);
}

/* Its pending receive tells, before anybody asks for it (failures 51). */
static void an_idle_connection_that_dies_is_never_handed_out(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    world_open(&w, "pool_max_conns=1");
    seen_init(&s, &world_echo, 1);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s.status, 0);
    model_conn_end(model_conn_at(w.server, 0), MODEL_END_FATAL, "57P01");
    world_run(&w, WORLD_SECOND);
    assert_int_equal(world_stats(&w).idle_conns, 0);
    assert_string_equal(w.event_error.sqlstate, "57P01"); /* the FATAL, not the reset behind it (failures 28) */
    seen_init(&s, &world_echo, 2);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s.status, 0);
    assert_int_equal(s.value, 2);
    assert_int_equal(model_stats(w.server)->connections_total, 2);
    world_close(&w);
}

/* ---- both lanes in one queue, and nobody passes those who wait (failures 48) ---- */

static void statements_stand_behind_a_parked_lease(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, before[4], after[4];
    struct held lease;
    world_open(&w, "pool_max_conns=1");
    seen_sql(&slow, "SLEEP 50");
    pg_pool_query(w.pool, &slow.query);
    world_run(&w, 10 * WORLD_MS); /* the only connection is shared now */
    for (int i = 0; i < 4; i++) seen_init(&before[i], &world_echo, i), pg_pool_query(w.pool, &before[i].query);
    held_init(&lease);
    pg_pool_acquire(w.pool, &lease.lease);
    for (int i = 0; i < 4; i++) seen_init(&after[i], &world_echo, 10 + i), pg_pool_query(w.pool, &after[i].query);
    assert_int_equal(world_stats(&w).pending, 5); /* no barging: the lease and the four behind it */
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < 4; i++) assert_int_equal(before[i].status + (int)before[i].done, 1);
    assert_int_equal(lease.grants, 1); /* the shared connection was drained for it */
    assert_true(lease.order > before[3].order);
    for (int i = 0; i < 4; i++) assert_int_equal(after[i].done, 0);
    pg_lease_release(&lease.lease);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(after[i].done, 1);
        assert_int_equal(after[i].value, 10 + i);
        assert_true(after[i].order > lease.order);
    }
    world_close(&w);
}

/* A lease that goes away gives the connection that was drained for it back to the statements. */
static void an_abandoned_lease_ends_its_draining(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, after;
    struct held lease;
    world_open(&w, "pool_max_conns=1");
    seen_sql(&slow, "SLEEP 500");
    pg_pool_query(w.pool, &slow.query);
    world_run(&w, 10 * WORLD_MS);
    held_init(&lease);
    pg_pool_acquire(w.pool, &lease.lease);
    seen_init(&after, &world_echo, 7);
    pg_pool_query(w.pool, &after.query);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(world_stats(&w).pending, 2);
    pg_lease_abandon(&lease.lease);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(world_stats(&w).pending, 0); /* joined the shared connection behind the slow one */
    world_run(&w, WORLD_SECOND);
    assert_int_equal(after.value, 7);
    world_close(&w);
}

/* ---- the shared lane protects its neighbours ---- */

/* A BEGIN that nobody could recognise: the model opens a transaction for a harmless looking text. */
static void stray_begin(void *arg, struct model_query *q)
{
    (void)arg;
    if (strcmp(model_sql(q), "CALL opens()") != 0) {
        model_default_answer(q);
        return;
    }
    q->effect = EFFECT_BEGIN;
    model_complete(q, "CALL");
}
static void unrecognised_begin_swallows_no_insert(void **state)
{
    (void)state;
    enum { N = 6 };
    struct world w;
    struct seen culprit, insert[N];
    struct sim_config sim = { .seed = 3, .latency_min_ns = 50000, .latency_max_ns = 100000 };
    struct model_config server = { .answer = stray_begin };
    world_open_with(&w, &sim, &server, "pool_max_conns=1");
    seen_init(&insert[0], &world_insert, 100);
    pg_pool_query(w.pool, &insert[0].query);
    world_run(&w, WORLD_SECOND);
    /* Recognised: refused before anything is sent. */
    seen_sql(&culprit, " /* x */ begin");
    pg_pool_query(w.pool, &culprit.query);
    world_run(&w, WORLD_MS);
    assert_int_equal(culprit.status, PG_E_NEEDS_LEASE);
    assert_int_equal(culprit.sent, PG_SENT_NO);
    seen_sql(&culprit, "SET app.token = 's3cret'"); /* what stands in SQL may be a secret: no text repeats it */
    pg_pool_query(w.pool, &culprit.query);
    world_run(&w, WORLD_MS);
    assert_int_equal(culprit.status, PG_E_NEEDS_LEASE);
    assert_null(memmem(culprit.error.text, sizeof culprit.error.text, "s3cret", 6));
    seen_sql(&culprit, "CALL opens()");
    pg_pool_query(w.pool, &culprit.query);
    for (int i = 1; i < N; i++) seen_init(&insert[i], &world_insert, 100 + i), pg_pool_query(w.pool, &insert[i].query);
    world_run(&w, 20 * WORLD_SECOND);
    size_t committed;
    const int64_t *keys = model_committed(w.server, &committed);
    for (int i = 0; i < N; i++) {
        unsigned found = 0;
        for (size_t k = 0; k < committed; k++) found += keys[k] == 100 + i;
        assert_int_equal(insert[i].done, 1);
        assert_int_equal(found, insert[i].status == 0);
        assert_true(insert[i].status == 0 || insert[i].status == PG_E_ROLLED_BACK);
    }
    assert_int_equal(culprit.status, PG_E_NEEDS_LEASE);
    assert_int_equal(insert[1].status, PG_E_ROLLED_BACK); /* it ran inside, and was undone with the connection */
    assert_int_equal(insert[1].sent, PG_SENT_NO);
    assert_true(model_stats(w.server)->inserts_rolled_back >= 1);
    world_close(&w);
}

static void deferred_constraint_is_no_success(void **state)
{
    (void)state;
    struct world w;
    struct seen bad, good;
    world_open(&w, "pool_max_conns=1");
    seen_sql(&bad, "DEFERRED insert");
    seen_init(&good, &world_insert, 5);
    pg_pool_query(w.pool, &bad.query);
    pg_pool_query(w.pool, &good.query);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(bad.status, PG_E_SERVER); /* though CommandComplete said INSERT 0 1 */
    assert_string_equal(bad.query.sqlstate, "23503");
    assert_int_equal(bad.done, 1);
    assert_int_equal(good.status, 0); /* the neighbour is untouched */
    assert_int_equal(model_stats(w.server)->inserts_committed, 1);
    world_close(&w);
}

/* ---- sizes ---- */

static void the_minimum_is_kept(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "pool_max_conns=5 pool_min_conns=3 pool_connecting_limit=1");
    assert_int_equal(model_stats(w.server)->connections_total, 0); /* opening does no I/O */
    world_run(&w, WORLD_SECOND);
    assert_int_equal(world_stats(&w).idle_conns, 3);
    model_conn_end(model_conn_at(w.server, 1), MODEL_END_RESET, NULL);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(world_stats(&w).idle_conns, 3);
    assert_int_equal(world_stats(&w).lost_conns_count, 1);
    assert_int_equal(world_stats(&w).new_conns_count, 4);
    world_close(&w);
}

/* As many connections as waiters need, and not one above the maximum; the refused are told so. */
static void growth_and_refusal_are_bounded(void **state)
{
    (void)state;
    struct world w;
    struct held h[6];
    struct seen s;
    world_open(&w, "pool_max_conns=4 pool_max_waiters=2");
    for (int i = 0; i < 6; i++) {
        held_init(&h[i]);
        pg_pool_acquire(w.pool, &h[i].lease);
        if (i % 2) world_run(&w, WORLD_SECOND / 10);
    }
    assert_int_equal(model_stats(w.server)->connections_max, 4);
    assert_int_equal(world_stats(&w).pending, 2);
    seen_init(&s, &world_echo, 1);
    pg_pool_query(w.pool, &s.query);
    assert_int_equal(s.done, 0);
    world_run(&w, WORLD_MS);
    assert_int_equal(s.status, PG_E_REFUSED);
    assert_int_equal(s.sent, PG_SENT_NO);
    struct held direct;
    held_init(&direct);
    assert_int_equal(pg_pool_try_acquire(w.pool, &direct.lease), PG_E_REFUSED);
    assert_int_equal(direct.grants, 0);
    assert_int_equal(world_stats(&w).empty_acquire_count, 4); /* each came before its connection stood */
    for (int i = 0; i < 6; i++) pg_lease_abandon(&h[i].lease);
    world_run(&w, WORLD_SECOND);
    uint32_t parked = world_stats(&w).max_pending;
    struct held served;
    held_init(&served);
    pg_pool_acquire(w.pool,
                    &served.lease); /* an idle connection is there: served in this turn, and not counted as parked */
    world_run(&w, WORLD_MS);
    assert_int_equal(served.status + (int)served.grants, 1);
    assert_int_equal(world_stats(&w).empty_acquire_count, 4);
    assert_int_equal(world_stats(&w).max_pending, parked);
    pg_lease_release(&served.lease);
    assert_int_equal(pg_pool_try_acquire(w.pool, &direct.lease), 0);
    assert_int_equal(direct.grants, 0);
    pg_lease_release(&direct.lease);
    world_close(&w);
}

/* ---- closing ---- */

/* Twice is fine, and who comes afterwards is told so at once (failures 47, 49). */
static void close_ends_every_waiter_once(void **state)
{
    (void)state;
    enum { N = 100 };
    struct world w;
    struct held h[N];
    struct seen s[N];
    world_open(&w, "pool_max_conns=2");
    for (int i = 0; i < N; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
    for (int i = 0; i < N; i++) seen_init(&s[i], &world_echo, i), pg_pool_query(w.pool, &s[i].query);
    world_run(&w, WORLD_SECOND / 10);
    struct seen running;
    seen_sql(&running, "SLEEP 2000");
    pg_lease_query(&h[0].lease, &running.query);
    world_run(&w, WORLD_MS);
    pg_pool_close(w.pool, 0, NULL, NULL);
    pg_pool_close(w.pool, 0, NULL, NULL); /* twice is fine */
    for (int i = 2; i < N; i++) assert_int_equal(h[i].grants, 0); /* never inside the call */
    struct held after;
    held_init(&after);
    pg_pool_acquire(w.pool, &after.lease);
    assert_int_equal(after.grants, 0);
    (void)!pg_reactor_turn(w.reactor);
    world_run(&w, WORLD_MS);
    for (int i = 2; i < N; i++) assert_int_equal(h[i].status, PG_E_CLOSED);
    for (int i = 0; i < N; i++) assert_int_equal(s[i].status, PG_E_CLOSED);
    assert_int_equal(running.status, PG_E_CLOSED);
    assert_int_equal(after.status, PG_E_CLOSED);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(h[i].status, 0);
        pg_lease_abandon(&h[i].lease); /* still held: returned to a pool that is closing or gone */
    }
    for (int i = 0; i < N; i++) assert_int_equal(h[i].grants + s[i].done, 2);
    w.pool = NULL;
    world_close(&w);
}

/* The server has committed all three: that the pool ends in the middle of telling so changes nothing. */
static struct world *closes;
static void closes_the_pool(struct pg_query *q)
{
    ((struct seen *)q->data)->done++;
    pg_pool_close(closes->pool, 0, NULL, NULL);
}
static void what_was_decided_outlives_the_pool(void **state)
{
    (void)state;
    struct world w;
    struct seen s[3];
    world_open(&w, "pool_max_conns=1");
    closes = &w;
    for (int i = 0; i < 3; i++) seen_init(&s[i], &world_insert, i);
    s[0].query.next = &s[1].query;
    s[1].query.next = &s[2].query;
    s[0].query.on_done = closes_the_pool;
    pg_pool_query(w.pool, &s[0].query);
    world_run(&w, 20 * WORLD_SECOND);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(s[i].done, 1);
        assert_int_equal(s[i].query.status, 0);
        assert_int_equal(s[i].query.sent, PG_SENT_YES);
    }
    assert_int_equal(model_stats(w.server)->inserts_committed, 3);
    w.pool = NULL;
    world_close(&w);
}

static void draining_close_serves_what_is_queued(void **state)
{
    (void)state;
    enum { N = 50 };
    struct world w;
    struct seen s[N];
    struct held h;
    world_open(&w, "pool_max_conns=1 pool_max_pipeline=4");
    for (int i = 0; i < N; i++) seen_init(&s[i], &world_echo, i), pg_pool_query(w.pool, &s[i].query);
    pg_pool_close(w.pool, pg_reactor_now(w.reactor) + 10 * WORLD_SECOND, NULL, NULL);
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < N; i++) assert_int_equal(s[i].status + (int)s[i].done, 1);
    assert_int_equal(h.status, PG_E_CLOSED);
    w.pool = NULL;
    world_close(&w);
}

/* ---- the submission queue is full in the middle of everything (failures 40) ---- */

static void full_submission_queue_loses_nothing(void **state)
{
    (void)state;
    enum { N = 200 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world w;
        struct seen s[N];
        struct sim_config sim = { .seed = seed,
                                  .submit_again = 300,
                                  .short_send = 200,
                                  .short_recv = 200,
                                  .retryable = 100,
                                  .latency_max_ns = 100000,
                                  .completion_ns = 20000 };
        struct model_config server = { 0 };
        world_open_with(&w, &sim, &server, "pool_max_conns=3 pool_max_pipeline=16");
        for (int i = 0; i < N; i++) seen_init(&s[i], &world_echo, i * 7), pg_pool_query(w.pool, &s[i].query);
        world_run(&w, 60 * WORLD_SECOND);
        for (int i = 0; i < N; i++) {
            assert_int_equal(s[i].done, 1);
            assert_int_equal(s[i].status, 0);
            assert_int_equal(s[i].value, i * 7);
        }
        assert_true(sim_counters(w.sim)->again > 0);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_query_answers),
        cmocka_unit_test(grants_are_first_in_first_out),
        cmocka_unit_test(timeout_beats_grant_in_the_same_turn),
        cmocka_unit_test(cancel_before_and_after_the_grant),
        cmocka_unit_test(a_million_waiters_need_constant_stack),
        cmocka_unit_test(death_strands_nobody),
        cmocka_unit_test(an_idle_connection_that_dies_is_never_handed_out),
        cmocka_unit_test(statements_stand_behind_a_parked_lease),
        cmocka_unit_test(an_abandoned_lease_ends_its_draining),
        cmocka_unit_test(unrecognised_begin_swallows_no_insert),
        cmocka_unit_test(deferred_constraint_is_no_success),
        cmocka_unit_test(the_minimum_is_kept),
        cmocka_unit_test(growth_and_refusal_are_bounded),
        cmocka_unit_test(close_ends_every_waiter_once),
        cmocka_unit_test(what_was_decided_outlives_the_pool),
        cmocka_unit_test(draining_close_serves_what_is_queued),
        cmocka_unit_test(full_submission_queue_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
