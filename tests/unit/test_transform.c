/* unit/test_transform.c - connections whose bytes pass a transform (conn/transform.h), a toy in TLS's place: nothing is
 * said in plain, everything arrives, and each of the ways in which it may end or fail is told as such. */
#include <string.h>
#include "pool/state.h"
#include "support/model_private.h"
#include "support/toy.h"
#include "support/world.h"

static struct rp_security security;
static char text[100000];
static struct pg_statement echo_text = PG_STATEMENT("ECHO $1", PG_TYPE_TEXT);

static void open_toy(struct world *w, struct sim_config sim, struct model_config server, const char *options)
{
    if (!server.toy) server.toy = MODEL_TOY;
    server.exit_delay_ns = 200000;
    world_open_with(w, &sim, &server, options);
    security = (struct rp_security){ .transform = { toy_make, w->sim },
                                     .way = { server.toy == MODEL_TOY ? RP_WAY_DIRECT : RP_WAY_DEMANDED } };
    w->pool->hosts.at[0].security = &security;
}

static void open_plainly(struct world *w, const char *options)
{
    open_toy(w, (struct sim_config){ .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 },
             (struct model_config){ 0 }, options);
}

static void ask(struct world *w, struct seen *s, const char *sql)
{
    seen_sql(s, sql);
    pg_pool_query(w->pool, &s->query);
}

/* ---- what goes well ---- */

static unsigned texts;
static enum pg_flow on_text(struct pg_query *q, struct pg_row *row)
{
    struct pg_text got = pg_row_text(row, 0);
    (void)q;
    assert_int_equal(got.size, sizeof text);
    assert_memory_equal(got.data, text, got.size);
    texts++;
    return PG_CONTINUE;
}

/* Larger than any buffer, in pieces of every size, in both directions at once. */
static void all_bytes_pass(void **state)
{
    (void)state;
    enum { N = 20 };
    struct world w;
    struct seen s[N], few[N];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i * i % 26);
    for (uint64_t seed = 1; seed < 8; seed++) {
        struct sim_config sim = sim_faults(seed);
        open_toy(&w, sim, (struct model_config){ .auth = MODEL_SCRAM, .password = "secret" },
                 "pool_max_conns=2 password=secret pool_acquire_timeout=0");
        texts = 0;
        for (int i = 0; i < N; i++) {
            seen_init(&s[i], &echo_text, 0);
            s[i].param = pg_strn(text, sizeof text);
            s[i].query.on_row = on_text;
            pg_pool_query(w.pool, &s[i].query);
            seen_init(&few[i], &world_echo, i);
            pg_pool_query(w.pool, &few[i].query);
        }
        world_run(&w, 600 * WORLD_SECOND);
        for (int i = 0; i < N; i++) {
            assert_int_equal(s[i].status, 0);
            assert_int_equal(s[i].done, 1);
            assert_int_equal(few[i].value, i);
        }
        assert_int_equal(texts, N);
        assert_int_equal(world_stats(&w).lost_conns_count, 0);
        pg_pool_close(w.pool, 0, NULL, NULL);
        w.pool = NULL;
        world_run(&w, 600 * WORLD_SECOND);
        assert_int_equal(model_stats(w.server)->terminates, model_stats(w.server)->connections_total);
        world_close(&w);
    }
}

/* A paused row keeps its place; what comes meanwhile waits in buffers of a known size. */
static enum pg_flow pause_first(struct pg_query *q, struct pg_row *row)
{
    struct seen *s = q->data;
    s->value = pg_row_int8(row, 0);
    return s->rows++ ? PG_CONTINUE : PG_PAUSE;
}

static void many_rows(void *arg, struct model_query *q)
{
    (void)arg;
    model_columns(q, 1, &(struct model_column){ "n", PG_TYPE_INT8 });
    for (int i = 0; i < 5000 && !model_describing(q); i++) model_row_int8(q, i);
    model_complete(q, "SELECT 5000");
}

