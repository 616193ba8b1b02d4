/* unit/test_pool_copy.c - COPY on a lease as it should go, and as a server may refuse it: on the simulated host. */
#include "copies.h"
#include <signal.h>
#include "support/fake_clock_host.h"

static const char *message(const struct job *j) { return pg_error_field(&j->error, 'M'); }

/* ---- out ---- */

static void out_comes_line_by_line(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    copies_open(&c);
    job_start(&j, &c, "OUT 5000", 0);
    assert_int_equal(pg_copy_direction(&j.copy), PG_COPY_NONE);
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_OK, "");
    assert_int_equal(j.lines, 5000);
    assert_int_equal(j.chunks, 5000); /* each was a message that fits */
    assert_int_equal(j.copy.query.rows, 5000);
    assert_string_equal(j.copy.query.tag, "COPY");
    assert_int_equal(pg_copy_direction(&j.copy), PG_COPY_OUT);
    assert_int_equal(pg_copy_columns(&j.copy), 1);
    assert_false(pg_copy_binary(&j.copy, 0));
    expect_nothing_lent(c.w.reactor);
    job_start(&j, &c, "OUT 0 binary", 0);
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_OK, "");
    assert_int_equal(j.chunks, 0);
    assert_int_equal(pg_copy_columns(&j.copy), 3);
    assert_true(pg_copy_binary(&j.copy, 2));
    assert_false(pg_copy_binary(&j.copy, 3));
    job_init(&j, &c, "OUT 5000", 0);
    j.copy.on_data = NULL; /* all is dropped */
    pg_lease_copy(&c.h.lease, &j.copy);
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_OK, "");
    assert_int_equal(j.copy.query.rows, 5000);
    expect_serves(&c);
    copies_close(&c);
}

/* Counts the chunks before which the host should have waited for two completions. */
struct hints {
    struct job job; /* first */
    unsigned streams;
};
static enum pg_flow note_hint(struct pg_copy *copy, struct pg_text chunk)
{
    struct hints *h = copy->query.data;
    uint32_t n = pg_reactor_wait_hint(h->job.c->w.reactor).completions;
    assert_in_range(n, 1, 2);
    h->streams += n - 1;
    return job_data(copy, chunk);
}

/* Of a COPY the host should wait for more than what comes first, if all that was there has been taken; not where more
 * is known to be there, and not when it is over. */
static unsigned streams_of_a_copy(uint32_t short_recv)
{
    struct copies c;
    struct hints h = { .streams = 0 };
    struct sim_config sim = { .seed = 1, .short_recv = short_recv };
    copies_open_with(&c, &sim, (struct model_config){ .exit_delay_ns = 200000 }, "pool_max_conns=1");
    job_init(&h.job, &c, "OUT 20000", 0);
    h.job.copy.on_data = note_hint;
    pg_lease_copy(&c.h.lease, &h.job.copy);
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&h.job, PG_OK, "");
    assert_int_equal(pg_reactor_wait_hint(c.w.reactor).completions, 1);
    copies_close(&c);
    return h.streams;
}
static void out_is_worth_a_longer_wait(void **state)
{
    (void)state;
    assert_int_equal(streams_of_a_copy(0), 0);
    assert_in_range(streams_of_a_copy(500), 100, 20000);
}

static void out_pauses(void **state)
{
    (void)state;
    enum { LINES = 20000 };
    struct copies c;
    struct job j;
    copies_open(&c);
    job_init(&j, &c, "OUT 20000", 0);
    j.pause_every = 1000;
    pg_query_resume(&j.copy.query); /* before the start: a no-op */
    pg_lease_copy(&c.h.lease, &j.copy);
    for (uint64_t lines = 1000; lines <= LINES; lines += 1000) {
        world_run(&c.w, 20 * WORLD_MS);
        assert_int_equal(j.lines, lines); /* and no more, however long it takes */
        assert_int_equal(j.done, 0);
        assert_int_equal(pg_reactor_wait_hint(c.w.reactor).completions, 1);
        uint64_t received = sim_counters(c.w.sim)->bytes_received;
        world_run(&c.w, 100 * WORLD_MS);
        assert_int_equal(sim_counters(c.w.sim)->bytes_received, received); /* nothing is read meanwhile */
        assert_in_range(received, 0, (lines + 3000) * 50); /* and was not read ahead beyond the buffer */
        pg_query_resume(&j.copy.query);
        assert_int_equal(j.lines, lines);
    }
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_OK, "");
    assert_int_equal(j.lines, LINES);
    expect_serves(&c); /* the buffer in which a receive was armed meanwhile goes back with the next bytes */
    copies_close(&c);
}

