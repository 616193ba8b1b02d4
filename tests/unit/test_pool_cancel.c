/* unit/test_pool_cancel.c - cancel requests on the simulated host: whom they stop, whom they must never hit, what
 * becomes of the connection when the request is lost, late or never answered. */
#include <string.h>
#include "support/world.h"

static const struct model_stats *server(struct world *w) { return model_stats(w->server); }

static void ask(struct world *w, struct seen *s, const char *sql, uint64_t timeout_ns)
{
    seen_sql(s, sql);
    if (timeout_ns) s->query.deadline_ns = pg_reactor_now(w->reactor) + timeout_ns;
    pg_pool_query(w->pool, &s->query);
}

static void hold(struct world *w, struct held *h)
{
    held_init(h);
    pg_pool_acquire(w->pool, &h->lease);
    world_run(w, 20 * WORLD_MS);
    assert_int_equal(h->grants, 1);
    assert_int_equal(h->status, 0);
}

static void lease_ask(struct held *h, struct seen *s, const char *sql)
{
    seen_sql(s, sql);
    pg_lease_query(&h->lease, &s->query);
}

static void assert_outcome(const struct seen *s, int status, const char *sqlstate, enum pg_sent sent)
{
    assert_int_equal(s->done, 1);
    assert_int_equal(s->status, status);
    assert_string_equal(s->query.sqlstate, sqlstate);
    assert_int_equal(s->sent, sent);
    if (status) assert_int_equal(s->error.code, status);
}

/* ---- timeouts and callers that go away ---- */

static void a_timeout_stops_the_statement_at_the_server(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, after;
    world_open(&w, "pool_max_conns=1");
    ask(&w, &slow, "SLEEP 60000", 50 * WORLD_MS);
    world_run(&w, 60 * WORLD_MS);
    assert_outcome(&slow, PG_E_TIMEOUT, "", PG_SENT_MAYBE);
    ask(&w, &after, "SLEEP 1", 0);
    world_run(&w, 20 * WORLD_MS);
    assert_outcome(&after, 0, "", PG_SENT_YES);
    assert_int_equal(server(&w)->cancels_that_hit, 1);
    assert_int_equal(server(&w)->connections_total, 1);
    assert_int_equal(world_stats(&w).lost_conns_count, 0);
    world_close(&w);
}

static void abandoned_statements_are_stopped_one_after_the_other(void **state)
{
    (void)state;
    struct world w;
    struct seen s[3], after;
    world_open(&w, "pool_max_conns=1 pool_max_pipeline=8");
    for (int i = 0; i < 3; i++) ask(&w, &s[i], "SLEEP 60000", 0);
    world_run(&w, 50 * WORLD_MS);
    pg_query_abandon(&s[0].query);
    pg_query_abandon(&s[2].query);
    world_run(&w, 50 * WORLD_MS);
    assert_int_equal(server(&w)->cancels, 0); /* the second is still wanted */
    pg_query_abandon(&s[1].query);
    memset(s, 0xaa, sizeof s);
    world_run(&w, 50 * WORLD_MS);
    assert_int_equal(server(&w)->cancels_that_hit, 3);
    ask(&w, &after, "SLEEP 1", 0);
    world_run(&w, 20 * WORLD_MS);
    assert_outcome(&after, 0, "", PG_SENT_YES);
    assert_int_equal(server(&w)->connections_total, 1);
    world_close(&w);
}

static void an_abandoned_lease_is_stopped_and_rolled_back(void **state)
{
    (void)state;
    struct world w;
    struct held gone, next;
    struct seen begin, insert, slow;
    world_open(&w, "pool_max_conns=1");
    hold(&w, &gone);
    lease_ask(&gone, &begin, "BEGIN");
    seen_init(&insert, &world_insert, 3);
    pg_lease_query(&gone.lease, &insert.query);
    lease_ask(&gone, &slow, "SLEEP 60000");
    world_run(&w, 50 * WORLD_MS);
    pg_lease_abandon(&gone.lease);
    memset(&slow, 0xaa, sizeof slow);
    hold(&w, &next);
    assert_int_equal(pg_lease_transaction(&next.lease), 'I');
    assert_int_equal(server(&w)->inserts_rolled_back, 1);
    assert_int_equal(server(&w)->cancels_that_hit, 1);
    assert_int_equal(server(&w)->connections_total, 1);
    pg_lease_release(&next.lease);
    world_close(&w);
}

