/* unit/test_pool_copy_ends.c - every way in which a COPY can end early, in every phase that it can be in: one outcome
 * or none, nothing lent for good, nothing half committed, and a pool that serves afterwards. On the simulated host. */
#include "copies.h"
#include "conn/copy.h"

enum phase {
    WAITS,        /* behind another query, nothing of it is written */
    SENT,         /* the server has not said anything               */
    TAKES,        /* the server takes data, and none comes          */
    FLOWS,        /* both buffers are full                          */
    ENDS,         /* CopyDone was said, and the server is slow      */
    OUT_WAITS,
    OUT_SENT,
    OUT_FLOWS,    /* some lines came, and the server is slow        */
    OUT_PAUSED,
    PHASES
};
static const struct {
    const char *name, *sql;
    uint64_t lines;
    bool behind, keeps_open, in;
    uint64_t pause_every;
    unsigned ms;
} phases[PHASES] = {
    [WAITS] = { "in, not sent", "IN", 100, .behind = true, .in = true, .ms = 10 },
    [SENT] = { "in, sent", "IN delay", 100, .in = true, .ms = 10 },
    [TAKES] = { "in, idle", "IN", 0, .keeps_open = true, .in = true, .ms = 10 },
    [FLOWS] = { "in, full", "IN slow", 30000, .in = true, .ms = 10 },
    [ENDS] = { "in, ending", "IN drowsy", 2000, .in = true, .ms = 20 },
    [OUT_WAITS] = { "out, not sent", "OUT 100", 0, .behind = true, .ms = 10 },
    [OUT_SENT] = { "out, sent", "OUT 100 delay", 0, .ms = 10 },
    [OUT_FLOWS] = { "out, half-way", "OUT 3000 slow", 0, .ms = 100 },
    [OUT_PAUSED] = { "out, paused", "OUT 20000 slow", 0, .pause_every = 500, .ms = 100 },
};

enum way { CANCEL, ABANDON, ABANDON_LEASE, DEADLINE, RESET, FATAL, CLOSE, GIVE_UP, WAYS };
static const char *const way_name[WAYS] = {
    "cancelled", "abandoned", "with its lease", "deadline", "reset", "57P01", "pool closed", "failed by its caller",
};

static void end_it(struct copies *c, struct job *j, enum way way)
{
    switch (way) {
    case CANCEL: pg_query_cancel(&j->copy.query); break;
    case ABANDON:
        pg_query_abandon(&j->copy.query);
        memset(&j->copy, 0xaa, sizeof j->copy); /* the caller's again */
        break;
    case ABANDON_LEASE:
        pg_lease_abandon(&c->h.lease);
        memset(&j->copy, 0xaa, sizeof j->copy);
        break;
    case RESET: model_conn_end(model_conn_at(c->w.server, 0), MODEL_END_RESET, NULL); break;
    case FATAL: model_conn_end(model_conn_at(c->w.server, 0), MODEL_END_FATAL, "57P01"); break;
    case CLOSE: pg_pool_close(c->w.pool, 0, NULL, NULL); break;
    case GIVE_UP: pg_copy_finish(&j->copy, "no more"); break;
    case DEADLINE: /* passes by itself */
    case WAYS: break;
    }
}

static void check_status(const struct job *j, enum phase phase, enum way way)
{
    static const int due[WAYS] = {
        [CANCEL] = PG_E_CANCELLED, [DEADLINE] = PG_E_TIMEOUT, [RESET] = PG_E_LOST, [FATAL] = PG_E_LOST,
        [CLOSE] = PG_E_CLOSED, [GIVE_UP] = PG_E_CANCELLED,
    };
    bool may_win = phase == ENDS || (way == GIVE_UP && !phases[phase].in); /* else nobody has let it end well */
    assert_int_equal(j->done, 1);
    if (may_win && j->status == PG_OK) return;
    assert_string_equal(pg_error_name(j->status), pg_error_name(due[way]));
    assert_int_equal(j->copy.query.sent == PG_SENT_NO, phases[phase].behind && way != GIVE_UP);
}

/* A new lease, and what it asks. */
static void check_serves(struct copies *c)
{
    struct held h;
    struct seen s;
    held_init(&h);
    seen_init(&s, &world_echo, 5);
    pg_pool_acquire(c->w.pool, &h.lease);
    world_run(&c->w, 5 * WORLD_SECOND);
    assert_int_equal(h.status, 0);
    pg_lease_query(&h.lease, &s.query);
    world_run(&c->w, WORLD_SECOND);
    assert_int_equal(s.status, 0);
    assert_int_equal(s.value, 5);
    assert_int_equal(pg_lease_transaction(&h.lease), 'I');
    pg_lease_release(&h.lease);
}

