/* unit/test_pool_flow.c - bytes in both directions at once, rows that pause, peers that never stop talking, and callers
 * that misuse a lease: on the simulated host. */
#include "support/world.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pool/state.h"
#include "reactor/state.h"
#include "support/fake_clock_host.h"

/* ---- both buffers full (failures 27) ---- */

static struct pg_statement echo_bytes = PG_STATEMENT("ECHO $1", PG_TYPE_BYTEA);
struct large {
    struct pg_query query;
    struct pg_param param;
    const uint8_t *at;
    size_t n;
    unsigned done;
    int status;
    bool equal;
};
static enum pg_flow compare(struct pg_query *q, struct pg_row *row)
{
    struct large *l = q->data;
    struct pg_text got = pg_value_bytes(pg_row_value(row, 0));
    l->equal = got.size == l->n && !memcmp(got.data, l->at, l->n);
    return PG_CONTINUE;
}
static void large_done(struct pg_query *q)
{
    struct large *l = q->data;
    l->done++;
    l->status = q->status;
}
static void a_server_that_stops_reading_is_no_deadlock(void **state)
{
    (void)state;
    enum { N = 12, SIZE = 300000 };
    static uint8_t bytes[SIZE + N];
    static struct large l[N];
    struct world w;
    struct sim_config sim = {
        .seed = 5, .latency_max_ns = 20000, .send_buffer_bytes = 16384, .short_send = 300, .short_recv = 300
    };
    struct model_config server = { .unread_limit = 16384 }; /* reads nothing while its own answers are not taken */
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    world_open_with(&w, &sim, &server, "pool_max_conns=1");
    for (int i = 0; i < N; i++) {
        l[i] = (struct large){ .at = bytes + i, .n = SIZE, .param = pg_bytes(bytes + i, SIZE) };
        l[i].query = (struct pg_query){ .statement = &echo_bytes,
                                        .params = &l[i].param,
                                        .nparams = 1,
                                        .on_row = compare,
                                        .on_done = large_done,
                                        .data = &l[i] };
        pg_pool_query(w.pool, &l[i].query);
    }
    world_run(&w, 60 * WORLD_SECOND);
    for (int i = 0; i < N; i++) {
        assert_int_equal(l[i].done, 1);
        assert_int_equal(l[i].status, 0);
        assert_true(l[i].equal);
    }
    world_close(&w);
}

/* A parameter that is half sent can be given up only together with its connection. */
static void a_half_sent_message_takes_its_connection_along(void **state)
{
    (void)state;
    enum { SIZE = 300000 };
    static uint8_t bytes[SIZE];
    struct world w;
    struct large l = { .at = bytes, .n = SIZE, .param = pg_bytes(bytes, SIZE) };
    struct seen behind;
    struct sim_config sim = {
        .seed = 5, .latency_min_ns = 100000, .latency_max_ns = 200000, .send_buffer_bytes = 4096
    };
    struct model_config server = { 0 };
    world_open_with(&w, &sim, &server, "pool_max_conns=1");
    l.query = (struct pg_query){
        .statement = &echo_bytes, .params = &l.param, .nparams = 1, .on_done = large_done, .data = &l
    };
    pg_pool_query(w.pool, &l.query);
    seen_init(&behind, &world_echo, 3);
    pg_pool_query(w.pool, &behind.query);
    while (sim_counters(w.sim)->bytes_sent < 20000) world_run(&w, WORLD_MS / 10);
    pg_query_abandon(&l.query);
    memset(&l, 0xaa, sizeof l);
    world_run(&w, 20 * WORLD_SECOND);
    assert_int_equal(behind.status, 0); /* was not sent yet: served by the next connection */
    assert_int_equal(behind.value, 3);
    assert_int_equal(model_stats(w.server)->connections_total, 2);
    world_close(&w);
}

/* ---- rows that pause ---- */

struct paused {
    struct pg_query query;
    struct pg_row *row;
    unsigned rows, done;
    int status;
    int64_t expect;
    bool wrong;
};
static enum pg_flow pause_each(struct pg_query *q, struct pg_row *row)
{
    struct paused *p = q->data;
    p->row = row;
    p->rows++;
    return PG_PAUSE;
}
static void paused_done(struct pg_query *q)
{
    struct paused *p = q->data;
    p->done++;
    p->status = q->status;
}
enum { ROWS = 2000 };
static void many_rows(void *arg, struct model_query *q)
{
    (void)arg;
    if (strcmp(model_sql(q), "ROWS") != 0) {
        model_default_answer(q);
        return;
    }
    const struct model_column column = { "n", PG_TYPE_INT8 };
    model_columns(q, 1, &column);
    for (int64_t i = 0; i < ROWS; i++) model_row_int8(q, i);
    model_complete(q, "SELECT 2000");
}
static struct pg_statement rows = PG_STATEMENT("ROWS");

