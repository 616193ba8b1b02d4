/* unit/test_pool_corners.c - the pool where two things meet: a waiter that goes and those behind it, a batch that lost
 * its first member, a closed pool whose lease is still held, an end of the stream behind what was not read yet. On the
 * simulated host. */
#include "support/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- who goes makes room ---- */

/* A lease at the head of the queue times out while the shared connection that was drained for it is still busy. */
static void a_lease_that_times_out_ends_its_draining(void **state)
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
    lease.lease.deadline_ns = pg_reactor_now(w.reactor) + 10 * WORLD_MS;
    pg_pool_acquire(w.pool, &lease.lease);
    seen_init(&after, &world_echo, 7);
    pg_pool_query(w.pool, &after.query);
    world_run(&w, 50 * WORLD_MS);
    assert_int_equal(lease.status, PG_E_TIMEOUT);
    assert_int_equal(slow.done, 0);
    assert_int_equal(world_stats(&w).pending, 0); /* joined the shared connection behind the slow one */
    world_run(&w, WORLD_SECOND);
    assert_int_equal(after.value, 7);
    world_close(&w);
}

/* Those whom idle connections will serve in the same turn do not fill the queue. */
static void idle_connections_are_no_queue(void **state)
{
    (void)state;
    struct world w;
    struct held h[4];
    world_open(&w, "pool_max_conns=3 pool_min_conns=3 pool_max_waiters=1");
    world_run(&w, WORLD_SECOND);
    assert_int_equal(world_stats(&w).idle_conns, 3);
    for (int i = 0; i < 4; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
    struct held refused;
    held_init(&refused);
    pg_pool_acquire(w.pool, &refused.lease);
    world_run(&w, 10 * WORLD_MS);
    for (int i = 0; i < 3; i++) assert_int_equal(h[i].status + (int)h[i].grants, 1);
    assert_int_equal(h[3].grants, 0); /* the one that waits */
    assert_int_equal(world_stats(&w).acquire_count, 3);
    assert_int_equal(world_stats(&w).empty_acquire_count, 0);
    assert_int_equal(world_stats(&w).max_pending, 1);
    assert_int_equal(refused.grants, 1);
    assert_int_equal(refused.status, PG_E_REFUSED);
    for (int i = 0; i < 3; i++) pg_lease_release(&h[i].lease);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(h[3].status + (int)h[3].grants, 1);
    assert_int_equal(world_stats(&w).empty_acquire_count, 1);
    pg_lease_release(&h[3].lease);
    world_close(&w);
}

/* ---- connects that fail together ---- */

/* Four fail in one moment: one failure to the backoff, so that service is back as soon as the server is. */
static void connects_that_fail_together_back_off_once(void **state)
{
    (void)state;
    struct world w;
    struct held h[4];
    world_open(&w, "pool_max_conns=4");
    model_server_connects(w.server, SIM_REFUSE);
    for (int i = 0; i < 4; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(world_stats(&w).connect_failed_count, 4);
    model_server_connects(w.server, SIM_ACCEPT);
    world_run(&w, 150 * WORLD_MS); /* the first backoff is at most 100 ms */
    for (int i = 0; i < 4; i++) {
        assert_int_equal(h[i].status + (int)h[i].grants, 1);
        pg_lease_release(&h[i].lease);
    }
    world_close(&w);
}

/* ---- a batch whose first member was abandoned ---- */

static struct pg_statement nap_again = { "SLEEP 100", { 0 }, NULL, PG_STATEMENT_REPEATABLE, 0 };

static void a_batch_without_its_first_ends_with_its_connection(void **state)
{
    (void)state;
    for (int with_another = 0; with_another < 2; with_another++) {
        struct world w;
        struct seen before, first, second;
        world_open(&w, "pool_max_conns=1");
        seen_init(&before, &nap_again, 0);
        seen_sql(&first, "SLEEP 100");
        seen_init(&second, &world_insert, 5);
        first.query.next = &second.query;
        if (with_another) pg_pool_query(w.pool, &before.query);
        pg_pool_query(w.pool, &first.query);
        world_run(&w, 10 * WORLD_MS);
        pg_query_abandon(&first.query);
        memset(&first, 0xaa, sizeof first);
        model_conn_end(model_conn_at(w.server, 0), MODEL_END_RESET, NULL);
        world_run(&w, WORLD_SECOND);
        assert_int_equal(second.done, 1);
        assert_int_equal(second.status, PG_E_LOST);
        assert_int_equal(second.sent, PG_SENT_MAYBE); /* it was written, and so was what stood before it */
        if (with_another) assert_int_equal(before.status + (int)before.done, 1);
        world_close(&w);
    }
}

/* ---- what was sent once is no longer "not sent" ---- */

static void a_repetition_that_times_out_was_maybe_executed(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    world_open(&w, "pool_max_conns=1");
    seen_init(&s, &nap_again, 0);
    s.query.deadline_ns = pg_reactor_now(w.reactor) + WORLD_SECOND;
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 10 * WORLD_MS);
    model_server_connects(w.server, SIM_HANG);
    model_conn_end(model_conn_at(w.server, 0), MODEL_END_RESET, NULL);
    world_run(&w, 2 * WORLD_SECOND);
    assert_int_equal(s.done, 1);
    assert_true(s.status == PG_E_UNAVAILABLE || s.status == PG_E_TIMEOUT);
    assert_int_equal(s.sent, PG_SENT_MAYBE);
    world_close(&w);
}

/* ---- a pool that is closed while its lease is held ---- */

static void release_inside(struct pg_query *q)
{
    struct held *h = q->data;
    h->status = q->status;
    pg_lease_release(&h->lease);
}
static void never(struct pg_query *q)
{
    (void)q;
    fail();
}
static unsigned closed_times;
static void count_closed(void *arg)
{
    struct pg_lease *lease = arg;
    closed_times++;
    if (lease) pg_lease_abandon(lease);
}

/* The lease outlives its pool; the last thing that happens to it happens inside of its query's outcome. */
static void the_last_lease_of_a_closed_pool(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct world w;
        struct held h;
        world_open(&w, "pool_max_conns=1");
        held_init(&h);
        pg_pool_acquire(w.pool, &h.lease);
        world_run(&w, 10 * WORLD_MS);
        assert_int_equal(h.grants, 1);
        closed_times = 0;
        pg_pool_close(w.pool, 0, count_closed, how == 2 ? &h.lease : NULL);
        world_run(&w, WORLD_SECOND);
        assert_int_equal(closed_times, 1);
        w.pool = NULL;
        struct pg_query q = {
            .statement = &world_echo, .params = (struct pg_param[]){ pg_int8(1) }, .nparams = 1, .data = &h
        };
        q.on_done = how == 0 ? release_inside : never;
        if (how < 2) pg_lease_query(&h.lease, &q);
        if (how == 1) pg_lease_abandon(&h.lease);
        world_run(&w, 10 * WORLD_MS);
        if (how == 0) assert_int_equal(h.status, PG_E_CLOSED);
        assert_int_equal(pg_lease_transaction(&h.lease), 0);
        pg_lease_abandon(&h.lease);
        world_close(&w);
    }
}

