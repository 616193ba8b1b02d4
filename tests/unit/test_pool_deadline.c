/* unit/test_pool_deadline.c - deadlines, abandoned work and lost connections on the simulated host: what happens to the
 * request, and what happens to the connection and the neighbours on it. */
#define _GNU_SOURCE
#include <stdio.h>
#include "support/world.h"
#include <string.h>

/* ---- deadlines of statements ---- */

static void a_parked_statement_times_out(void **state)
{
    (void)state;
    struct world w;
    struct held holder;
    struct seen s, batch[3];
    world_open(&w, "pool_max_conns=1 pool_acquire_timeout=50ms");
    held_init(&holder);
    pg_pool_acquire(w.pool, &holder.lease);
    world_run(&w, 20 * WORLD_MS);
    seen_init(&s, &world_echo, 1);
    pg_pool_query(w.pool, &s.query);
    for (int i = 0; i < 3; i++) seen_init(&batch[i], &world_echo, i);
    batch[0].query.next = &batch[1].query;
    batch[1].query.next = &batch[2].query;
    batch[1].query.deadline_ns = pg_reactor_now(w.reactor) + 20 * WORLD_MS; /* one of them is enough to end all */
    pg_pool_query(w.pool, &batch[0].query);
    world_run(&w, 30 * WORLD_MS);
    assert_int_equal(s.done, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(batch[i].done, 1);
        assert_int_equal(batch[i].status, i == 1 ? PG_E_TIMEOUT : PG_E_BATCH); /* the culprit is named */
        assert_int_equal(batch[i].sent, PG_SENT_NO);
    }
    world_run(&w, 30 * WORLD_MS);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.status, PG_E_TIMEOUT);
    assert_int_equal(s.sent, PG_SENT_NO);
    pg_lease_release(&holder.lease);
    world_close(&w);
}

static void no_acquire_timeout_is_no_deadline(void **state)
{
    (void)state;
    struct world w;
    struct held holder, patient;
    world_open(&w, "pool_max_conns=1 pool_acquire_timeout=0");
    held_init(&holder);
    held_init(&patient);
    pg_pool_acquire(w.pool, &holder.lease);
    pg_pool_acquire(w.pool, &patient.lease);
    world_run(&w, 100000 * WORLD_SECOND);
    assert_int_equal(holder.status + (int)holder.grants, 1);
    assert_int_equal(patient.grants, 0);
    pg_lease_release(&holder.lease);
    world_run(&w, WORLD_MS);
    assert_int_equal(patient.status + (int)patient.grants, 1);
    pg_lease_release(&patient.lease);
    world_close(&w);
}

/* Sent: maybe executed; the connection takes no new work until the answer came, and is good afterwards. */
static void a_sent_statement_times_out_and_its_connection_recovers(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, behind, after;
    world_open(&w, "pool_max_conns=1");
    seen_sql(&slow, "SLEEP 200");
    slow.query.deadline_ns = pg_reactor_now(w.reactor) + 100 * WORLD_MS;
    seen_init(&behind, &world_echo, 5);
    pg_pool_query(w.pool, &slow.query);
    pg_pool_query(w.pool, &behind.query);
    world_run(&w, 150 * WORLD_MS);
    assert_int_equal(slow.done, 1);
    assert_int_equal(slow.status, PG_E_TIMEOUT);
    assert_int_equal(slow.sent, PG_SENT_MAYBE);
    assert_int_equal(behind.done, 0);
    seen_init(&after, &world_echo, 6);
    pg_pool_query(w.pool, &after.query);
    assert_int_equal(world_stats(&w).pending, 1); /* not behind the stalled one */
    world_run(&w, WORLD_SECOND);
    assert_int_equal(behind.status, 0);
    assert_int_equal(behind.value, 5);
    assert_int_equal(after.value, 6);
    assert_int_equal(slow.done, 1);
    assert_int_equal(model_stats(w.server)->connections_total, 1);
    world_close(&w);
}

/* The answer and the deadline are both due when the program looks again: completions are delivered before the turn, so
 * the answer counts, whichever of them was first (failures 42). One that comes with a later batch is too late. */