/* A query of a lease times out: its holder goes on, and what it asks next is not what the request hits. */
static void a_lease_goes_on_after_its_timeout(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct seen slow, next;
    world_open(&w, "pool_max_conns=1");
    model_settings(w.server)->cancel_delay_ns = 100 * WORLD_MS;
    hold(&w, &h);
    seen_sql(&slow, "SLEEP 60");
    slow.query.deadline_ns = pg_reactor_now(w.reactor) + 50 * WORLD_MS;
    pg_lease_query(&h.lease, &slow.query);
    world_run(&w, 55 * WORLD_MS);
    assert_outcome(&slow, PG_E_TIMEOUT, "", PG_SENT_MAYBE);
    lease_ask(&h, &next, "SLEEP 300");
    world_run(&w, 80 * WORLD_MS);
    assert_int_equal(server(&w)->statements, 1); /* it waits until the request is over */
    world_run(&w, WORLD_SECOND);
    assert_int_equal(server(&w)->cancels, 1);
    assert_int_equal(server(&w)->cancels_that_hit, 0);
    assert_outcome(&next, 0, "", PG_SENT_YES);
    pg_lease_release(&h.lease);
    world_close(&w);
}

static void neighbours_are_not_hit(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, behind, before;
    world_open(&w, "pool_max_conns=1");
    ask(&w, &slow, "SLEEP 200", 50 * WORLD_MS);
    ask(&w, &behind, "SLEEP 100", 0);
    world_run(&w, 250 * WORLD_MS);
    assert_outcome(&slow, PG_E_TIMEOUT, "", PG_SENT_MAYBE);
    world_run(&w, 100 * WORLD_MS);
    assert_outcome(&behind, 0, "", PG_SENT_YES);
    assert_int_equal(server(&w)->cancels, 0);
    ask(&w, &before, "SLEEP 200", 0);
    ask(&w, &slow, "SLEEP 60000", 50 * WORLD_MS);
    world_run(&w, 150 * WORLD_MS);
    assert_int_equal(slow.done, 1);
    assert_int_equal(server(&w)->cancels, 0);
    world_run(&w, 100 * WORLD_MS);
    assert_outcome(&before, 0, "", PG_SENT_YES);
    assert_int_equal(server(&w)->cancels_that_hit, 1); /* when its turn came */
    world_close(&w);
}

/* The linger bounds the wait for the answer that nobody wants, and not the neighbours' work behind it. */
static void neighbours_have_their_time(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, behind, more;
    world_open(&w, "pool_max_conns=1 pool_close_linger=300ms");
    ask(&w, &slow, "SLEEP 100", 50 * WORLD_MS);
    ask(&w, &behind, "SLEEP 1000", 0);
    world_run(&w, 60 * WORLD_MS);
    ask(&w, &more, "SLEEP 1", 0);
    assert_int_equal(world_stats(&w).pending, 1);
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(world_stats(&w).pending, 0); /* it is shared again */
    world_run(&w, 2 * WORLD_SECOND);
    assert_outcome(&behind, 0, "", PG_SENT_YES);
    assert_outcome(&more, 0, "", PG_SENT_YES);
    assert_int_equal(server(&w)->connections_total, 1);
    world_close(&w);
}

/* ---- the request itself fails ---- */