/* What a getter had to complain of in a row that was given up is no complaint about what is copied. */
static enum pg_flow complain_and_go(struct pg_query *q, struct pg_row *row)
{
    (void)pg_row_int8(row, 7);
    pg_query_abandon(q);
    return PG_CONTINUE;
}
static void a_complaint_stays_with_its_row(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    struct seen s;
    copies_open(&c);
    seen_init(&s, &world_echo, 1);
    s.query.on_row = complain_and_go;
    pg_lease_query(&c.h.lease, &s.query);
    world_run(&c.w, 100 * WORLD_MS);
    job_init(&j, &c, "OUT 100", 0);
    j.pause_every = 10;
    pg_lease_copy(&c.h.lease, &j.copy);
    for (int i = 0; i < 12; i++) {
        world_run(&c.w, 5 * WORLD_MS);
        pg_query_resume(&j.copy.query);
    }
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_OK, "");
    copies_close(&c);
}

/* The server is asked to stop, and the connection is as good as before. */
static void out_is_stopped(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    copies_open(&c);
    job_init(&j, &c, "OUT 3000 slow", 0);
    j.stop_at = 700;
    pg_lease_copy(&c.h.lease, &j.copy);
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_E_CANCELLED, "57014");
    assert_int_equal(j.lines, 700);
    assert_int_equal(model_stats(c.w.server)->cancels_that_hit, 1);
    expect_serves(&c);
    copies_close(&c);
}

static void out_fails_half_way(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    copies_open(&c);
    job_start(&j, &c, "OUT 3000 refuse", 0);
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_E_SERVER, "22012");
    assert_int_equal(j.copy.query.sent, PG_SENT_YES);
    assert_int_equal(j.lines, 3000);
    expect_serves(&c);
    copies_close(&c);
}

/* A message that no buffer has to hold: its pieces come as they arrive. */
static void large_answer(void *arg, struct model_query *q)
{
    (void)arg;
    if (strcmp(model_sql(q), "LARGE") != 0) return;
    enum { SIZE = 3000000 };
    char *at = malloc(SIZE);
    assert_non_null(at);
    memset(at, 'x', SIZE);
    model_copy_out(q);
    model_copy_data(q, at, SIZE);
    model_copy_data(q, "y", 1);
    model_copy_done(q, "COPY 2");
    free(at);
}
static struct { size_t bytes, largest; unsigned chunks; } pieces;
static enum pg_flow count_pieces(struct pg_copy *copy, struct pg_text chunk)
{
    (void)copy;
    pieces.bytes += chunk.size;
    pieces.chunks++;
    if (chunk.size > pieces.largest) pieces.largest = chunk.size;
    return PG_CONTINUE;
}
static void out_in_pieces(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    copies_open(&c);
    model_settings(c.w.server)->answer = large_answer;
    job_init(&j, &c, "LARGE", 0);
    j.copy.on_data = count_pieces;
    pg_lease_copy(&c.h.lease, &j.copy);
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_OK, "");
    assert_int_equal(pieces.bytes, 3000001);
    assert_in_range(pieces.largest, 1, 64 * 1024);
    assert_in_range(c.w.reactor->slab_used, 0, 64 * 1024);
    copies_close(&c);
}

/* ---- in ---- */

