/* server/test_copy.c - COPY with a real PostgreSQL, on both hosts: a million rows out and in, binary from one table to
 * another, refusals, CopyFail, cancel, and a connection that is good afterwards. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/live.h"

static struct live live;
static struct pg_pool *pool;
static struct pg_lease lease;
static uint64_t many = 1000000;

static void run_sql(const char *sql)
{
    struct pg_error error = { 0 };
    struct pg_query q = { .sql = sql, .flags = PG_QUERY_SIMPLE, .error = &error };
    if (live_query(&live, NULL, &lease, &q)) fail_msg("%s: %s", sql, pg_error_field(&error, 'M'));
}
static enum pg_flow take_int8(struct pg_query *q, struct pg_row *row)
{
    *(int64_t *)q->data = pg_row_int8(row, 0);
    return PG_CONTINUE;
}
static int64_t ask(const char *sql)
{
    int64_t value = -1;
    struct pg_query q = { .sql = sql, .on_row = take_int8, .data = &value };
    assert_int_equal(live_query(&live, NULL, &lease, &q), 0);
    return value;
}

static void open_on(const char *url)
{
    pool = live_pool(&live, url, "pool_max_conns=2 pool_close_linger=20s");
    lease = (struct pg_lease){ .tag = PG_HERE };
    assert_int_equal(live_acquire(&live, pool, &lease), 0);
    run_sql("SET client_min_messages = error; CREATE TEMP TABLE a (n int8 PRIMARY KEY, t text, f float8);"
            "CREATE TEMP TABLE b (LIKE a INCLUDING ALL)");
}
static int open_uring(void **state)
{
    (void)state;
    if (!live_open(&live, LIVE_URING)) return -1;
    open_on(NULL);
    return 0;
}
static int open_epoll(void **state)
{
    (void)state;
    live_open(&live, LIVE_EPOLL);
    open_on(live_env("RINGPG_TEST_TCP_URL"));
    return 0;
}
static int close_live(void **state)
{
    (void)state;
    pg_lease_abandon(&lease);
    live_close(&live);
    return 0;
}
static int empty_tables(void **state)
{
    (void)state;
    run_sql("TRUNCATE a, b");
    return 0;
}

/* ---- one COPY ---- */

struct job {
    struct pg_copy copy;
    struct pg_error error;
    uint64_t lines, most, bad_at;
    size_t offset, bytes;
    unsigned done, chunks, writable;
    uint64_t hash;
    char *kept;       /* what came out, for what goes in; or NULL */
    size_t capacity;
    const char *failure;
    bool hangs;
};

static size_t line_of(const struct job *j, char out[128], uint64_t n)
{
    uint64_t key = n == j->bad_at ? 1 : n; /* a duplicate */
    return (size_t)snprintf(out, 128, "%llu\trow %llu\t%llu.5\n", (unsigned long long)key, (unsigned long long)n,
                            (unsigned long long)n);
}
static void write_lines(struct pg_copy *copy)
{
    struct job *j = copy->query.data;
    char line[128];
    j->writable++;
    while (j->lines < j->most) {
        size_t size = line_of(j, line, j->lines + 1);
        j->offset += pg_copy_write(copy, line + j->offset, size - j->offset);
        if (j->offset < size) return;
        j->offset = 0;
        j->lines++;
    }
    if (!j->hangs) pg_copy_finish(copy, j->failure);
}
static void write_kept(struct pg_copy *copy)
{
    struct job *j = copy->query.data;
    j->writable++;
    j->offset += pg_copy_write(copy, j->kept + j->offset, j->bytes - j->offset);
    if (j->offset == j->bytes) pg_copy_finish(copy, NULL);
}
static enum pg_flow take(struct pg_copy *copy, struct pg_text chunk)
{
    struct job *j = copy->query.data;
    j->chunks++;
    for (size_t i = 0; i < chunk.size; i++) j->hash = (j->hash ^ (uint8_t)chunk.data[i]) * UINT64_C(0x100000001b3);
    if (j->capacity) {
        assert_true(j->bytes + chunk.size <= j->capacity);
        memcpy(j->kept + j->bytes, chunk.data, chunk.size);
    }
    j->bytes += chunk.size;
    return j->most && j->chunks == j->most ? PG_STOP : PG_CONTINUE;
}
static void note(struct pg_query *q) { ((struct job *)q->data)->done++; }
static bool is_done(void *arg) { return ((struct job *)arg)->done > 0; }
static bool begun(void *arg) { return ((struct job *)arg)->writable > 0; }