/* ---- a pool whose last callback uses it (failures 47): whoever comes after the close is told so ---- */

static struct { struct world *w; struct seen query; struct held lease; } last;
static void use_it_once_more(void *arg)
{
    (void)arg;
    closed_times++;
    pg_pool_close(last.w->pool, 0, count_closed, NULL);
    seen_init(&last.query, &world_echo, 1);
    pg_pool_query(last.w->pool, &last.query.query);
    held_init(&last.lease);
    pg_pool_acquire(last.w->pool, &last.lease.lease);
}
static void the_last_callback_may_use_the_pool(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "pool_max_conns=1 pool_min_conns=1");
    world_run(&w, WORLD_SECOND);
    last.w = &w;
    closed_times = 0;
    pg_pool_close(w.pool, 0, use_it_once_more, NULL);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(closed_times, 1);
    assert_int_equal(last.query.done, 1);
    assert_int_equal(last.query.status, PG_E_CLOSED);
    assert_int_equal(last.lease.grants, 1);
    assert_int_equal(last.lease.status, PG_E_CLOSED);
    w.pool = NULL;
    world_close(&w);
}

/* ---- callers that vanish from the shared lane (failures 33) ---- */

static void an_abandoned_statement_is_drained_within_a_bound(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, after;
    world_open(&w, "pool_max_conns=1 pool_close_linger=300ms");
    seen_sql(&slow, "SLEEP 20000");
    pg_pool_query(w.pool, &slow.query);
    world_run(&w, 10 * WORLD_MS);
    pg_query_abandon(&slow.query);
    memset(&slow, 0xaa, sizeof slow);
    seen_init(&after, &world_echo, 6);
    pg_pool_query(w.pool, &after.query);
    world_run(&w, 5 * WORLD_SECOND);
    assert_int_equal(after.status + (int)after.done, 1); /* not behind the one that nobody waits for */
    assert_int_equal(after.value, 6);
    world_run(&w, 30 * WORLD_SECOND); /* until the backend has noticed */
    world_close(&w);
}