static void a_paused_row_stays_while_the_buffer_fills(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct paused p = { 0 };
    struct sim_config sim = { .seed = 2, .latency_max_ns = 50000, .short_recv = 500 };
    struct model_config server = { .answer = many_rows };
    world_open_with(&w, &sim, &server, "pool_max_conns=1");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 10 * WORLD_MS);
    p.query = (struct pg_query){ .statement = &rows, .on_row = pause_each, .on_done = paused_done, .data = &p };
    pg_query_resume(&p.query); /* before the start: a no-op */
    pg_lease_query(&h.lease, &p.query);
    for (unsigned i = 0; i < ROWS; i++) {
        world_run(&w, 5 * WORLD_MS); /* more bytes come than fit */
        assert_int_equal(p.rows, i + 1);
        assert_int_equal(pg_row_int8(p.row, 0), i); /* still the same view */
        assert_int_equal(p.done, 0);
        pg_query_resume(&p.query);
        pg_query_resume(&p.query);
        assert_int_equal(p.rows, i + 1); /* never inside the call */
    }
    world_run(&w, WORLD_SECOND);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.status, 0);
    assert_int_equal(p.query.rows, ROWS);
    pg_query_resume(&p.query); /* after the end: a no-op */
    /* Given up in the middle: the rest is drained, the connection is good. */
    pg_lease_query(&h.lease, &p.query);
    world_run(&w, 10 * WORLD_MS);
    pg_lease_abandon(&h.lease);
    memset(&p, 0xaa, sizeof p);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    assert_int_equal(model_stats(w.server)->connections_total, 1);
    world_close(&w);
}

/* Into how large a buffer the host was last asked to receive could only be seen from inside; that it is lent, here. */
struct lent { unsigned rows; size_t most; bool hinted; };
static enum pg_flow look_what_is_lent(struct pg_query *q, struct pg_row *row)
{
    struct lent *l = q->data;
    struct pg_reactor *r = rp_query(q)->waiter.pool->reactor;
    (void)row;
    l->rows++;
    if (r->slab_used > l->most) l->most = r->slab_used;
    l->hinted |= pg_reactor_wait_hint(r).completions > 1;
    return PG_CONTINUE;
}
static void a_long_answer_is_received_in_large_pieces(void **state)
{
    (void)state;
    enum { SHORT = 500 };
    struct world w;
    static struct seen s[SHORT];
    struct lent l = { 0 };
    struct sim_config sim = { .seed = 2, .latency_max_ns = 50000, .short_recv = 900 };
    struct model_config server = { .answer = many_rows };
    world_open_with(&w, &sim, &server, "pool_max_conns=1 pool_max_pipeline=512");
    for (unsigned i = 0; i < SHORT; i++) { /* fill receives, too, but each with many answers */
        seen_init(&s[i], &world_echo, i);
        pg_pool_query(w.pool, &s[i].query);
    }
    world_run(&w, WORLD_SECOND);
    for (unsigned i = 0; i < SHORT; i++) assert_int_equal(s[i].status, PG_OK);
    assert_int_equal(w.reactor->slab[2].count, 0);
    struct pg_query q = { .statement = &rows, .on_row = look_what_is_lent, .data = &l };
    pg_pool_query(w.pool, &q);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(q.status, PG_OK);
    assert_int_equal(l.rows, ROWS);
    assert_in_range(l.most, 64 * 1024, 2 * 64 * 1024);
    assert_true(l.hinted);
    seen_init(&s[0], &world_echo, 1);
    pg_pool_query(w.pool, &s[0].query);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(s[0].status, PG_OK);
    assert_int_equal(w.reactor->slab[2].count, 1); /* it came back */
    world_close(&w);
}

/* The next one's rows stand where this one's row stood: nobody may see them through it. */
static enum pg_flow behind_a_paused_one(struct pg_query *q, struct pg_row *row)
{
    const struct paused *p = q->data;
    assert_int_equal(p->done, 1);
    assert_int_equal(pg_row_int8(row, 0), 0);
    return PG_STOP;
}
static void a_paused_row_dies_with_its_deadline(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct paused p = { 0 };
    struct sim_config sim = { .seed = 2, .latency_max_ns = 50000 };
    struct model_config server = { .answer = many_rows };
    world_open_with(&w, &sim, &server, "pool_max_conns=1");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 10 * WORLD_MS);
    struct pg_param seven = pg_int8(7);
    p.query = (struct pg_query){ .statement = &world_echo, .params = &seven, .nparams = 1, .data = &p };
    p.query.on_row = pause_each, p.query.on_done = paused_done;
    p.query.deadline_ns = pg_reactor_now(w.reactor) + 50 * WORLD_MS;
    struct pg_query next = { .statement = &rows, .on_row = behind_a_paused_one, .data = &p };
    pg_lease_query(&h.lease, &p.query);
    pg_lease_query(&h.lease, &next);
    world_run(&w, 45 * WORLD_MS);
    assert_int_equal(pg_row_columns(p.row), 1);
    assert_int_equal(p.done, 0);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(p.rows, 1);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.status, PG_E_TIMEOUT);
    assert_int_equal(next.status, PG_E_CANCELLED);
    pg_lease_release(&h.lease);
    world_close(&w);
}