static void a_late_request_never_hits_the_next_one(void **state)
{
    (void)state;
    struct world w;
    struct held gone, next;
    struct seen slow, mine;
    world_open(&w, "pool_max_conns=1");
    model_settings(w.server)->cancel_delay_ns = 400 * WORLD_MS;
    hold(&w, &gone);
    lease_ask(&gone, &slow, "SLEEP 100");
    world_run(&w, 50 * WORLD_MS);
    pg_lease_abandon(&gone.lease);
    held_init(&next);
    pg_pool_acquire(w.pool, &next.lease);
    world_run(&w, 350 * WORLD_MS);
    assert_int_equal(next.grants, 0); /* the statement has ended long ago, the request has not */
    world_run(&w, 60 * WORLD_MS);
    assert_int_equal(next.grants, 1);
    lease_ask(&next, &mine, "SLEEP 1000");
    world_run(&w, 2 * WORLD_SECOND);
    assert_outcome(&mine, 0, "", PG_SENT_YES);
    assert_int_equal(server(&w)->cancels, 1);
    assert_int_equal(server(&w)->cancels_that_hit, 0);
    assert_int_equal(server(&w)->connections_total, 1);
    pg_lease_release(&next.lease);
    world_close(&w);
}

/* No end of it within the linger: it may strike at any time, and finds a backend that is gone. */
static void a_request_without_an_end_costs_the_connection(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, mine;
    world_open(&w, "pool_max_conns=1 pool_close_linger=300ms");
    model_settings(w.server)->cancel_delay_ns = 600 * WORLD_MS;
    ask(&w, &slow, "SLEEP 100", 50 * WORLD_MS);
    world_run(&w, 55 * WORLD_MS);
    ask(&w, &mine, "SLEEP 1000", 0);
    world_run(&w, 250 * WORLD_MS);
    assert_int_equal(mine.done, 0);
    world_run(&w, 3 * WORLD_SECOND);
    assert_outcome(&mine, 0, "", PG_SENT_YES);
    assert_int_equal(server(&w)->cancels_that_hit, 0);
    assert_int_equal(server(&w)->connections_total, 2);
    world_close(&w);
}

static void a_lost_request_is_repeated(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, after;
    world_open(&w, "pool_max_conns=1");
    model_settings(w.server)->cancel_lost = 1000;
    ask(&w, &slow, "SLEEP 60000", 50 * WORLD_MS);
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(server(&w)->cancels, 1);
    model_settings(w.server)->cancel_lost = 0;
    world_run(&w, 300 * WORLD_MS);
    assert_int_equal(server(&w)->cancels, 2);
    assert_int_equal(server(&w)->cancels_that_hit, 1);
    ask(&w, &after, "SLEEP 1", 0);
    world_run(&w, 20 * WORLD_MS);
    assert_outcome(&after, 0, "", PG_SENT_YES);
    world_close(&w);
}

/* The request's connect is refused, hangs, has no room, cannot be routed: the statement runs to its end, and the
 * connection is good, since nothing of the request ever left. */
static void a_request_that_is_never_sent_harms_nobody(void **state)
{
    (void)state;
    static const enum sim_connect how[] = { SIM_REFUSE, SIM_HANG, SIM_BACKLOG_FULL, SIM_UNREACHABLE };
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        struct world w;
        struct seen slow, after;
        world_open(&w, "pool_max_conns=1 pool_close_linger=2s");
        ask(&w, &slow, "SLEEP 400", 100 * WORLD_MS);
        world_run(&w, 50 * WORLD_MS);
        model_server_connects(w.server, how[i]);
        world_run(&w, 400 * WORLD_MS);
        ask(&w, &after, "SLEEP 1000", 0);
        world_run(&w, 4 * WORLD_SECOND);
        assert_int_equal(server(&w)->cancels, 0);
        if (how[i] != SIM_BACKLOG_FULL) assert_true(sim_counters(w.sim)->opens > 1);
        assert_outcome(&after, 0, "", PG_SENT_YES);
        assert_int_equal(server(&w)->connections_total, 1);
        world_close(&w);
    }
}