static void run(enum phase phase, enum way way, uint64_t seed)
{
    struct copies c;
    struct job j;
    struct seen before;
    struct sim_config sim = { .seed = seed, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000,
                              .send_buffer_bytes = 16384, .short_send = 100 };
    copies_open_with(&c, &sim, (struct model_config){ .exit_delay_ns = 200000, .unread_limit = 1 << 20 },
                     "pool_max_conns=1 pool_close_linger=2s");
    seen_sql(&before, "SLEEP 50");
    if (phases[phase].behind) pg_lease_query(&c.h.lease, &before.query);
    job_init(&j, &c, phases[phase].sql, phases[phase].lines);
    j.keeps_open = phases[phase].keeps_open;
    j.pause_every = phases[phase].pause_every;
    uint64_t ns = phases[phase].ms * (uint64_t)WORLD_MS;
    if (way == DEADLINE) j.copy.query.deadline_ns = pg_reactor_now(c.w.reactor) + ns;
    pg_lease_copy(&c.h.lease, &j.copy);
    world_run(&c.w, ns);
    end_it(&c, &j, way);
    world_run(&c.w, WORLD_MS);
    if (phases[phase].pause_every && way != ABANDON && way != ABANDON_LEASE) { /* it has its outcome behind its lines */
        j.pause_every = 0;
        pg_query_resume(&j.copy.query);
    }
    world_run(&c.w, 8 * WORLD_SECOND);
    if (way == ABANDON || way == ABANDON_LEASE) assert_int_equal(j.done, 0);
    else check_status(&j, phase, way);
    assert_false(j.wrong || c.received.wrong);
    bool whole = phase == ENDS || (phase == WAITS && way == GIVE_UP);
    if (phases[phase].in && !whole) assert_int_equal(c.received.times, 0);
    if (c.received.times) assert_int_equal(c.received.lines, phases[phase].lines);
    if (way != ABANDON_LEASE) pg_lease_abandon(&c.h.lease);
    world_run(&c.w, 5 * WORLD_SECOND);
    if (way == CLOSE) c.w.pool = NULL;
    else check_serves(&c);
    expect_nothing_lent(c.w.reactor);
    world_close(&c.w);
}

static void every_phase_ends_in_every_way(void **state)
{
    (void)state;
    for (int phase = 0; phase < PHASES; phase++)
        for (int way = 0; way < WAYS; way++)
            for (uint64_t seed = 1; seed <= 4; seed++) {
                print_message("    %s: %s, %llu\n", phases[phase].name, way_name[way], (unsigned long long)seed);
                run((enum phase)phase, (enum way)way, seed);
            }
}

/* A COPY in that is given up is ended in its own stream: no server has to notice a cancel request for it. */
static void a_copy_in_is_failed_in_its_stream(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    copies_open(&c);
    model_settings(c.w.server)->cancel_lost = 1000;
    job_init(&j, &c, "IN", 10);
    j.keeps_open = true;
    pg_lease_copy(&c.h.lease, &j.copy);
    world_run(&c.w, 10 * WORLD_MS);
    assert_int_equal(j.lines, 10);
    pg_query_abandon(&j.copy.query);
    world_run(&c.w, 100 * WORLD_MS);
    expect_nothing_lent(c.w.reactor);
    expect_serves(&c);
    assert_int_equal(c.received.times, 0);
    copies_close(&c);
}

/* While a cancel request is under way nothing is begun, but what was begun is ended. */
static void a_cancel_request_that_hangs_delays_nothing(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    copies_open(&c);
    model_settings(c.w.server)->cancel_mute = model_settings(c.w.server)->cancel_lost = 1000;
    job_init(&j, &c, "IN", 10);
    j.keeps_open = true;
    pg_lease_copy(&c.h.lease, &j.copy);
    world_run(&c.w, 10 * WORLD_MS);
    pg_query_cancel(&j.copy.query);
    world_run(&c.w, 10 * WORLD_MS);
    expect_ended(&j, PG_E_CANCELLED, "57014");
    copies_close(&c);
}

/* The server takes nothing and says nothing: the connection is given up, as for any query. */
static void a_server_that_hangs_loses_the_connection(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    struct sim_config sim = { .seed = 3, .latency_max_ns = 100000, .send_buffer_bytes = 16384 };
    copies_open_with(&c, &sim, (struct model_config){ .unread_limit = 1 << 20, .cancel_lost = 1000 },
                     "pool_max_conns=1 pool_close_linger=500ms");
    job_start(&j, &c, "IN slow", 30000);
    world_run(&c.w, 3 * WORLD_MS);
    sim_settings(c.w.sim)->latency_min_ns = sim_settings(c.w.sim)->latency_max_ns = 3600 * WORLD_SECOND;
    pg_lease_abandon(&c.h.lease);
    memset(&j, 0xaa, sizeof j);
    world_run(&c.w, 2 * WORLD_SECOND);
    assert_int_equal(world_stats(&c.w).total_conns, 0);
    expect_nothing_lent(c.w.reactor);
    assert_int_equal(c.received.times, 0);
    sim_settings(c.w.sim)->latency_max_ns = sim_settings(c.w.sim)->latency_min_ns = 0;
    world_run(&c.w, 3700 * WORLD_SECOND); /* until all that was on its way has arrived */
    world_close(&c.w);
}

/* ---- memory ---- */

static void without_a_buffer_it_fails(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    copies_open(&c);
    c.w.reactor->config.slab_bytes = RP_SLAB_MIN;
    job_start(&j, &c, "IN", 1000);
    world_run(&c.w, WORLD_SECOND);
    assert_int_equal(j.done, 1);
    assert_int_equal(j.status, PG_E_FULL);
    assert_non_null(strstr(pg_error_field(&j.error, 'M'), "slab_bytes"));
    assert_int_equal(j.writable, 0);
    job_start(&j, &c, "OUT 3000", 0); /* which can do without */
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_OK, "");
    assert_int_equal(j.lines, 3000);
    c.w.reactor->config.slab_bytes = RP_COPY_BUFFER;
    job_start(&j, &c, "IN", 5000); /* one buffer, and the small one in the place of the other */
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_OK, "");
    assert_int_equal(c.received.lines, 5000);
    assert_false(c.received.wrong);
    expect_serves(&c);
    copies_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_phase_ends_in_every_way),
        cmocka_unit_test(a_copy_in_is_failed_in_its_stream),
        cmocka_unit_test(a_cancel_request_that_hangs_delays_nothing),
        cmocka_unit_test(a_server_that_hangs_loses_the_connection),
        cmocka_unit_test(without_a_buffer_it_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
