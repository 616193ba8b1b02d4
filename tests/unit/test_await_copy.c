/* unit/test_await_copy.c - COPY in straight code: written and read by fibers, with every way to lose it meanwhile. */
#include "copies.h"
#include "conn/copy.h"

enum { LINES = 20000 };

struct reader {
    struct copies *c;
    struct pg_fiber fiber;
    struct job j; /* for its counts; its callbacks are not used */
    size_t piece, stop_after, reads;
    uint64_t nap_every;
    int64_t rc;
    int outcome;
    bool ended;
};

static void begin(struct reader *r, struct copies *c, void (*body)(void *), const char *sql)
{
    memset(r, 0, sizeof *r);
    r->c = c;
    r->j = (struct job){ .c = c };
    r->j.copy.query = (struct pg_query){ .sql = sql, .error = &r->j.error };
    r->rc = r->outcome = 12345;
    assert_int_equal(pg_fiber_spawn(c->w.reactor, body, r, &r->fiber), 0);
}

static int sleep_ms(struct copies *c, uint64_t ms)
{
    return pg_await_sleep(pg_reactor_now(c->w.reactor) + ms * (uint64_t)WORLD_MS);
}

static void end(struct reader *r)
{
    r->outcome = pg_await(&r->j.copy.query);
    assert_null(rp_query(&r->j.copy.query)->waker);
    r->ended = true;
}

/* ---- reading ---- */

static void read_all(void *arg)
{
    struct reader *r = arg;
    char into[4096];
    r->j.copy.on_data = pg_copy_pull;
    pg_lease_copy(&r->c->h.lease, &r->j.copy);
    while ((r->rc = pg_await_copy_read(&r->j.copy, into, r->piece ? r->piece : sizeof into)) > 0) {
        take(&r->j, into, (size_t)r->rc);
        r->reads++;
        if (r->stop_after && r->reads == r->stop_after) break;
        if (r->nap_every && r->reads % r->nap_every == 0 && sleep_ms(r->c, 1)) break;
    }
    end(r);
}

static void lines_are_read(void **state)
{
    (void)state;
    static const size_t pieces[] = { 0, 1, 3, 50 };
    for (size_t i = 0; i < RP_COUNT(pieces); i++)
        for (uint64_t nap_every = 0; nap_every <= 701; nap_every += 701) {
            struct copies c;
            struct reader r;
            copies_open(&c);
            begin(&r, &c, read_all, "OUT 2000 slow");
            r.piece = pieces[i];
            r.nap_every = nap_every;
            world_run(&c.w, 500 * WORLD_SECOND);
            assert_true(r.ended);
            assert_int_equal(r.rc, 0);
            assert_int_equal(r.outcome, 0);
            assert_int_equal(r.j.lines, 2000);
            assert_false(r.j.wrong);
            if (!pieces[i]) assert_int_equal(r.reads, 2000);
            expect_serves(&c);
            copies_close(&c);
        }
}

/* What nobody has read is dropped by awaiting the outcome. */
static void the_rest_is_not_read(void **state)
{
    (void)state;
    struct copies c;
    struct reader r;
    copies_open(&c);
    begin(&r, &c, read_all, "OUT 2000");
    r.stop_after = 5;
    r.piece = 2;
    world_run(&c.w, WORLD_SECOND);
    assert_true(r.ended);
    assert_int_equal(r.outcome, 0);
    assert_int_equal(r.j.copy.query.rows, 2000);
    copies_close(&c);
}

static void a_failure_is_read_as_one(void **state)
{
    (void)state;
    struct copies c;
    struct reader r;
    copies_open(&c);
    begin(&r, &c, read_all, "OUT 100 refuse");
    world_run(&c.w, WORLD_SECOND);
    assert_int_equal(r.rc, PG_E_SERVER);
    assert_int_equal(r.outcome, PG_E_SERVER);
    assert_string_equal(r.j.copy.query.sqlstate, "22012");
    assert_int_equal(r.j.lines, 100);
    copies_close(&c);
}

/* The rest of a chunk dies with its connection. */
static void the_connection_is_lost_between_two_reads(void **state)
{
    (void)state;
    struct copies c;
    struct reader r;
    copies_open(&c);
    begin(&r, &c, read_all, "OUT 200 slow");
    r.piece = 1;
    r.nap_every = 10;
    world_run(&c.w, 20 * WORLD_MS);
    model_conn_end(model_conn_at(c.w.server, 0), MODEL_END_RESET, NULL);
    world_run(&c.w, 200 * WORLD_SECOND);
    assert_true(r.ended);
    assert_int_equal(r.rc, PG_E_LOST);
    assert_false(r.j.wrong);
    copies_close(&c);
}

/* ---- writing ---- */