/* ---- ends with a request under way ---- */

static void on_closed(void *arg) { ((struct world *)arg)->closed = true; }

static void a_close_stops_what_runs(void **state)
{
    (void)state;
    struct world w;
    struct seen slow;
    world_open(&w, "pool_max_conns=1 pool_close_linger=30s");
    ask(&w, &slow, "SLEEP 60000", 0);
    world_run(&w, 50 * WORLD_MS);

    pg_pool_close(w.pool, 0, on_closed, &w);
    world_run(&w, WORLD_SECOND);
    assert_true(w.closed); /* long before the linger, and the statement's own end */
    assert_outcome(&slow, PG_E_CLOSED, "", PG_SENT_MAYBE);
    assert_int_equal(server(&w)->cancels_that_hit, 1);
    w.pool = NULL;
    world_close(&w);
}

static void a_close_waits_for_the_request(void **state)
{
    (void)state;
    for (int mute = 0; mute < 2; mute++) {
        struct world w;
        struct seen slow;
        world_open(&w, "pool_max_conns=1 pool_close_linger=500ms");
        model_settings(w.server)->cancel_delay_ns = 100 * WORLD_MS;
        model_settings(w.server)->cancel_mute = mute ? 1000 : 0;
        ask(&w, &slow, "SLEEP 60000", 50 * WORLD_MS);
        world_run(&w, 60 * WORLD_MS);
        assert_int_equal(slow.done, 1);
        assert_int_equal(server(&w)->sockets_now, 2);
        pg_pool_close(w.pool, 0, on_closed, &w);
        world_run(&w, WORLD_SECOND);
        assert_true(w.closed);
        w.pool = NULL;
        world_close(&w); /* asserts that nothing is left */
    }
}

static void a_connection_dies_with_a_request_under_way(void **state)
{
    (void)state;
    static const enum model_end how[] = { MODEL_END_FATAL, MODEL_END_RESET, MODEL_END_EOF };
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        struct world w;
        struct seen slow, after;
        world_open(&w, "pool_max_conns=1");
        model_settings(w.server)->cancel_delay_ns = 100 * WORLD_MS;
        ask(&w, &slow, "SLEEP 60000", 50 * WORLD_MS);
        world_run(&w, 60 * WORLD_MS);
        model_conn_end(model_conn_at(w.server, 0), how[i], "57P01");
        ask(&w, &after, "SLEEP 300", 0);
        world_run(&w, 2 * WORLD_SECOND);
        assert_outcome(&after, 0, "", PG_SENT_YES);
        assert_int_equal(server(&w)->cancels_that_hit, 0);
        assert_int_equal(server(&w)->connections_total, 2);
        world_close(&w);
    }
}

/* ---- pg_query_cancel ---- */

static void what_was_not_sent_is_dropped(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct seen parked, batch[3], unsent, next;
    world_open(&w, "pool_max_conns=1");
    hold(&w, &h);
    seen_init(&parked, &world_insert, 1);
    pg_query_cancel(&parked.query); /* not in flight: nothing */
    pg_pool_query(w.pool, &parked.query);
    for (int i = 0; i < 3; i++) seen_init(&batch[i], &world_insert, 2);
    batch[0].query.next = &batch[1].query;
    batch[1].query.next = &batch[2].query;
    pg_pool_query(w.pool, &batch[0].query);
    seen_init(&unsent, &world_insert, 3);
    pg_lease_query(&h.lease, &unsent.query);
    pg_query_cancel(&parked.query);
    pg_query_cancel(&parked.query);
    pg_query_cancel(&batch[1].query);
    pg_query_cancel(&unsent.query);
    assert_int_equal(parked.done + batch[1].done + unsent.done, 0); /* never inside the call */
    world_run(&w, 20 * WORLD_MS);
    assert_outcome(&parked, PG_E_CANCELLED, "", PG_SENT_NO);
    assert_outcome(&unsent, PG_E_CANCELLED, "", PG_SENT_NO);
    for (int i = 0; i < 3; i++) assert_outcome(&batch[i], i == 1 ? PG_E_CANCELLED : PG_E_BATCH, "", PG_SENT_NO);
    assert_int_equal(world_stats(&w).pending, 0);
    assert_int_equal(server(&w)->statements + server(&w)->cancels, 0);
    lease_ask(&h, &next, "SLEEP 1");
    world_run(&w, 20 * WORLD_MS);
    assert_outcome(&next, 0, "", PG_SENT_YES);
    pg_query_cancel(&next.query); /* over: nothing */
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(server(&w)->cancels, 0);
    pg_lease_release(&h.lease);
    world_close(&w);
}