static void in_flows_through_a_bounded_buffer(void **state)
{
    (void)state;
    enum { LINES = 50000 };
    struct copies c;
    struct job j;
    copies_open(&c);
    job_start(&j, &c, "IN", LINES);
    assert_int_equal(pg_copy_write(&j.copy, "early", 5), 0);
    world_run(&c.w, 5 * WORLD_SECOND);
    expect_ended(&j, PG_OK, "");
    assert_int_equal(j.copy.query.rows, LINES);
    assert_int_equal(c.received.lines, LINES);
    assert_int_equal(c.received.times, 1);
    assert_false(c.received.wrong);
    assert_true(j.writable > 10);
    assert_int_equal(pg_copy_direction(&j.copy), PG_COPY_IN);
    assert_in_range(c.w.reactor->slab_used, 1, 2 * 64 * 1024);
    expect_nothing_lent(c.w.reactor);
    expect_serves(&c);
    copies_close(&c);
}

/* A server that is slow, a kernel that takes little: the caller is told of room when there is some, and no earlier. */
static void in_waits_for_a_slow_server(void **state)
{
    (void)state;
    enum { LINES = 20000 };
    struct copies c;
    struct job j;
    struct sim_config sim = { .seed = 7, .latency_max_ns = 50000, .send_buffer_bytes = 4096, .short_send = 300 };
    copies_open_with(&c, &sim, (struct model_config){ .unread_limit = 1 << 20 }, "pool_max_conns=1");
    job_start(&j, &c, "IN slow binary", LINES);
    world_run(&c.w, 5 * WORLD_MS);
    assert_true(j.lines > 0 && j.lines < LINES);
    assert_int_equal(pg_copy_columns(&j.copy), 2);
    assert_true(pg_copy_binary(&j.copy, 1));
    unsigned writable = j.writable;
    char byte = 'x';
    assert_int_equal(pg_copy_write(&j.copy, &byte, 1), 0); /* full, whoever asks */
    assert_int_equal(j.writable, writable);
    world_run(&c.w, 60 * WORLD_SECOND);
    expect_ended(&j, PG_OK, "");
    assert_int_equal(c.received.lines, LINES);
    assert_false(c.received.wrong);
    copies_close(&c);
}

/* failures 27: the server says much and reads nothing until that was taken, and so do we write. */
static struct { struct copies *c; unsigned sent; } talk;
static void talk_more(void *arg)
{
    struct world *w = arg;
    if (talk.sent++ >= 300) return;
    for (int i = 0; i < 50; i++) model_conn_notice(model_conn_at(w->server, 0), "01000", "and another thing");
    sim_after(w->sim, 100000, talk_more, w);
}
static void both_buffers_full_is_no_deadlock(void **state)
{
    (void)state;
    enum { LINES = 40000 };
    struct copies c;
    struct job j;
    struct sim_config sim = { .seed = 5, .latency_max_ns = 20000, .send_buffer_bytes = 8192, .short_send = 300,
                              .short_recv = 300 };
    copies_open_with(&c, &sim, (struct model_config){ .unread_limit = 4096 }, "pool_max_conns=1");
    job_start(&j, &c, "IN", LINES);
    talk_more(&c.w);
    world_run(&c.w, 60 * WORLD_SECOND);
    expect_ended(&j, PG_OK, "");
    assert_int_equal(c.received.lines, LINES);
    assert_int_equal(c.w.events[PG_EVENT_NOTICE], 300 * 50);
    copies_close(&c);
}

static void in_is_refused_half_way(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    copies_open(&c);
    job_start(&j, &c, "IN refuse", 100000); /* some 4 MB, and 100 KB are enough for the server */
    world_run(&c.w, 5 * WORLD_SECOND);
    expect_ended(&j, PG_E_SERVER, "23505");
    assert_string_equal(message(&j), "duplicate key");
    assert_true(j.lines < 100000); /* it heard of the end while it wrote */
    assert_int_equal(pg_copy_write(&j.copy, "more", 4), 4); /* as if it was taken */
    pg_copy_finish(&j.copy, NULL);
    assert_int_equal(c.received.times, 0);
    expect_nothing_lent(c.w.reactor);
    expect_serves(&c);
    copies_close(&c);
}