static void an_answer_in_one_batch_with_its_deadline_counts(void **state)
{
    (void)state;
    static const uint64_t answers_ms[] = { 10, 14, 30 }; /* before the deadline, behind it, in a later batch */
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        struct seen s;
        char sql[32];
        world_open(&w, "pool_max_conns=1 pool_min_conns=1");
        world_run(&w, WORLD_SECOND);
        snprintf(sql, sizeof sql, "SLEEP %u", (unsigned)answers_ms[i]);
        seen_sql(&s, sql);
        uint64_t start = pg_reactor_now(w.reactor);
        s.query.deadline_ns = start + 12 * WORLD_MS;
        pg_pool_query(w.pool, &s.query);
        world_run(&w, 5 * WORLD_MS);
        while (sim_step_until(w.sim, start + 20 * WORLD_MS)) {} /* the program is busy, and has no turn meanwhile */
        assert_int_equal(s.done, answers_ms[i] < 20);
        world_run(&w, WORLD_SECOND);
        assert_int_equal(s.done, 1);
        assert_int_equal(s.status, answers_ms[i] < 20 ? PG_OK : PG_E_TIMEOUT);
        assert_int_equal(world_stats(&w).timeout_count, answers_ms[i] > 20);
        assert_int_equal(model_stats(w.server)->connections_total, 1);
        world_close(&w);
    }
}

static void a_stall_is_bounded(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, behind, after;
    world_open(&w, "pool_max_conns=1 pool_close_linger=300ms");
    seen_sql(&slow, "SLEEP 5000");
    slow.query.deadline_ns = pg_reactor_now(w.reactor) + 100 * WORLD_MS;
    seen_init(&behind, &world_echo, 5);
    seen_init(&after, &world_echo, 6);
    pg_pool_query(w.pool, &slow.query);
    pg_pool_query(w.pool, &behind.query);
    world_run(&w, 150 * WORLD_MS);
    pg_pool_query(w.pool, &after.query);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(behind.status, PG_E_LOST);
    assert_int_equal(behind.sent, PG_SENT_MAYBE);
    world_run(&w, 20 * WORLD_SECOND);
    assert_int_equal(after.status, 0); /* on a fresh connection */
    assert_int_equal(after.value, 6);
    world_close(&w);
}

static void a_deadline_that_passes_before_the_send_leaves_no_trace(void **state)
{
    (void)state;
    struct world w;
    struct seen first, late;
    struct sim_config sim = { .seed = 4, .latency_min_ns = 1000, .latency_max_ns = 2000, .send_buffer_bytes = 64 };
    struct model_config server = { 0 };
    world_open_with(&w, &sim, &server, "pool_max_conns=1");
    seen_init(&first, &world_echo, 1);
    pg_pool_query(w.pool, &first.query);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(first.status, 0);
    sim_settings(w.sim)->submit_again = 1000; /* no room in the submission queue: nothing goes out */
    seen_init(&late, &world_insert, 9);
    late.query.deadline_ns = pg_reactor_now(w.reactor) + 5 * WORLD_MS;
    seen_init(&first, &world_insert, 10);
    pg_pool_query(w.pool, &first.query); /* takes the buffer */
    (void)!pg_reactor_turn(w.reactor);
    pg_pool_query(w.pool, &late.query);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(late.status, PG_E_TIMEOUT);
    assert_int_equal(late.sent, PG_SENT_NO);
    sim_settings(w.sim)->submit_again = 0;
    world_run(&w, WORLD_SECOND);
    size_t n;
    const int64_t *keys = model_committed(w.server, &n);
    assert_int_equal(n, 1);
    assert_int_equal(keys[0], 10);
    world_close(&w);
}

/* ---- abandoned ---- */

static void abandoned_queries_are_silent_everywhere(void **state)
{
    (void)state;
    struct world w;
    struct held holder;
    struct seen parked, sent, refused;
    world_open(&w, "pool_max_conns=1");
    seen_sql(&sent, "SLEEP 100");
    pg_pool_query(w.pool, &sent.query);
    world_run(&w, 50 * WORLD_MS);
    pg_query_abandon(&sent.query); /* the server has it */
    assert_int_equal(sent.done, 0);
    memset(&sent, 0xaa, sizeof sent);
    seen_sql(&refused, "BEGIN");
    pg_pool_query(w.pool, &refused.query);
    pg_query_abandon(&refused.query); /* ended, not told yet */
    held_init(&holder);
    pg_pool_acquire(w.pool, &holder.lease);
    seen_init(&parked, &world_insert, 1);
    pg_pool_query(w.pool, &parked.query);
    pg_query_abandon(&parked.query);
    pg_query_abandon(&parked.query); /* no-op */
    world_run(&w, WORLD_SECOND);
    assert_int_equal(parked.done + refused.done, 0);
    assert_int_equal(holder.status + (int)holder.grants, 1);
    assert_int_equal(model_stats(w.server)->inserts_committed, 0);
    assert_int_equal(model_stats(w.server)->connections_total, 1);
    pg_lease_release(&holder.lease);
    world_close(&w);
}