/* ---- the shortest of the deadlines that a close was given holds (failures 49) ---- */

static void a_close_is_shortened_and_not_lengthened(void **state)
{
    (void)state;
    for (int shorter_first = 0; shorter_first < 2; shorter_first++) {
        struct world w;
        struct seen slow;
        world_open(&w, "pool_max_conns=1 pool_close_linger=100ms");
        seen_sql(&slow, "SLEEP 20000");
        pg_pool_query(w.pool, &slow.query);
        world_run(&w, 10 * WORLD_MS);
        uint64_t now = pg_reactor_now(w.reactor);
        pg_pool_close(w.pool, now + (shorter_first ? 50 : 9000) * WORLD_MS, NULL, NULL);
        pg_pool_close(w.pool, now + (shorter_first ? 9000 : 50) * WORLD_MS, NULL, NULL);
        w.pool = NULL;
        world_run(&w, 49 * WORLD_MS);
        assert_int_equal(slow.done, 0);
        world_run(&w, 10 * WORLD_MS);
        assert_int_equal(slow.done, 1);
        assert_int_equal(slow.status, PG_E_CLOSED);
        world_run(&w, 30 * WORLD_SECOND); /* until the backend has noticed */
        world_close(&w);
    }
}

/* ---- decided, not told yet, and given up meanwhile (failures 33, 45, 47): nothing comes any more ---- */

struct giver_up {
    struct pg_lease lease;
    struct pg_query query;
    struct held *lease_of;
    struct seen *query_of;
    unsigned told;
};
static void give_up(struct giver_up *g)
{
    g->told++;
    if (g->query_of) pg_query_abandon(&g->query_of->query), memset(g->query_of, 0xaa, sizeof *g->query_of);
    if (g->lease_of) pg_lease_abandon(&g->lease_of->lease), memset(g->lease_of, 0xaa, sizeof *g->lease_of);
}
static void refused_and_gives_up(struct pg_lease *lease, int status)
{
    assert_int_equal(status, PG_E_TIMEOUT);
    give_up(lease->data);
}
static void lost_and_gives_up(struct pg_query *q)
{
    assert_int_equal(q->status, PG_E_LOST);
    give_up(q->data);
}