static void in_fails_at_its_end(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    copies_open(&c);
    job_start(&j, &c, "IN late", 1000);
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_E_SERVER, "23514");
    assert_int_equal(j.lines, 1000);
    expect_serves(&c);
    copies_close(&c);
}

static void the_caller_fails_it(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    copies_open(&c);
    job_init(&j, &c, "IN", 1000);
    j.failure = "the upload was cut off";
    pg_lease_copy(&c.h.lease, &j.copy);
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_E_CANCELLED, "57014");
    assert_string_equal(message(&j), "COPY from stdin failed: the upload was cut off");
    assert_int_equal(j.copy.query.sent, PG_SENT_YES);
    assert_int_equal(c.received.times, 0);
    expect_serves(&c);
    copies_close(&c);
}

/* Who knows the end already need not wait for the beginning. */
static void the_end_is_said_before_the_beginning(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    copies_open(&c);
    job_start(&j, &c, "IN delay", 5);
    pg_copy_finish(&j.copy, NULL);
    pg_copy_finish(&j.copy, "too late"); /* the second time: nothing */
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_OK, "");
    assert_int_equal(j.copy.query.rows, 0);
    assert_int_equal(c.received.times, 1);
    job_start(&j, &c, "IN delay", 5);
    pg_copy_finish(&j.copy, "changed its mind");
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_E_CANCELLED, "57014");
    assert_int_equal(j.writable, 0);
    copies_close(&c);
}

/* ---- beside other requests ---- */

static void it_stands_alone_in_the_pipeline(void **state)
{
    (void)state;
    struct copies c;
    struct job in, out;
    struct seen before, between, behind;
    copies_open(&c);
    seen_sql(&before, "SLEEP 20");
    seen_init(&between, &world_insert, 7);
    seen_init(&behind, &world_echo, 3);
    pg_lease_query(&c.h.lease, &before.query);
    job_start(&in, &c, "IN", 3000);
    pg_lease_query(&c.h.lease, &between.query);
    job_start(&out, &c, "OUT 3000 slow", 0);
    pg_lease_query(&c.h.lease, &behind.query);
    world_run(&c.w, 15 * WORLD_MS);
    assert_int_equal(model_stats(c.w.server)->simple_queries, 0); /* not sent before its time */
    world_run(&c.w, 100 * WORLD_MS);
    assert_int_equal(in.done, 1);
    assert_int_equal(between.done, 1);
    assert_int_equal(behind.done, 0);
    const struct model_conn *conn = model_conn_at(c.w.server, 0);
    assert_int_equal(model_conn_sql_count(conn), 4); /* the last one was not sent either */
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&in, PG_OK, "");
    expect_ended(&out, PG_OK, "");
    assert_int_equal(behind.value, 3);
    assert_true(before.order < between.order && between.order < behind.order);
    copies_close(&c);
}

static void a_failed_transaction_refuses_it(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    struct seen begin, fail, rollback;
    copies_open(&c);
    seen_init(&begin, &pg_begin, 0);
    seen_sql(&fail, "FAIL 22012");
    seen_init(&rollback, &pg_rollback, 0);
    pg_lease_query(&c.h.lease, &begin.query);
    pg_lease_query(&c.h.lease, &fail.query);
    job_start(&j, &c, "IN", 10);
    pg_lease_query(&c.h.lease, &rollback.query);
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_E_SERVER, "25P02");
    assert_int_equal(rollback.status, 0);
    expect_serves(&c);
    copies_close(&c);
}

/* What copies nothing has its outcome. */
static void no_copy_at_all(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    copies_open(&c);
    job_start(&j, &c, "INSERT", 10);
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_OK, "");
    assert_string_equal(j.copy.query.tag, "INSERT");
    assert_int_equal(pg_copy_direction(&j.copy), PG_COPY_NONE);
    assert_int_equal(j.writable, 0);
    job_start(&j, &c, "IN; IN", 10);
    world_run(&c.w, WORLD_SECOND);
    expect_ended(&j, PG_E_PARAMETER, "57014");
    expect_serves(&c);
    copies_close(&c);
}

/* ---- refused ---- */