static void what_runs_is_stopped_and_says_so(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct seen slow, next;
    world_open(&w, "pool_max_conns=2");
    ask(&w, &slow, "SLEEP 60000", 0);
    world_run(&w, 50 * WORLD_MS);
    pg_query_cancel(&slow.query);
    pg_query_cancel(&slow.query); /* one request is enough */
    world_run(&w, 50 * WORLD_MS);
    assert_outcome(&slow, PG_E_CANCELLED, "57014", PG_SENT_YES);
    assert_int_equal(server(&w)->cancels, 1);
    hold(&w, &h);
    lease_ask(&h, &slow, "SLEEP 60000");
    world_run(&w, 50 * WORLD_MS);
    pg_query_cancel(&slow.query);
    lease_ask(&h, &next, "SLEEP 100");
    world_run(&w, 50 * WORLD_MS);
    assert_outcome(&slow, PG_E_CANCELLED, "57014", PG_SENT_YES);
    world_run(&w, 500 * WORLD_MS);
    assert_outcome(&next, 0, "", PG_SENT_YES);
    assert_int_equal(server(&w)->cancels, 2);
    assert_int_equal(pg_lease_transaction(&h.lease), 'I');
    pg_lease_release(&h.lease);
    world_close(&w);
}

/* A wish: nothing that somebody else wants is put at risk for it. When it stands alone, it is stopped. */
static void a_neighbour_is_worth_more_than_a_wish(void **state)
{
    (void)state;
    struct world w;
    struct seen slow, behind, before;
    world_open(&w, "pool_max_conns=1");
    ask(&w, &slow, "SLEEP 200", 0);
    ask(&w, &behind, "SLEEP 100", 0);
    world_run(&w, 50 * WORLD_MS);
    pg_query_cancel(&slow.query);
    world_run(&w, 500 * WORLD_MS);
    assert_outcome(&slow, 0, "", PG_SENT_YES);
    assert_outcome(&behind, 0, "", PG_SENT_YES);
    assert_int_equal(server(&w)->cancels, 0);
    ask(&w, &before, "SLEEP 200", 0);
    ask(&w, &slow, "SLEEP 60000", 0);
    world_run(&w, 50 * WORLD_MS);
    pg_query_cancel(&slow.query);
    world_run(&w, 300 * WORLD_MS);
    assert_outcome(&before, 0, "", PG_SENT_YES);
    assert_outcome(&slow, PG_E_CANCELLED, "57014", PG_SENT_YES);
    world_close(&w);
}

static void a_batch_is_stopped_as_one(void **state)
{
    (void)state;
    struct world w;
    struct seen s[3];
    world_open(&w, "pool_max_conns=1");
    seen_init(&s[0], &world_insert, 1);
    seen_sql(&s[1], "SLEEP 60000");
    seen_init(&s[2], &world_insert, 2);
    s[0].query.next = &s[1].query;
    s[1].query.next = &s[2].query;
    pg_pool_query(w.pool, &s[0].query);
    world_run(&w, 50 * WORLD_MS);
    pg_query_cancel(&s[2].query);
    world_run(&w, 50 * WORLD_MS);
    for (int i = 0; i < 3; i++)
        assert_outcome(&s[i], i == 1 ? PG_E_CANCELLED : PG_E_BATCH, "57014", PG_SENT_YES);
    assert_int_equal(server(&w)->inserts_committed, 0);
    world_close(&w);
}