/* Three deadlines pass in one turn; the first to be told gives up the others. */
static void told_by_another_waiter(void **state)
{
    (void)state;
    struct world w;
    struct held holder, waiter;
    struct seen statement, after;
    struct giver_up first = { .lease_of = &waiter, .query_of = &statement };
    world_open(&w, "pool_max_conns=1");
    held_init(&holder);
    pg_pool_acquire(w.pool, &holder.lease);
    world_run(&w, 10 * WORLD_MS);
    uint64_t deadline_ns = pg_reactor_now(w.reactor) + 20 * WORLD_MS;
    first.lease = (struct pg_lease){ .on_grant = refused_and_gives_up, .data = &first, .deadline_ns = deadline_ns };
    held_init(&waiter);
    waiter.lease.deadline_ns = deadline_ns;
    seen_init(&statement, &world_echo, 1);
    statement.query.deadline_ns = deadline_ns;
    pg_pool_acquire(w.pool, &first.lease);
    pg_pool_acquire(w.pool, &waiter.lease);
    pg_pool_query(w.pool, &statement.query);
    world_run(&w, 50 * WORLD_MS);
    assert_int_equal(first.told, 1);
    assert_int_equal(world_stats(&w).timeout_count, 3); /* all three were decided */
    for (size_t i = 0; i < sizeof waiter; i++) assert_int_equal(((unsigned char *)&waiter)[i], 0xaa);
    for (size_t i = 0; i < sizeof statement; i++) assert_int_equal(((unsigned char *)&statement)[i], 0xaa);
    pg_lease_release(&holder.lease);
    seen_init(&after, &world_echo, 6);
    pg_pool_query(w.pool, &after.query);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(after.value, 6);
    world_close(&w);
}

/* The connection of a lease is lost under two of its queries; the first to be told abandons the lease. */
static void told_by_another_query_of_the_lease(void **state)
{
    (void)state;
    struct world w;
    struct held holder;
    struct seen second;
    struct giver_up first = { .lease_of = &holder };
    world_open(&w, "pool_max_conns=1");
    held_init(&holder);
    pg_pool_acquire(w.pool, &holder.lease);
    world_run(&w, 10 * WORLD_MS);
    first.query = (struct pg_query){ .sql = "SLEEP 1000", .on_done = lost_and_gives_up, .data = &first };
    seen_sql(&second, "SLEEP 1000");
    pg_lease_query(&holder.lease, &first.query);
    pg_lease_query(&holder.lease, &second.query);
    world_run(&w, 10 * WORLD_MS);
    model_server_restart(w.server, MODEL_END_RESET, 0);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(first.told, 1);
    assert_int_equal(second.done, 0);
    world_close(&w);
}

/* ---- the end of the stream behind what was not read yet (failures 28) ---- */

struct slow_reader { struct pg_query query; unsigned rows, done; int status; };
static enum pg_flow pause_each(struct pg_query *q, struct pg_row *row)
{
    (void)row;
    ((struct slow_reader *)q->data)->rows++;
    return PG_PAUSE;
}
static void slow_reader_done(struct pg_query *q)
{
    struct slow_reader *r = q->data;
    r->done++;
    r->status = q->status;
}
static void five_rows(void *arg, struct model_query *q)
{
    (void)arg;
    const struct model_column column = { "n", PG_TYPE_INT8 };
    model_columns(q, 1, &column);
    for (int64_t i = 0; i < 5; i++) model_row_int8(q, i);
    model_complete(q, "SELECT 5");
}
static struct pg_statement five = PG_STATEMENT("FIVE");