/* A client that hangs up in the middle of its transaction: rolled back, the connection goes to the next one clean. */
static void an_abandoned_transaction_is_rolled_back(void **state)
{
    (void)state;
    struct world w;
    struct held gone, next;
    struct seen insert, slow;
    struct pg_query begin = { .statement = &pg_begin };
    world_open(&w, "pool_max_conns=1");
    model_settings(w.server)->cancel_lost = 1000;
    held_init(&gone);
    held_init(&next);
    pg_pool_acquire(w.pool, &gone.lease);
    pg_pool_acquire(w.pool, &next.lease);
    world_run(&w, 50 * WORLD_MS);
    seen_init(&insert, &world_insert, 3);
    begin.next = &insert.query;
    pg_lease_query(&gone.lease, &begin);
    seen_sql(&slow, "SLEEP 100");
    pg_lease_query(&gone.lease, &slow.query);
    world_run(&w, 50 * WORLD_MS);
    assert_int_equal(insert.status + (int)insert.done, 1);
    pg_lease_abandon(&gone.lease);
    memset(&slow, 0xaa, sizeof slow);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(next.grants, 0); /* not before the server has answered */
    world_run(&w, WORLD_SECOND);
    assert_int_equal(next.status + (int)next.grants, 1);
    assert_int_equal(pg_lease_transaction(&next.lease), 'I');
    assert_int_equal(model_stats(w.server)->inserts_rolled_back, 1);
    assert_int_equal(model_stats(w.server)->inserts_committed, 0);
    pg_lease_release(&next.lease);
    world_close(&w);
}

/* ---- lost ---- */

static struct pg_statement repeatable = { "ECHO $1", { PG_TYPE_INT8, 0 }, "repeatable", PG_STATEMENT_REPEATABLE, 0 };

static void slow_answer(void *arg, struct model_query *q)
{
    model_default_answer(q);
    if (!model_describing(q)) model_delay(q, *(uint64_t *)arg);
}

static void only_what_is_repeatable_is_repeated(void **state)
{
    (void)state;
    struct world w;
    struct seen again, insert;
    uint64_t delay_ns = 50 * WORLD_MS;
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
    struct model_config server = { .answer = slow_answer, .arg = &delay_ns };
    world_open_with(&w, &sim, &server, "pool_max_conns=1");
    seen_init(&again, &repeatable, 8);
    seen_init(&insert, &world_insert, 9);
    pg_pool_query(w.pool, &again.query);
    pg_pool_query(w.pool, &insert.query);
    world_run(&w, 20 * WORLD_MS); /* both are sent */
    model_server_restart(w.server, MODEL_END_RESET, 200 * WORLD_MS);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(insert.status, PG_E_LOST);
    assert_int_equal(insert.sent, PG_SENT_MAYBE);
    assert_int_equal(again.done, 0);
    world_run(&w, 5 * WORLD_SECOND);
    assert_int_equal(again.status + (int)again.done, 1);
    assert_int_equal(again.value, 8);
    assert_int_equal(insert.done, 1);
    world_close(&w);
}

