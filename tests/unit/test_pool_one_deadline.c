/* unit/test_pool_one_deadline.c - one deadline per call, wherever the call hangs: behind a holder, while connecting,
 * before an answer, behind a cancel request, after a repetition. Each row of the table lets one stage hang for longer
 * than the deadline; the outcome must come at the deadline and at most one tick and one turn later, once. */
#define _GNU_SOURCE
#include "support/world.h"
#include <string.h>

enum { DEADLINE_MS = 100, LATE_MS = 2, NO_END_MS = 1000 };

static struct pg_statement again = { "ECHO $1", { PG_TYPE_INT8, 0 }, "again", PG_STATEMENT_REPEATABLE, 0 };

/* Statements beside the defaults: STUCK is not answered, FORGET makes the server forget what was prepared. */
static void answer(void *arg, struct model_query *q)
{
    const bool *stuck = arg;
    model_default_answer(q);
    if (model_describing(q)) return;
    if (!strcmp(model_sql(q), "FORGET")) model_forget(q);
    else if (*stuck) model_delay(q, (uint64_t)NO_END_MS * WORLD_MS);
}

struct scene {
    struct world w;
    bool stuck;
    struct held holder;
    struct seen query;
    struct held lease;
    uint64_t began_ns;
};

/* ---- how a stage hangs ---- */

static void behind_a_holder(struct scene *s)
{
    held_init(&s->holder);
    pg_pool_acquire(s->w.pool, &s->holder.lease);
    world_run(&s->w, 20 * WORLD_MS);
    assert_int_equal(s->holder.grants, 1);
}
static void connect_hangs(struct scene *s) { model_server_connects(s->w.server, SIM_HANG); }
static void auth_is_silent(struct scene *s) { model_settings(s->w.server)->fault = MODEL_NO_AUTH_ANSWER; }
static void auth_is_slow(struct scene *s) { model_settings(s->w.server)->startup_delay_ns = NO_END_MS * WORLD_MS; }
static void connects_are_refused(struct scene *s) { model_server_connects(s->w.server, SIM_REFUSE); }

/* A connection stands, and `statement` was never prepared on it: Parse travels together with all behind it. */
static void parse_is_not_answered(struct scene *s)
{
    struct seen first;
    seen_sql(&first, "NOTHING");
    pg_pool_query(s->w.pool, &first.query);
    world_run(&s->w, 20 * WORLD_MS);
    assert_int_equal(first.status + (int)first.done, 1);
    sim_settings(s->w.sim)->latency_min_ns = sim_settings(s->w.sim)->latency_max_ns = NO_END_MS * WORLD_MS;
}
static void prepare(struct scene *s)
{
    struct seen first;
    seen_init(&first, &again, 3);
    pg_pool_query(s->w.pool, &first.query);
    world_run(&s->w, 20 * WORLD_MS);
    assert_int_equal(first.status + (int)first.done, 1);
}
static void execute_is_not_answered(struct scene *s)
{
    prepare(s);
    s->stuck = true;
}
static void a_heal_is_not_answered(struct scene *s)
{
    struct seen forget;
    prepare(s);
    seen_sql(&forget, "FORGET");
    pg_pool_query(s->w.pool, &forget.query);
    world_run(&s->w, 20 * WORLD_MS);
    s->stuck = true;
}

/* ---- what happens between start and deadline ---- */

static void nothing(struct scene *s) { world_run(&s->w, 60 * WORLD_MS); }

static void cancel(struct scene *s)
{
    world_run(&s->w, 30 * WORLD_MS);
    pg_query_cancel(&s->query.query);
    world_run(&s->w, 30 * WORLD_MS);
}
static void cancel_is_lost(struct scene *s)
{
    model_settings(s->w.server)->cancel_lost = 1000;
    cancel(s);
}
static void cancel_is_mute(struct scene *s)
{
    model_settings(s->w.server)->cancel_lost = model_settings(s->w.server)->cancel_mute = 1000;
    cancel(s);
}
static void cancel_cannot_connect(struct scene *s)
{
    model_server_connects(s->w.server, SIM_HANG);
    cancel(s);
}
/* 40 ms in the queue, then at work; its connection goes, and it waits once more for one that does not come. */
static void repeated(struct scene *s)
{
    world_run(&s->w, 40 * WORLD_MS);
    s->stuck = true;
    pg_lease_release(&s->holder.lease);
    held_init(&s->holder);
    world_run(&s->w, 10 * WORLD_MS);
    assert_int_equal(world_stats(&s->w).pending, 0);
    model_server_restart(s->w.server, MODEL_END_RESET, 3 * WORLD_SECOND);
    world_run(&s->w, 10 * WORLD_MS);
    assert_int_equal(world_stats(&s->w).pending, 1);
}