static void a_paused_reader_gets_all_that_had_come(void **state)
{
    (void)state;
    for (int how = MODEL_END_FATAL; how <= MODEL_END_EOF; how++) {
        if (how == MODEL_END_RESET) continue; /* what was unread is lost with it */
        struct world w;
        struct held h;
        struct slow_reader r = { 0 };
        struct sim_config sim = { .seed = 2, .latency_max_ns = 50000 };
        struct model_config server = { .answer = five_rows };
        world_open_with(&w, &sim, &server, "pool_max_conns=1");
        held_init(&h);
        pg_pool_acquire(w.pool, &h.lease);
        world_run(&w, 10 * WORLD_MS);
        r.query =
            (struct pg_query){ .statement = &five, .on_row = pause_each, .on_done = slow_reader_done, .data = &r };
        pg_lease_query(&h.lease, &r.query);
        world_run(&w, 10 * WORLD_MS);
        assert_int_equal(r.rows, 1);
        model_conn_end(model_conn_at(w.server, 0), (enum model_end)how, "57P01");
        world_run(&w, 10 * WORLD_MS);
        for (unsigned i = 1; i <= 5; i++) {
            assert_int_equal(r.rows, i);
            assert_int_equal(r.done, 0);
            pg_query_resume(&r.query);
            world_run(&w, 10 * WORLD_MS);
        }
        assert_int_equal(r.done, 1);
        assert_int_equal(r.status, PG_OK); /* its ReadyForQuery stood before the end */
        assert_int_equal(w.events[PG_EVENT_LOST], 1);
        if (how == MODEL_END_FATAL) assert_string_equal(w.event_error.sqlstate, "57P01");
        pg_lease_release(&h.lease);
        world_close(&w);
    }
}

/* ---- a deadline between two outcomes of one batch ---- */

enum { MEMBERS = 1024 }; /* their outcomes alone are a whole turn's budget */
static struct { void (*on_done)(struct pg_query *); uint64_t timeouts; } first;
static void first_done(struct pg_query *q)
{
    struct seen *s = q->data;
    first.timeouts = world_stats(s->world).timeout_count;
    first.on_done(q);
}
static void what_is_decided_does_not_time_out(void **state)
{
    (void)state;
    static struct seen s[MEMBERS];
    unsigned answered = 0, late = 0;
    for (uint64_t ms = 1; ms <= 10; ms++) {
        struct world w;
        struct sim_config sim = {
            .seed = 1, .latency_min_ns = 2000000, .latency_max_ns = 2000000, .turn_ns = WORLD_MS
        };
        struct model_config server = { .exit_delay_ns = 200000 };
        world_open_with(&w, &sim, &server, "pool_max_conns=1 pool_min_conns=1 pool_max_pipeline=1024");
        world_run(&w, WORLD_SECOND);
        for (unsigned i = 0; i < MEMBERS; i++) {
            seen_init(&s[i], &world_echo, i);
            if (i) s[i - 1].query.next = &s[i].query;
        }
        first.on_done = s[0].query.on_done;
        s[0].query.on_done = first_done;
        s[0].world = &w;
        struct seen *tail = &s[MEMBERS - 1];
        tail->query.deadline_ns = pg_reactor_now(w.reactor) + ms * WORLD_MS;
        pg_pool_query(w.pool, &s[0].query);
        world_run(&w, 10 * WORLD_SECOND);
        for (unsigned i = 0; i < MEMBERS; i++) assert_int_equal(s[i].done, 1);
        if (tail->status == PG_OK) answered++;
        else assert_int_equal(tail->status, PG_E_TIMEOUT), late++;
        /* Told before or after the first one: it had passed by then. */
        if (s[0].status == PG_OK && tail->status != PG_OK) assert_int_equal(first.timeouts, 1);
        world_close(&w);
    }
    assert_true(answered > 0 && late > 0); /* the deadlines lay on both sides, and so in between */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_that_times_out_ends_its_draining),
        cmocka_unit_test(idle_connections_are_no_queue),
        cmocka_unit_test(connects_that_fail_together_back_off_once),
        cmocka_unit_test(a_batch_without_its_first_ends_with_its_connection),
        cmocka_unit_test(a_repetition_that_times_out_was_maybe_executed),
        cmocka_unit_test(the_last_lease_of_a_closed_pool),
        cmocka_unit_test(the_last_callback_may_use_the_pool),
        cmocka_unit_test(an_abandoned_statement_is_drained_within_a_bound),
        cmocka_unit_test(a_close_is_shortened_and_not_lengthened),
        cmocka_unit_test(told_by_another_waiter),
        cmocka_unit_test(told_by_another_query_of_the_lease),
        cmocka_unit_test(a_paused_reader_gets_all_that_had_come),
        cmocka_unit_test(what_is_decided_does_not_time_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