static enum pg_flow cancel_in_row(struct pg_query *q, struct pg_row *row)
{
    struct seen *s = q->data;
    (void)row;
    s->rows++;
    pg_query_cancel(q);
    assert_int_equal(s->done, 0);
    return PG_CONTINUE;
}

/* The row is here, so it was faster than any request: its own outcome, and the next one is not hit. */
static void cancelled_from_inside_of_its_row(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct seen s, next;
    world_open(&w, "pool_max_conns=1");
    for (int leased = 0; leased < 2; leased++) {
        if (leased) hold(&w, &h);
        seen_sql(&s, "ECHO 5");
        s.query.on_row = cancel_in_row;
        if (leased) pg_lease_query(&h.lease, &s.query);
        else pg_pool_query(w.pool, &s.query);
        world_run(&w, 3 * WORLD_MS);
        if (leased) lease_ask(&h, &next, "SLEEP 100");
        else ask(&w, &next, "SLEEP 100", 0);
        world_run(&w, WORLD_SECOND);
        assert_int_equal(s.rows, 1);
        assert_outcome(&s, 0, "", PG_SENT_YES);
        assert_outcome(&next, 0, "", PG_SENT_YES);
        if (leased) pg_lease_release(&h.lease);
    }
    assert_int_equal(server(&w)->cancels_that_hit, 0);
    assert_int_equal(server(&w)->connections_total, 1);
    world_close(&w);
}

/* A message of which a part is written cannot be taken back, and is no statement yet: stopped once it is whole. */
static void half_written(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct seen s;
    static char large[200000];
    struct sim_config sim = { .seed = 1, .latency_min_ns = 5000000, .latency_max_ns = 5000000,
                              .send_buffer_bytes = 8192 };
    struct model_config config = { 0 };
    world_open_with(&w, &sim, &config, "pool_max_conns=1");
    hold(&w, &h);
    world_run(&w, WORLD_SECOND);
    memset(large, ' ', sizeof large - 1);
    memcpy(large, "SLEEP 60000", 11);
    lease_ask(&h, &s, large);
    (void)!pg_reactor_turn(w.reactor);
    pg_query_cancel(&s.query);
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(sim_counters(w.sim)->opens, 1);
    world_run(&w, 3 * WORLD_SECOND);
    assert_outcome(&s, PG_E_CANCELLED, "57014", PG_SENT_YES);
    pg_lease_release(&h.lease);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timeout_stops_the_statement_at_the_server),
        cmocka_unit_test(abandoned_statements_are_stopped_one_after_the_other),
        cmocka_unit_test(an_abandoned_lease_is_stopped_and_rolled_back),
        cmocka_unit_test(a_lease_goes_on_after_its_timeout),
        cmocka_unit_test(neighbours_are_not_hit),
        cmocka_unit_test(neighbours_have_their_time),
        cmocka_unit_test(a_late_request_never_hits_the_next_one),
        cmocka_unit_test(a_request_without_an_end_costs_the_connection),
        cmocka_unit_test(a_lost_request_is_repeated),
        cmocka_unit_test(a_request_that_is_never_sent_harms_nobody),
        cmocka_unit_test(a_close_stops_what_runs),
        cmocka_unit_test(a_close_waits_for_the_request),
        cmocka_unit_test(a_connection_dies_with_a_request_under_way),
        cmocka_unit_test(what_was_not_sent_is_dropped),
        cmocka_unit_test(what_runs_is_stopped_and_says_so),
        cmocka_unit_test(a_neighbour_is_worth_more_than_a_wish),
        cmocka_unit_test(a_batch_is_stopped_as_one),
        cmocka_unit_test(cancelled_from_inside_of_its_row),
        cmocka_unit_test(half_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