static void a_pause_bounds_what_is_taken(void **state)
{
    (void)state;
    static struct pg_statement rows = PG_STATEMENT("ROWS");
    struct world w;
    struct held h;
    struct seen s;
    open_toy(&w, (struct sim_config){ .seed = 1 }, (struct model_config){ .answer = many_rows }, "pool_max_conns=1");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, 20 * WORLD_MS);
    seen_init(&s, &rows, 0);
    s.query.on_row = pause_first;
    pg_lease_query(&h.lease, &s.query);
    world_run(&w, 200 * WORLD_MS);
    assert_int_equal(s.rows, 1);
    uint64_t taken = sim_counters(w.sim)->bytes_received;
    world_run(&w, 200 * WORLD_MS);
    assert_int_equal(sim_counters(w.sim)->bytes_received, taken);
    assert_in_range(taken, 1, 2 * RP_CODED_IN + RP_CONN_IN);
    pg_query_resume(&s.query);
    world_run(&w, 200 * WORLD_MS);
    assert_int_equal(s.status, 0);
    assert_int_equal(s.rows, 5000);
    pg_lease_release(&h.lease);
    world_close(&w);
}

/* failures 13 */
static void a_cancel_request_passes_it_too(void **state)
{
    (void)state;
    struct world w;
    struct seen s, after;
    open_plainly(&w, "pool_max_conns=1");
    seen_sql(&s, "SLEEP 60000");
    s.query.deadline_ns = pg_reactor_now(w.reactor) + 50 * WORLD_MS;
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(s.status, PG_E_TIMEOUT);
    assert_int_equal(model_stats(w.server)->cancels_that_hit, 1);
    ask(&w, &after, "SLEEP 1");
    world_run(&w, 20 * WORLD_MS);
    assert_int_equal(after.status, 0);
    assert_int_equal(model_stats(w.server)->connections_total, 1);
    world_close(&w);
}

/* ---- ends ---- */

static void assert_failed(const struct seen *s, int status, const char *why)
{
    assert_int_equal(s->done, 1);
    assert_int_equal(s->status, status);
    assert_string_equal(pg_error_field(&s->error, 'M'), why);
}

/* With an end of the transform before the socket's and without: clean when idle, an error in the middle (failures 41).
 * */
static void an_idle_one_that_ends_is_noticed(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    for (uint32_t endless = 0; endless <= 1000; endless += 1000) {
        open_plainly(&w, "pool_max_conns=1");
        model_settings(w.server)->toy_endless = endless;
        ask(&w, &s, "SLEEP 1");
        world_run(&w, 50 * WORLD_MS);
        assert_int_equal(s.status, 0);
        model_conn_end(model_conn_at(w.server, 0), MODEL_END_EOF, NULL);
        world_run(&w, 50 * WORLD_MS);
        assert_int_equal(w.events[PG_EVENT_LOST], 1);
        assert_string_equal(pg_error_field(&w.event_error, 'M'), "the server closed the connection");
        assert_int_equal(world_stats(&w).total_conns, 0);
        world_close(&w);
    }
}

/* Its end, and the socket stays open: the server has not let go. */
static void the_end_inside_is_not_the_sockets(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_plainly(&w, "pool_max_conns=1 pool_close_linger=300ms");
    ask(&w, &s, "SLEEP 1");
    world_run(&w, 50 * WORLD_MS);
    struct model_conn *conn = model_conn_at(w.server, 0);
    model_toy_end(conn);
    ask(&w, &s, "SLEEP 5000");
    world_run(&w, 50 * WORLD_MS);
    assert_failed(&s, PG_E_LOST, "the server closed the connection");
    assert_int_equal(world_stats(&w).total_conns, 1);
    world_run(&w, 400 * WORLD_MS);
    assert_int_equal(world_stats(&w).total_conns, 0);
    world_run(&w, 6 * WORLD_SECOND); /* the backend has slept */
    world_close(&w);
}

static void an_end_in_the_middle_of_an_answer(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_plainly(&w, "pool_max_conns=1");
    ask(&w, &s, "SLEEP 1000");
    world_run(&w, 50 * WORLD_MS);
    model_conn_end(model_conn_at(w.server, 0), MODEL_END_EOF, NULL);
    world_run(&w, 50 * WORLD_MS);
    assert_failed(&s, PG_E_LOST, "the server closed the connection");
    assert_int_equal(s.sent, PG_SENT_MAYBE);
    world_close(&w);
}