/* Restarts refuse for a while: the waiters keep their deadlines, and service returns by itself (failures 50, 54). */
static void waiters_outlive_a_restart(void **state)
{
    (void)state;
    enum { N = 40 };
    static const char *const refusals[] = { "57P03", "53300" };
    for (int r = 0; r < 2; r++) {
        struct world w;
        struct held h[N], hopeless;
        world_open(&w, "pool_max_conns=4 pool_acquire_timeout=1h");
        model_server_refuse(w.server, refusals[r]);
        for (int i = 0; i < N; i++) held_init(&h[i]), pg_pool_acquire(w.pool, &h[i].lease);
        held_init(&hopeless);
        hopeless.lease.deadline_ns = pg_reactor_now(w.reactor) + WORLD_SECOND;
        pg_pool_acquire(w.pool, &hopeless.lease);
        world_run(&w, 8 * WORLD_SECOND);
        for (int i = 0; i < N; i++) assert_int_equal(h[i].grants, 0);
        assert_int_equal(hopeless.status, PG_E_UNAVAILABLE);
        assert_string_equal(hopeless.error.sqlstate, refusals[r]); /* the last cause, not just "timeout" */
        assert_true(world_stats(&w).connect_failed_count < 12);    /* backoff, no stampede */
        model_server_refuse(w.server, NULL);
        for (int i = 0; i < N; i++) {
            world_run(&w, 5 * WORLD_SECOND);
            assert_int_equal(h[i].status + (int)h[i].grants, 1);
            pg_lease_release(&h[i].lease);
        }
        world_close(&w);
    }
}

static void a_wrong_password_is_told_at_once(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct seen s;
    struct sim_config sim = { .seed = 1, .latency_max_ns = 100000 };
    struct model_config server = { .auth = MODEL_SCRAM, .user = "app", .password = "right" };
    world_open_with(&w, &sim, &server, "password=wr0ng pool_acquire_timeout=1h");
    held_init(&h);
    seen_init(&s, &world_echo, 1);
    pg_pool_acquire(w.pool, &h.lease);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(h.status, PG_E_UNAVAILABLE);
    assert_int_equal(s.status, PG_E_UNAVAILABLE);
    assert_string_equal(h.error.sqlstate, "28P01");
    assert_string_equal(s.error.sqlstate, "28P01");
    assert_null(memmem(&h.error, sizeof h.error, "wr0ng", 5));
    world_close(&w);
}

/* What a statement did wrong is not its connection's fault (failures 54): the caller is told, and the same connection
 * serves on, in both lanes. */
static void a_conflict_leaves_the_connection_good(void **state)
{
    (void)state;
    static const char *const conflicts[] = { "FAIL 40001", "FAIL 40P01" };
    for (size_t i = 0; i < sizeof conflicts / sizeof *conflicts; i++) {
        struct world w;
        struct seen failed, after;
        struct held h;
        world_open(&w, "pool_max_conns=1");
        seen_sql(&failed, conflicts[i]);
        pg_pool_query(w.pool, &failed.query);
        world_run(&w, 10 * WORLD_MS);
        assert_int_equal(failed.status, PG_E_SERVER);
        assert_string_equal(failed.query.sqlstate, conflicts[i] + 5);
        held_init(&h);
        pg_pool_acquire(w.pool, &h.lease);
        world_run(&w, 10 * WORLD_MS);
        seen_sql(&failed, conflicts[i]);
        pg_lease_query(&h.lease, &failed.query);
        world_run(&w, 10 * WORLD_MS);
        assert_int_equal(failed.status, PG_E_SERVER);
        assert_int_equal(pg_lease_transaction(&h.lease), 'I'); /* 0 were lost */
        pg_lease_release(&h.lease);
        seen_init(&after, &world_echo, 3);
        pg_pool_query(w.pool, &after.query);
        world_run(&w, 10 * WORLD_MS);
        assert_int_equal(after.status, PG_OK);
        assert_int_equal(model_stats(w.server)->connections_total, 1);
        assert_int_equal(w.events[PG_EVENT_LOST], 0);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_parked_statement_times_out),
        cmocka_unit_test(no_acquire_timeout_is_no_deadline),
        cmocka_unit_test(a_sent_statement_times_out_and_its_connection_recovers),
        cmocka_unit_test(an_answer_in_one_batch_with_its_deadline_counts),
        cmocka_unit_test(a_stall_is_bounded),
        cmocka_unit_test(a_deadline_that_passes_before_the_send_leaves_no_trace),
        cmocka_unit_test(abandoned_queries_are_silent_everywhere),
        cmocka_unit_test(an_abandoned_transaction_is_rolled_back),
        cmocka_unit_test(only_what_is_repeatable_is_repeated),
        cmocka_unit_test(waiters_outlive_a_restart),
        cmocka_unit_test(a_wrong_password_is_told_at_once),
        cmocka_unit_test(a_conflict_leaves_the_connection_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