/* ---- the table ---- */

struct stage {
    const char *name;
    void (*hang)(struct scene *);
    void (*meanwhile)(struct scene *);
    int status;
    enum pg_sent sent;
    bool queued; /* it hangs before it has a connection: pool_acquire_timeout ends it, too, and an acquire */
};
static const struct stage stages[] = {
    { "parked behind a holder", behind_a_holder, nothing, PG_E_TIMEOUT, PG_SENT_NO, true },
    { "connect hangs", connect_hangs, nothing, PG_E_UNAVAILABLE, PG_SENT_NO, true },
    { "connects are refused", connects_are_refused, nothing, PG_E_UNAVAILABLE, PG_SENT_NO, true },
    { "no answer to the startup message", auth_is_silent, nothing, PG_E_UNAVAILABLE, PG_SENT_NO, true },
    { "a slow startup", auth_is_slow, nothing, PG_E_UNAVAILABLE, PG_SENT_NO, true },
    { "Parse", parse_is_not_answered, nothing, PG_E_TIMEOUT, PG_SENT_MAYBE, false },
    { "Execute", execute_is_not_answered, nothing, PG_E_TIMEOUT, PG_SENT_MAYBE, false },
    { "Parse after 26000", a_heal_is_not_answered, nothing, PG_E_TIMEOUT, PG_SENT_MAYBE, false },
    { "a cancel request without effect", execute_is_not_answered, cancel_is_lost, PG_E_TIMEOUT, PG_SENT_MAYBE, false },
    { "a cancel request without an end", execute_is_not_answered, cancel_is_mute, PG_E_TIMEOUT, PG_SENT_MAYBE, false },
    { "a cancel request that hangs", execute_is_not_answered, cancel_cannot_connect, PG_E_TIMEOUT, PG_SENT_MAYBE,
      false },
    { "waiting for a repetition", behind_a_holder, repeated, PG_E_UNAVAILABLE, PG_SENT_MAYBE, true },
};

static void open_scene(struct scene *s, const char *options)
{
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    struct model_config server = { .exit_delay_ns = 200000, .answer = answer, .arg = &s->stuck };
    memset(s, 0, sizeof *s);
    world_open_with(&s->w, &sim, &server, options);
}

static void close_scene(struct scene *s)
{
    sim_settings(s->w.sim)->latency_min_ns = sim_settings(s->w.sim)->latency_max_ns = 50000;
    model_server_connects(s->w.server, SIM_ACCEPT);
    world_run(&s->w, 30 * WORLD_SECOND);
    pg_lease_abandon(&s->holder.lease);
    world_close(&s->w);
}

/* Nothing before the deadline, and it is there a tick and a turn after it. */
static void run_to_the_deadline(struct scene *s, const unsigned *outcomes, const char *name)
{
    uint64_t end_ns = s->began_ns + (uint64_t)DEADLINE_MS * WORLD_MS, now = pg_reactor_now(s->w.reactor);
    assert_true(now < end_ns);
    world_run(&s->w, end_ns - now - 1);
    if (*outcomes) fail_msg("%s: an outcome before the deadline", name);
    world_run(&s->w, (uint64_t)LATE_MS * WORLD_MS);
    if (*outcomes != 1) fail_msg("%s: %u outcomes at the deadline", name, *outcomes);
}

static void queries(const struct stage *stage, const char *options, bool own)
{
    struct scene s;
    open_scene(&s, options);
    stage->hang(&s);
    seen_init(&s.query, &again, 7);
    s.began_ns = pg_reactor_now(s.w.reactor);
    if (own) s.query.query.deadline_ns = s.began_ns + (uint64_t)DEADLINE_MS * WORLD_MS;
    pg_pool_query(s.w.pool, &s.query.query);
    stage->meanwhile(&s);
    run_to_the_deadline(&s, &s.query.done, stage->name);
    if (s.query.status != stage->status || s.query.sent != stage->sent)
        fail_msg("%s: %s, sent %d", stage->name, pg_error_name(s.query.status), s.query.sent);
    close_scene(&s);
    assert_int_equal(s.query.done, 1);
}