static void start(struct job *j, const char *sql)
{
    j->copy.query = (struct pg_query){ .sql = sql, .on_done = note, .error = &j->error, .data = j };
    if (!j->copy.on_writable) j->copy.on_writable = write_lines;
    j->copy.on_data = take;
    pg_lease_copy(&lease, &j->copy);
}
static int run(struct job *j, const char *sql)
{
    start(j, sql);
    assert_true(live_until(&live, is_done, j));
    assert_int_equal(j->done, 1);
    return j->copy.query.status;
}

/* ---- that it works, and how it fails ---- */

static void a_million_rows_in_and_out(void **state)
{
    (void)state;
    struct job in = { .most = many }, out = { .hash = 1 };
    uint64_t hash = 1;
    char line[128];
    assert_int_equal(run(&in, "COPY a FROM STDIN"), 0);
    assert_int_equal(in.copy.query.rows, many);
    assert_int_equal(pg_copy_columns(&in.copy), 3);
    assert_false(pg_copy_binary(&in.copy, 2));
    assert_int_equal(ask("SELECT sum(n)::int8 FROM a"), many * (many + 1) / 2);
    assert_int_equal(run(&out, "COPY (SELECT * FROM a ORDER BY n) TO STDOUT"), 0);
    assert_int_equal(out.copy.query.rows, many);
    assert_int_equal(out.chunks, many); /* a message for each row */
    for (uint64_t n = 1; n <= many; n++)
        for (size_t i = 0, size = line_of(&in, line, n); i < size; i++)
            hash = (hash ^ (uint8_t)line[i]) * UINT64_C(0x100000001b3);
    assert_true(out.hash == hash);
}

static void round_trip(const char *out_sql, const char *in_sql, bool binary)
{
    enum { CAPACITY = 8 << 20 };
    struct job out = { .kept = malloc(CAPACITY), .capacity = CAPACITY };
    assert_non_null(out.kept);
    run_sql("INSERT INTO a SELECT n, CASE WHEN n % 7 = 0 THEN NULL ELSE repeat(chr((65 + n % 26)::int), (n % 90)::int)"
            " || E'\\\\ \\t\\n' END, n / 7.0 FROM generate_series(1, 20000) n;"
            "INSERT INTO a VALUES (0, repeat('long', 100000), 'Infinity')");
    assert_int_equal(run(&out, out_sql), 0);
    assert_int_equal(out.copy.query.rows, 20001);
    assert_int_equal(pg_copy_binary(&out.copy, 1), binary);
    struct job in = { .kept = out.kept, .bytes = out.bytes, .copy.on_writable = write_kept };
    assert_int_equal(run(&in, in_sql), 0);
    assert_int_equal(in.copy.query.rows, 20001);
    assert_int_equal(pg_copy_binary(&in.copy, 1), binary);
    assert_int_equal(ask("SELECT count(*) FROM ((TABLE a EXCEPT TABLE b) UNION ALL (TABLE b EXCEPT TABLE a)) x"), 0);
    free(out.kept);
}
static void text_from_table_to_table(void **state)
{
    (void)state;
    round_trip("COPY a TO STDOUT", "COPY b FROM STDIN", false);
}
static void binary_from_table_to_table(void **state)
{
    (void)state;
    round_trip("COPY a TO STDOUT (FORMAT binary)", "COPY b FROM STDIN (FORMAT binary)", true);
}

