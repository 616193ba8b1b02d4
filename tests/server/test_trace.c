/* server/test_trace.c - the wire trace beside libpq's PQtrace: the same statements over one connection each, and what
 * is told of them is equal, line for line. What differs between the two libraries is left out: their starts, how many
 * CopyData a COPY is cut into, and what ringpg does with statements that it prepares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/live.h"
#ifdef RINGPG_TEST_LIBPQ
#include <libpq-fe.h>

static struct live live;

struct text { char *at; size_t size; };

static void keep(void *arg, uint64_t connection, const char *text, size_t size)
{
    struct text *t = arg;
    assert_int_equal(connection, 1);
    t->at = realloc(t->at, t->size + size + 1);
    assert_non_null(t->at);
    memcpy(t->at + t->size, text, size);
    t->at[t->size += size] = 0;
}

/* ---- what is said ---- */

struct step { const char *sql, *param; bool simple, copies_in, copies_out, fails; };
static const struct step steps[] = {
    { .sql = "SELECT 1", .simple = true },
    { .sql = "SELECT 1; SELECT 'two', NULL::int4; SELECT WHERE false", .simple = true },
    { .sql = "", .simple = true },
    { .sql = "SET application_name = 'traced'", .simple = true },
    { .sql = "SET TimeZone = 'Asia/Tokyo'", .simple = true },
    { .sql = "DO $$ BEGIN RAISE NOTICE 'be warned' USING HINT = 'not much'; END $$", .simple = true },
    { .sql = "SELECT no_such_column", .simple = true, .fails = true },
    { .sql = "CREATE TEMP TABLE traced (id int4 PRIMARY KEY, note text)", .simple = true },
    { .sql = "COPY traced FROM STDIN", .simple = true, .copies_in = true },
    { .sql = "COPY traced TO STDOUT", .simple = true, .copies_out = true },
    { .sql = "SELECT id, note FROM traced" },
    { .sql = "SELECT 1::int8, 2.5::float8, NULL::text, 'text', E'\\\\x00ff20'::bytea, true" },
    { .sql = "SELECT 'ä', E'a\\nb\\'c'" },
    { .sql = "SELECT $1::text || '!'", .param = "value" },
    { .sql = "SELECT $1::text", .param = NULL },
    { .sql = "INSERT INTO traced VALUES (1, $1)", .param = "again", .fails = true },
    { .sql = "SELECT 1/0", .fails = true },
    { .sql = "SYNTAX", .fails = true },
    { .sql = "BEGIN" },
    { .sql = "INSERT INTO traced SELECT n, repeat('x', 300) FROM generate_series(10, 400) n" },
    { .sql = "SELECT * FROM traced" },
    { .sql = "LISTEN heard" },
    { .sql = "NOTIFY heard, 'payload'" },
    { .sql = "COMMIT" },
    { .sql = "SELECT 1", .simple = true },
};
static const char rows[] = "1\tone\n2\ttwo\n3\t\\N\n";
enum { STEPS = sizeof steps / sizeof *steps };

/* "SELECT $1::text" with NULL still has a parameter. */
static bool has_param(const struct step *s) { return strchr(s->sql, '$') && strstr(s->sql, "$1"); }

/* ---- by libpq ---- */

static void libpq_step(PGconn *conn, const struct step *s)
{
    static const Oid text = 25;
    if (s->simple) assert_true(PQsendQuery(conn, s->sql));
    else assert_true(PQsendQueryParams(conn, s->sql, has_param(s), &text, &s->param, NULL, NULL, 1));
    PGresult *result;
    bool failed = false;
    char *row;
    while ((result = PQgetResult(conn)) != NULL) {
        ExecStatusType status = PQresultStatus(result);
        failed |= status == PGRES_FATAL_ERROR;
        PQclear(result);
        if (status == PGRES_COPY_IN) {
            assert_int_equal(PQputCopyData(conn, rows, sizeof rows - 1), 1);
            assert_int_equal(PQputCopyEnd(conn, NULL), 1);
        } else if (status == PGRES_COPY_OUT) {
            while (PQgetCopyData(conn, &row, 0) > 0) PQfreemem(row);
        }
    }
    if (failed != s->fails) fail_msg("libpq, %s: %s", s->sql, PQerrorMessage(conn));
}

static void silent(void *arg, const char *message) { (void)arg, (void)message; }

static struct text by_libpq(void)
{
    struct text t = { 0 };
    PGconn *conn = PQconnectdb(live_env("DATABASE_URL"));
    FILE *file = open_memstream(&t.at, &t.size);
    assert_non_null(file);
    if (PQstatus(conn) != CONNECTION_OK) fail_msg("%s", PQerrorMessage(conn));
    PQsetNoticeProcessor(conn, silent, NULL);
    PQtrace(conn, file);
    PQsetTraceFlags(conn, PQTRACE_SUPPRESS_TIMESTAMPS | PQTRACE_REGRESS_MODE);
    for (int i = 0; i < STEPS; i++) libpq_step(conn, &steps[i]);
    PQuntrace(conn);
    PQfinish(conn);
    assert_int_equal(fclose(file), 0);
    return t;
}

/* ---- by ringpg ---- */

static void write_rows(struct pg_copy *copy)
{
    assert_int_equal(pg_copy_write(copy, rows, sizeof rows - 1), sizeof rows - 1);
    pg_copy_finish(copy, NULL);
}
static void ended(struct pg_query *q) { *(bool *)q->data = true; }
static bool is_true(void *arg) { return *(bool *)arg; }