static void a_statement_ends_at_its_deadline_wherever_it_hangs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        queries(&stages[i], "pool_max_conns=1 pool_acquire_timeout=1h connect_timeout=10", true);
}

/* Its wait is bounded from its start on, whatever comes between two waits. */
static void without_a_deadline_the_wait_is_bounded_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (stages[i].queued)
            queries(&stages[i], "pool_max_conns=1 pool_acquire_timeout=100ms connect_timeout=10", false);
}

/* What ran for longer than anybody waits is not parked once more: it says what became of its connection. */
static void what_ran_for_longer_than_the_wait_is_not_repeated(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, "pool_max_conns=1 pool_acquire_timeout=100ms");
    execute_is_not_answered(&s);
    seen_init(&s.query, &again, 7);
    pg_pool_query(s.w.pool, &s.query.query);
    world_run(&s.w, 2 * DEADLINE_MS * WORLD_MS);
    assert_int_equal(s.query.done, 0); /* at work: no deadline */
    model_server_restart(s.w.server, MODEL_END_RESET, 0);
    world_run(&s.w, 5 * WORLD_MS);
    assert_int_equal(s.query.status, PG_E_LOST);
    assert_int_equal(s.query.sent, PG_SENT_MAYBE);
    close_scene(&s);
    assert_int_equal(s.query.done, 1);
}

static void acquires(const struct stage *stage, const char *options, bool own)
{
    struct scene s;
    open_scene(&s, options);
    stage->hang(&s);
    held_init(&s.lease);
    s.began_ns = pg_reactor_now(s.w.reactor);
    if (own) s.lease.lease.deadline_ns = s.began_ns + (uint64_t)DEADLINE_MS * WORLD_MS;
    pg_pool_acquire(s.w.pool, &s.lease.lease);
    stage->meanwhile(&s);
    run_to_the_deadline(&s, &s.lease.grants, stage->name);
    if (s.lease.status != stage->status) fail_msg("%s: %s", stage->name, pg_error_name(s.lease.status));
    close_scene(&s);
    assert_int_equal(s.lease.grants, 1);
}

static void an_acquire_ends_at_its_deadline_wherever_it_hangs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        if (!stages[i].queued || stages[i].meanwhile != nothing) continue;
        acquires(&stages[i], "pool_max_conns=1 pool_acquire_timeout=1h connect_timeout=10", true);
        acquires(&stages[i], "pool_max_conns=1 pool_acquire_timeout=100ms connect_timeout=10", false);
    }
}

/* On a lease there is no queue any more, and all the rest. */
static void a_leased_query_ends_at_its_deadline_wherever_it_hangs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        const struct stage *stage = &stages[i];
        struct scene s;
        if (stage->queued) continue;
        open_scene(&s, "pool_max_conns=1 pool_acquire_timeout=1h connect_timeout=10");
        stage->hang(&s);
        held_init(&s.lease);
        pg_pool_acquire(s.w.pool, &s.lease.lease);
        world_run(&s.w, WORLD_MS);
        assert_int_equal(s.lease.grants, 1);
        seen_init(&s.query, &again, 7);
        s.began_ns = pg_reactor_now(s.w.reactor);
        s.query.query.deadline_ns = s.began_ns + (uint64_t)DEADLINE_MS * WORLD_MS;
        pg_lease_query(&s.lease.lease, &s.query.query);
        stage->meanwhile(&s);
        run_to_the_deadline(&s, &s.query.done, stage->name);
        if (s.query.status != stage->status || s.query.sent != stage->sent)
            fail_msg("%s: %s, sent %d", stage->name, pg_error_name(s.query.status), s.query.sent);
        pg_lease_release(&s.lease.lease);
        close_scene(&s);
        assert_int_equal(s.query.done, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_statement_ends_at_its_deadline_wherever_it_hangs),
        cmocka_unit_test(without_a_deadline_the_wait_is_bounded_once),
        cmocka_unit_test(what_ran_for_longer_than_the_wait_is_not_repeated),
        cmocka_unit_test(an_acquire_ends_at_its_deadline_wherever_it_hangs),
        cmocka_unit_test(a_leased_query_ends_at_its_deadline_wherever_it_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