static void write_all(void *arg)
{
    struct reader *r = arg;
    char line[128];
    pg_lease_copy(&r->c->h.lease, &r->j.copy);
    for (r->rc = 0; r->rc == 0 && r->j.lines < LINES; r->j.lines++)
        r->rc = pg_await_copy_write(&r->j.copy, line, line_of(line, r->j.lines + 1));
    if (r->rc == 0) pg_copy_finish(&r->j.copy, NULL);
    end(r);
}

static void lines_are_written(void **state)
{
    (void)state;
    struct copies c;
    struct reader r;
    copies_open(&c);
    begin(&r, &c, write_all, "IN");
    world_run(&c.w, 10 * WORLD_SECOND);
    assert_true(r.ended);
    assert_int_equal(r.outcome, 0);
    assert_int_equal(r.j.copy.query.rows, LINES);
    assert_int_equal(c.received.lines, LINES);
    assert_false(c.received.wrong);
    expect_serves(&c);
    copies_close(&c);
}

/* One write that is larger than all buffers together. */
static char large[1 << 20];
static void write_much(void *arg)
{
    struct reader *r = arg;
    memset(large, 'x', sizeof large);
    pg_lease_copy(&r->c->h.lease, &r->j.copy);
    r->rc = pg_await_copy_write(&r->j.copy, large, sizeof large);
    pg_copy_finish(&r->j.copy, NULL);
    end(r);
}
static size_t arrived;
static void count_bytes(void *arg, struct model_query *q, const uint8_t *at, size_t n)
{
    (void)arg, (void)q, (void)at;
    arrived = n;
}
static void one_write_of_a_megabyte(void **state)
{
    (void)state;
    struct copies c;
    struct reader r;
    copies_open(&c);
    model_settings(c.w.server)->copied = count_bytes;
    begin(&r, &c, write_much, "IN");
    world_run(&c.w, 10 * WORLD_SECOND);
    assert_int_equal(r.rc, 0);
    assert_int_equal(r.outcome, 0);
    assert_int_equal(arrived, sizeof large);
    copies_close(&c);
}

static void a_refusal_ends_the_writing(void **state)
{
    (void)state;
    struct copies c;
    struct reader r;
    copies_open(&c);
    begin(&r, &c, write_all, "IN refuse");
    world_run(&c.w, 10 * WORLD_SECOND);
    assert_int_equal(r.rc, PG_E_SERVER);
    assert_true(r.j.lines < LINES);
    assert_string_equal(r.j.copy.query.sqlstate, "23505");
    expect_serves(&c);
    copies_close(&c);
}

/* Room that somebody awaited once does not wake who awaits the outcome. */
static void write_and_await(void *arg)
{
    struct reader *r = arg;
    pg_lease_copy(&r->c->h.lease, &r->j.copy);
    r->rc = pg_await_copy_write(&r->j.copy, "", 0);
    if (sleep_ms(r->c, 5)) return;
    assert_int_equal(pg_copy_direction(&r->j.copy), PG_COPY_IN);
    while (pg_copy_write(&r->j.copy, large, sizeof large) == sizeof large) continue; /* short: room is wanted */
    pg_copy_finish(&r->j.copy, "enough");
    end(r);
}
static void room_does_not_wake_who_awaits_the_outcome(void **state)
{
    (void)state;
    struct copies c;
    struct reader r;
    copies_open(&c);
    begin(&r, &c, write_and_await, "IN");
    world_run(&c.w, 10 * WORLD_SECOND);
    assert_true(r.ended);
    assert_int_equal(r.outcome, PG_E_CANCELLED);
    copies_close(&c);
}

/* ---- cancelled ---- */

static void a_cancelled_fiber_abandons_it(void **state)
{
    (void)state;
    static const struct { void (*body)(void *); const char *sql; } cases[] = {
        { write_all, "IN drowsy" },
        { write_all, "IN delay" },
        { read_all, "OUT 2000 slow" },
        { read_all, "OUT 10 delay" },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        struct copies c;
        struct reader r;
        copies_open(&c);
        model_settings(c.w.server)->unread_limit = 1 << 20; /* so that a slow server takes no more */
        begin(&r, &c, cases[i].body, cases[i].sql);
        world_run(&c.w, 20 * WORLD_MS);
        assert_false(r.ended);
        pg_fiber_cancel(r.fiber);
        world_run(&c.w, WORLD_MS);
        assert_true(r.ended);
        assert_int_equal(r.rc, PG_E_CANCELLED);
        world_run(&c.w, WORLD_SECOND);
        assert_int_equal(c.received.times, 0);
        expect_serves(&c);
        copies_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_read),
        cmocka_unit_test(the_rest_is_not_read),
        cmocka_unit_test(a_failure_is_read_as_one),
        cmocka_unit_test(the_connection_is_lost_between_two_reads),
        cmocka_unit_test(lines_are_written),
        cmocka_unit_test(one_write_of_a_megabyte),
        cmocka_unit_test(a_refusal_ends_the_writing),
        cmocka_unit_test(room_does_not_wake_who_awaits_the_outcome),
        cmocka_unit_test(a_cancelled_fiber_abandons_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