static enum pg_flow stop_at_three(struct pg_query *q, struct pg_row *row)
{
    (void)row;
    struct paused *p = q->data;
    return ++p->rows == 3 ? PG_STOP : PG_CONTINUE;
}
static void stop_drops_the_rest(void **state)
{
    (void)state;
    struct world w;
    struct paused p = { 0 };
    struct sim_config sim = { .seed = 2, .latency_max_ns = 50000 };
    struct model_config server = { .answer = many_rows };
    world_open_with(&w, &sim, &server, "pool_max_conns=1");
    p.query = (struct pg_query){ .statement = &rows, .on_row = stop_at_three, .on_done = paused_done, .data = &p };
    pg_pool_query(w.pool, &p.query);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(p.rows, 3);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.status, PG_E_CANCELLED);
    world_close(&w);
}

/* ---- a server that never stops talking (failures 25) ---- */

static struct { struct model_conn *conn; unsigned sent; } talk;
static void notice_again(void *arg)
{
    struct world *w = arg;
    if (talk.sent++ >= 20000) return;
    for (int i = 0; i < 20; i++) model_conn_notice(talk.conn, "01000", "and another thing");
    sim_after(w->sim, 10000, notice_again, w);
}
static void endless_notices_do_not_stop_a_deadline(void **state)
{
    (void)state;
    struct world w;
    struct seen slow;
    world_open(&w, "pool_max_conns=1");
    seen_sql(&slow, "SLEEP 1000");
    slow.query.deadline_ns = pg_reactor_now(w.reactor) + 50 * WORLD_MS;
    pg_pool_query(w.pool, &slow.query);
    world_run(&w, 10 * WORLD_MS);
    talk.conn = model_conn_at(w.server, 0);
    talk.sent = 0;
    notice_again(&w);
    world_run(&w, 60 * WORLD_MS);
    assert_true(w.events[PG_EVENT_NOTICE] > 1000);
    assert_int_equal(slow.status, PG_E_TIMEOUT);
    world_run(&w, 5 * WORLD_SECOND);
    world_close(&w);
}

/* ---- misuse is caught (failures 53) ---- */

static struct world misuse;
static struct held twice, parked;
static void release_twice(void *arg)
{
    (void)arg;
    pg_lease_release(&twice.lease);
    pg_lease_release(&twice.lease);
}
static void release_what_is_parked(void *arg)
{
    (void)arg;
    pg_lease_release(&parked.lease);
}
static void release_with_a_query_in_flight(void *arg)
{
    (void)arg;
    static struct seen s;
    seen_init(&s, &world_echo, 1);
    pg_lease_query(&twice.lease, &s.query);
    pg_lease_release(&twice.lease);
}
static void start_twice(void *arg)
{
    (void)arg;
    static struct seen s;
    seen_init(&s, &world_echo, 1);
    pg_lease_query(&twice.lease, &s.query);
    pg_lease_query(&twice.lease, &s.query);
}
static void query_without_holding(void *arg)
{
    (void)arg;
    static struct seen s;
    seen_init(&s, &world_echo, 1);
    pg_lease_query(&parked.lease, &s.query);
}
static void acquire_what_is_held(void *arg)
{
    (void)arg;
    pg_pool_acquire(misuse.pool, &twice.lease);
}
static void try_what_is_parked(void *arg)
{
    (void)arg;
    (void)!pg_pool_try_acquire(misuse.pool, &parked.lease);
}
static void misuse_asserts(void **state)
{
    (void)state;
    world_open(&misuse, "pool_max_conns=1");
    held_init(&twice);
    held_init(&parked);
    pg_pool_acquire(misuse.pool, &twice.lease);
    pg_pool_acquire(misuse.pool, &parked.lease);
    world_run(&misuse, 10 * WORLD_MS);
    assert_int_equal(signal_of(release_twice, NULL), SIGABRT);
    assert_int_equal(signal_of(release_what_is_parked, NULL), SIGABRT);
    assert_int_equal(signal_of(release_with_a_query_in_flight, NULL), SIGABRT);
    assert_int_equal(signal_of(start_twice, NULL), SIGABRT);
    assert_int_equal(signal_of(query_without_holding, NULL), SIGABRT);
    assert_int_equal(signal_of(acquire_what_is_held, NULL), SIGABRT);
    assert_int_equal(signal_of(try_what_is_parked, NULL), SIGABRT);
    pg_lease_release(&twice.lease);
    pg_lease_abandon(&parked.lease);
    world_close(&misuse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_stops_reading_is_no_deadlock),
        cmocka_unit_test(a_half_sent_message_takes_its_connection_along),
        cmocka_unit_test(a_long_answer_is_received_in_large_pieces),
        cmocka_unit_test(a_paused_row_stays_while_the_buffer_fills),
        cmocka_unit_test(a_paused_row_dies_with_its_deadline),
        cmocka_unit_test(stop_drops_the_rest),
        cmocka_unit_test(endless_notices_do_not_stop_a_deadline),
        cmocka_unit_test(misuse_asserts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