/* The reason stands in front of the end, and both are in one segment. */
static void what_comes_before_the_end_is_heard(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_plainly(&w, "pool_max_conns=1");
    ask(&w, &s, "SLEEP 1000");
    world_run(&w, 50 * WORLD_MS);
    model_conn_end(model_conn_at(w.server, 0), MODEL_END_FATAL, "57P01");
    world_run(&w, 50 * WORLD_MS);
    assert_int_equal(s.status, PG_E_LOST);
    assert_string_equal(s.query.sqlstate, "57P01");
    world_close(&w);
}

/* ---- failures ---- */

static void damage_is_told(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_plainly(&w, "pool_max_conns=1");
    ask(&w, &s, "SLEEP 100");
    world_run(&w, 50 * WORLD_MS);
    model_settings(w.server)->toy_damage = 1000;
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.status, PG_E_PROTOCOL);
    assert_int_equal(s.sent, PG_SENT_MAYBE);
    assert_true(!strcmp(pg_error_field(&s.error, 'M'), "a record's checksum is wrong") ||
                !strcmp(pg_error_field(&s.error, 'M'), "not a record"));
    world_close(&w);
}

static unsigned complaints;
static void not_toy(void *arg, const char *what)
{
    (void)arg, (void)what;
    complaints++;
}

/* The server speaks in plain: it is no connection, and what it says is not listened to. */
static void a_plain_server_is_refused(void **state)
{
    (void)state;
    static const char plain[] = "E\0\0\0\x20SFATAL\0C28000\0Mlook here\0\0";
    struct world w;
    struct seen s;
    open_plainly(&w, "pool_max_conns=1 connect_timeout=2");
    model_settings(w.server)->toy = MODEL_PLAIN;
    model_settings(w.server)->malformed = not_toy;
    complaints = 0;
    ask(&w, &s, "SLEEP 1");
    s.query.deadline_ns = 0;
    world_run(&w, 1 * WORLD_MS / 10);
    assert_int_equal(model_conn_count(w.server), 1);
    model_conn_send(model_conn_at(w.server, 0), plain, sizeof plain - 1);
    world_run(&w, 5 * WORLD_MS);
    assert_int_equal(w.events[PG_EVENT_CONNECT_FAILED], 1);
    assert_string_equal(pg_error_field(&w.event_error, 'M'), "the server does not speak toy");
    pg_query_abandon(&s.query);
    world_close(&w);
    assert_true(complaints > 0);
}

/* One that never answers the hello costs connect_timeout. */
static void a_silent_one_is_given_up(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    open_plainly(&w, "pool_max_conns=1 connect_timeout=2 pool_acquire_timeout=3s");
    ask(&w, &s, "SLEEP 1");
    world_run(&w, WORLD_MS / 10);
    sim_peer_pause(model_conn_at(w.server, 0)->peer, true);
    world_run(&w, 2 * WORLD_SECOND + 50 * WORLD_MS);
    assert_int_equal(w.events[PG_EVENT_CONNECT_FAILED], 1);
    world_run(&w, 5 * WORLD_SECOND);
    assert_int_equal(s.done, 1);
    for (size_t i = 0; i < model_conn_count(w.server); i++)
        if (model_conn_alive(model_conn_at(w.server, i))) sim_peer_pause(model_conn_at(w.server, i)->peer, false);
    world_run(&w, WORLD_SECOND);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_bytes_pass),
        cmocka_unit_test(a_pause_bounds_what_is_taken),
        cmocka_unit_test(a_cancel_request_passes_it_too),
        cmocka_unit_test(an_idle_one_that_ends_is_noticed),
        cmocka_unit_test(the_end_inside_is_not_the_sockets),
        cmocka_unit_test(an_end_in_the_middle_of_an_answer),
        cmocka_unit_test(what_comes_before_the_end_is_heard),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(a_plain_server_is_refused),
        cmocka_unit_test(a_silent_one_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