static void a_violation_half_way(void **state)
{
    (void)state;
    struct job in = { .most = many, .bad_at = many / 2 };
    int64_t pid = ask("SELECT pg_backend_pid()");
    assert_int_equal(run(&in, "COPY a FROM STDIN"), PG_E_SERVER);
    assert_string_equal(in.copy.query.sqlstate, "23505");
    assert_int_equal(in.copy.query.sent, PG_SENT_YES);
    assert_int_equal(ask("SELECT count(*) FROM a"), 0);
    assert_int_equal(ask("SELECT pg_backend_pid()"), pid);
    struct job bad = { .most = 10 };
    assert_int_equal(run(&bad, "COPY no_such_table FROM STDIN"), PG_E_SERVER);
    assert_string_equal(bad.copy.query.sqlstate, "42P01");
    assert_int_equal(bad.writable, 0);
}

static void the_caller_fails_it(void **state)
{
    (void)state;
    struct job in = { .most = 50000, .failure = "the upload was cut off" };
    assert_int_equal(run(&in, "COPY a FROM STDIN"), PG_E_CANCELLED);
    assert_string_equal(in.copy.query.sqlstate, "57014");
    assert_non_null(strstr(pg_error_field(&in.error, 'M'), "the upload was cut off"));
    assert_int_equal(ask("SELECT count(*) FROM a"), 0);
}

/* Nothing is under way that the server could be asked to stop: it waits for data. */
static void a_copy_in_is_cancelled(void **state)
{
    (void)state;
    int64_t pid = ask("SELECT pg_backend_pid()");
    struct job in = { .most = 100, .hangs = true };
    start(&in, "COPY a FROM STDIN");
    assert_true(live_until(&live, begun, &in));
    pg_query_cancel(&in.copy.query);
    assert_true(live_until(&live, is_done, &in));
    assert_int_equal(in.copy.query.status, PG_E_CANCELLED);
    struct job late = { .most = 100, .hangs = true };
    start(&late, "COPY a FROM STDIN");
    assert_true(live_until(&live, begun, &late));
    pg_query_abandon(&late.copy.query);
    assert_int_equal(ask("SELECT count(*) FROM a"), 0);
    assert_int_equal(ask("SELECT pg_backend_pid()"), pid);
    assert_int_equal(late.done, 0);
}

static void a_copy_out_is_stopped(void **state)
{
    (void)state;
    int64_t pid = ask("SELECT pg_backend_pid()");
    struct job out = { .most = 1000 }; /* of more than anybody would wait for */
    assert_int_equal(run(&out, "COPY (SELECT generate_series(1, 1000000000000)) TO STDOUT"), PG_E_CANCELLED);
    assert_int_equal(out.chunks, 1000);
    assert_int_equal(ask("SELECT pg_backend_pid()"), pid);
}

/* It is one of several requests that were started at once, within a transaction. */
static void in_a_pipeline(void **state)
{
    (void)state;
    struct pg_query begin = { .statement = &pg_begin }, commit = { .statement = &pg_commit };
    struct job in = { .most = 1000 }, out = { .hash = 1 };
    pg_lease_query(&lease, &begin);
    start(&in, "COPY a FROM STDIN");
    start(&out, "COPY a TO STDOUT");
    assert_int_equal(live_query(&live, NULL, &lease, &commit), 0);
    assert_int_equal(in.copy.query.status, 0);
    assert_int_equal(out.copy.query.status, 0);
    assert_int_equal(out.chunks, 1000);
    assert_int_equal(pg_lease_transaction(&lease), 'I');
    assert_int_equal(ask("SELECT count(*) FROM a"), 1000);
}

int main(void)
{
    if (getenv("RINGPG_QUICK")) many = 200000;
#define TEST(name) cmocka_unit_test_setup(name, empty_tables)
    const struct CMUnitTest tests[] = {
        TEST(a_million_rows_in_and_out), TEST(text_from_table_to_table), TEST(binary_from_table_to_table),
        TEST(a_violation_half_way),      TEST(the_caller_fails_it),      TEST(a_copy_in_is_cancelled),
        TEST(a_copy_out_is_stopped),     TEST(in_a_pipeline),
    };
    int failed = cmocka_run_group_tests_name("uring", tests, open_uring, close_live);
    return failed + cmocka_run_group_tests_name("epoll", tests, open_epoll, close_live);
}