static void ringpg_step(struct pg_lease *lease, const struct step *s)
{
    struct pg_error error = { 0 };
    bool done = false;
    struct pg_param param = s->param ? pg_str(s->param) : pg_null();
    struct pg_query q = { .sql = s->sql, .error = &error, .flags = s->simple ? PG_QUERY_SIMPLE : 0, .on_done = ended,
                          .data = &done };
    if (has_param(s)) q.params = &param, q.nparams = 1;
    struct pg_copy copy = { .query = q, .on_writable = write_rows };
    if (s->copies_in || s->copies_out) pg_lease_copy(lease, &copy);
    else pg_lease_query(lease, &q);
    assert_true(live_until(&live, is_true, &done));
    if ((error.code != 0) != s->fails) fail_msg("ringpg, %s: %s", s->sql, pg_error_field(&error, 'M'));
}

/* Until the pool is closed `t` grows. */
static void by_ringpg(const char *options, struct text *t)
{
    struct pg_pool_config config = PG_POOL_CONFIG(NULL);
    struct pg_lease lease = { 0 };
    config.trace = keep;
    config.arg = t;
    struct pg_pool *pool = live_pool_with(&live, &config, NULL, options);
    assert_int_equal(live_acquire(&live, pool, &lease), 0);
    for (int i = 0; i < STEPS; i++) ringpg_step(&lease, &steps[i]);
    pg_lease_release(&lease);
}

/* ---- side by side ---- */

/* The next line that counts, without its end; NULL: there is none. */
static const char *next(char **at)
{
    for (;;) {
        char *line = *at, *end = line ? strchr(line, '\n') : NULL;
        if (!end) return NULL;
        *end = 0;
        *at = end + 1;
        /* Of these libpq before 17 leaves out the name, and says that it did not read them. */
        bool copied = strstr(line, "\tCopyData") || strncmp(line, "mismatched message length", 25) == 0;
        size_t head = strlen(line) > 2 ? strcspn(line + 2, "\t") + 2 : 0;
        bool nameless = head && line[head] == '\t' && !line[head + 1];
        if (!copied && !nameless) return line;
    }
}

/* The one number in these lines that is not the conversation's: which of the server's places the session has. */
static void mask(char *text)
{
    for (char *at = text; (at = strstr(at, "pg_temp_")) != NULL;) {
        at += strlen("pg_temp_");
        size_t digits = strspn(at, "0123456789");
        if (digits == 0) continue;
        *at = 'N';
        memmove(at + 1, at + digits, strlen(at + digits) + 1);
    }
}

static void compare(struct text theirs, struct text ours)
{
    char *a = theirs.at, *b = strstr(ours.at, "\tReadyForQuery\t I\n"); /* behind the start */
    size_t lines = 0;
    assert_non_null(b);
    mask(a);
    mask(b);
    b = strchr(b, '\n') + 1;
    for (const char *want = next(&a); want; want = next(&a), lines++) {
        const char *got = next(&b);
        if (!got || strcmp(want, got)) fail_msg("line %zu\nlibpq:  %s\nringpg: %s", lines, want, got ? got : "(none)");
    }
    assert_true(lines > 400);
    free(theirs.at);
    free(ours.at);
}

static void as_libpq_does(void **state)
{
    (void)state;
    for (int host = LIVE_URING; host <= LIVE_EPOLL; host++) {
        if (!live_open(&live, (enum live_host)host)) continue;
        struct text ours = { 0 };
        by_ringpg("pool_max_conns=1", &ours);
        live_close(&live);
        compare(by_libpq(), ours);
    }
}

/* However it comes in, the password is not told, nor what is made of it. */
static void secrets(void **state)
{
    (void)state;
    static const struct { const char *user, *asked, *said; } table[] = {
        { "plain_user", "\tAuthenticationCleartextPassword\n", "\tPasswordMessage\t BBBB\n" },
        { "md5_user", "\tAuthenticationMD5Password\t BBBB\n", "\tPasswordMessage\t BBBB\n" },
        { "scram_user", "\tAuthenticationSASLContinue\t BBBB\n", "\tSASLInitialResponse\t \"SCRAM-SHA-256\" BBBB\n" },
    };
    const char *password = live_env("RINGPG_TEST_PASSWORD");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct text t = { 0 };
        char options[300];
        struct pg_pool_config config = PG_POOL_CONFIG(NULL);
        struct pg_query q = { .sql = "SELECT 1" };
        config.trace = keep;
        config.arg = &t;
        snprintf(options, sizeof options, "host=%s port=%s user=%s password=%s dbname=postgres",
                 live_env("RINGPG_TEST_SOCKET_DIR"), live_env("RINGPG_TEST_PORT"), table[i].user, password);
        assert_true(live_open(&live, LIVE_EPOLL));
        struct pg_pool *pool = live_pool_with(&live, &config, options, "pool_max_conns=1");
        assert_int_equal(live_query(&live, pool, NULL, &q), 0);
        live_close(&live);
        assert_true(strstr(t.at, "\tStartupMessage\t 3 0 \"user\" \"") ||
                    strstr(t.at, "\tStartupMessage\t 3 2 \"user\" \"")); /* PGMAXPROTOCOLVERSION=latest */
        if (!strstr(t.at, table[i].asked) || !strstr(t.at, table[i].said)) fail_msg("%s", t.at);
        assert_non_null(strstr(t.at, "\tBackendKeyData\t NNNN"));
        assert_non_null(strstr(t.at, "F\t4\tTerminate\n"));
        assert_null(strstr(t.at, password));
        assert_null(strstr(t.at, "\tmd5"));
        assert_null(strstr(t.at, "n,,"));
        assert_null(strstr(t.at, "r="));
        free(t.at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(as_libpq_does), cmocka_unit_test(secrets) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void)
{
    puts("skipped: tests/server/test_trace: libpq is not installed");
    return 77;
}
#endif