static void what_cannot_be_sent_is_refused(void **state)
{
    (void)state;
    struct copies c;
    struct job j;
    struct seen shared;
    copies_open(&c);
    job_init(&j, &c, NULL, 0);
    j.copy.query.statement = &world_insert;
    pg_lease_copy(&c.h.lease, &j.copy);
    world_run(&c.w, WORLD_MS);
    expect_ended(&j, PG_E_PARAMETER, "");
    assert_int_equal(j.copy.query.sent, PG_SENT_NO);
    job_init(&j, &c, "OUT 1", 0);
    struct seen next;
    seen_init(&next, &world_echo, 1);
    j.copy.query.next = &next.query;
    pg_lease_copy(&c.h.lease, &j.copy);
    world_run(&c.w, WORLD_MS);
    expect_ended(&j, PG_E_PARAMETER, "");
    assert_int_equal(next.status, PG_E_BATCH);
    seen_sql(&shared, "  copy t from stdin");
    pg_pool_query(c.w.pool, &shared.query);
    world_run(&c.w, WORLD_MS);
    assert_int_equal(shared.status, PG_E_NEEDS_LEASE);
    expect_serves(&c);
    copies_close(&c);
}

/* failures 23: a COPY that nobody asked for ends its connection, and says what it should have been. */
static void a_query_that_copies_breaks_its_connection(void **state)
{
    (void)state;
    static const char *const sql[] = { "IN", "OUT 10" };
    for (size_t i = 0; i < RP_COUNT(sql); i++)
        for (unsigned flags = 0; flags <= PG_QUERY_SIMPLE; flags += PG_QUERY_SIMPLE) {
            struct copies c;
            struct seen s;
            copies_open(&c);
            seen_sql(&s, sql[i]);
            s.query.flags = (uint16_t)flags;
            pg_lease_query(&c.h.lease, &s.query);
            world_run(&c.w, WORLD_SECOND);
            assert_int_equal(s.done, 1);
            assert_int_equal(s.status, PG_E_PROTOCOL);
            assert_non_null(strstr(pg_error_field(&s.error, 'M'), "pg_lease_copy"));
            pg_lease_release(&c.h.lease);
            copies_close(&c);
        }
}

static struct job ending;
static void write_behind_the_end(void *arg)
{
    (void)arg;
    pg_copy_finish(&ending.copy, NULL);
    (void)!pg_copy_write(&ending.copy, "more", 4);
}
static void start_twice(void *arg)
{
    (void)arg;
    pg_lease_copy(&ending.c->h.lease, &ending.copy);
}
static void misuse_is_caught(void **state)
{
    (void)state;
    struct copies c;
    copies_open(&c);
    job_start(&ending, &c, "IN delay", 5);
    assert_int_equal(signal_of(write_behind_the_end, NULL), SIGABRT);
    assert_int_equal(signal_of(start_twice, NULL), SIGABRT);
    copies_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(out_comes_line_by_line),
        cmocka_unit_test(out_is_worth_a_longer_wait),
        cmocka_unit_test(out_pauses),
        cmocka_unit_test(a_complaint_stays_with_its_row),
        cmocka_unit_test(out_is_stopped),
        cmocka_unit_test(out_fails_half_way),
        cmocka_unit_test(out_in_pieces),
        cmocka_unit_test(in_flows_through_a_bounded_buffer),
        cmocka_unit_test(in_waits_for_a_slow_server),
        cmocka_unit_test(both_buffers_full_is_no_deadlock),
        cmocka_unit_test(in_is_refused_half_way),
        cmocka_unit_test(in_fails_at_its_end),
        cmocka_unit_test(the_caller_fails_it),
        cmocka_unit_test(the_end_is_said_before_the_beginning),
        cmocka_unit_test(it_stands_alone_in_the_pipeline),
        cmocka_unit_test(a_failed_transaction_refuses_it),
        cmocka_unit_test(no_copy_at_all),
        cmocka_unit_test(what_cannot_be_sent_is_refused),
        cmocka_unit_test(a_query_that_copies_breaks_its_connection),
        cmocka_unit_test(misuse_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
