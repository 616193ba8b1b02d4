/* server/test_libpq.c - a few thousand statements of every kind through libpq and through ringpg on the same server:
 * equal columns, values, command tags, SQLSTATE, fields of errors, notices. Each side has a session and a schema of its
 * own, so that both see the same things happen. libpq is this test's oracle alone.
 *
 * What the server itself says differently in two sessions is not compared: OIDs of tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/live.h"

#ifndef RINGPG_TEST_LIBPQ
int main(void)
{
    puts("skipped: server/test_libpq: libpq was not there when this was built");
    return 77;
}
#else
#include <libpq-fe.h>

enum { STATEMENTS = 4000, SAID = 1 << 16 };

/* What one side has to say of a statement, as text to be compared and read. */
struct account {
    char at[SAID];
    size_t n;
};
static struct account theirs, ours;
static char notices[2][4096];

static void say(struct account *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct account *a, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(a->at + a->n, sizeof a->at - a->n, format, list);
    va_end(list);
    if (n > 0) a->n += (size_t)n < sizeof a->at - a->n ? (size_t)n : sizeof a->at - a->n - 1;
}
static void say_bytes(struct account *a, const void *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = ((const unsigned char *)at)[i];
        say(a, c >= ' ' && c < 127 ? "%c" : "\\%02x", c);
    }
}

/* ---- libpq ---- */

static PGconn *libpq;
static const char fields[] = "VCMDHPpqWstcdnFLR";

/* A block that failed refuses the Bind of a statement that is prepared already, and the Parse of one that is not: two
 * places in the server. */
static bool is_said(char field, const char *value, const char *sqlstate)
{
    return value && *value && (strcmp(sqlstate, "25P02") || !strchr("LR", field));
}

static void on_notice_side_1(void *arg, const PGresult *r)
{
    (void)arg;
    size_t n = strlen(notices[0]);
    snprintf(notices[0] + n, sizeof notices[0] - n, "[%s %s %s]", PQresultErrorField(r, 'V'),
             PQresultErrorField(r, 'C'), PQresultErrorField(r, 'M'));
}

static void say_result(const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    for (int c = 0; c < PQnfields(r); c++)
        say(&theirs, "%s:%u:%d:%d ", PQfname(r, c), PQftype(r, c), PQfmod(r, c), PQftablecol(r, c));
    for (int row = 0; row < PQntuples(r); row++)
        for (int c = 0; c < PQnfields(r); c++) {
            say(&theirs, "\n%d,%d %s", row, c, PQgetisnull(r, row, c) ? "NULL" : "=");
            say_bytes(&theirs, PQgetvalue(r, row, c), (size_t)PQgetlength(r, row, c));
        }
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) {
        say(&theirs, "\ntag %s rows %s", PQcmdStatus((PGresult *)(uintptr_t)r), PQcmdTuples((PGresult *)(uintptr_t)r));
    } else if (status == PGRES_FATAL_ERROR) {
        for (const char *f = fields; *f; f++) {
            const char *value = PQresultErrorField(r, *f);
            if (is_said(*f, value, PQresultErrorField(r, 'C'))) say(&theirs, "\n%c %s", *f, value);
        }
    }
}

static void ask_libpq(const char *sql, const char *param, bool text)
{
    theirs.n = 0;
    theirs.at[0] = notices[0][0] = 0;
    PGresult *r = PQexecParams(libpq, sql, param != NULL, NULL, &param, NULL, NULL, !text);
    say_result(r);
    PQclear(r);
    say(&theirs, "\nnotices %s, in %d", notices[0], PQtransactionStatus(libpq));
}

/* ---- ringpg ---- */

static struct live live;
static struct pg_pool *pool;
static struct pg_lease lease;
static unsigned row_number;

static void on_event(void *arg, const struct pg_event *e)
{
    (void)arg;
    if (e->kind != PG_EVENT_NOTICE) return;
    size_t n = strlen(notices[1]);
    snprintf(notices[1] + n, sizeof notices[1] - n, "[%s %s %s]", pg_error_field(e->error, 'V'),
             pg_error_field(e->error, 'C'), pg_error_field(e->error, 'M'));
}

static enum pg_flow on_row(struct pg_query *q, struct pg_row *row)
{
    struct account *rows = q->data;
    for (uint32_t c = 0; c < pg_row_columns(row); c++) {
        struct pg_value v = pg_row_value(row, c);
        say(rows, "\n%u,%u %s", row_number, c, pg_is_null(v) ? "NULL" : "=");
        say_bytes(rows, v.data, v.size);
    }
    row_number++;
    return PG_CONTINUE;
}

/* As PostgreSQL writes a command tag, of which libpq keeps the text and we the word and the number. */
static void say_tag(const struct pg_query *q)
{
    static const char *const counting[] = { "SELECT", "UPDATE", "DELETE", "FETCH", "MOVE", "MERGE" };
    bool counts = false;
    for (size_t i = 0; i < sizeof counting / sizeof *counting; i++) counts = counts || !strcmp(q->tag, counting[i]);
    unsigned long long n = q->rows;
    if (!strcmp(q->tag, "INSERT"))
        say(&ours, "\ntag INSERT 0 %llu rows %llu", n, n);
    else if (counts)
        say(&ours, "\ntag %s %llu rows %llu", q->tag, n, n);
    else
        say(&ours, "\ntag %s rows ", q->tag);
}

static void ask_ringpg(const char *sql, const char *param, bool text)
{
    static struct account rows;
    struct pg_param p = pg_str(param);
    struct pg_error error;
    struct pg_query q = { .sql = sql,
                          .params = &p,
                          .nparams = param != NULL,
                          .on_row = on_row,
                          .error = &error,
                          .flags = text ? PG_QUERY_TEXT : 0,
                          .data = &rows };
    ours.n = rows.n = row_number = 0;
    ours.at[0] = rows.at[0] = notices[1][0] = 0;
    int status = live_query(&live, NULL, &lease, &q);
    if (status == PG_OK) {
        for (uint32_t c = 0; c < pg_query_columns(&q); c++) {
            struct pg_column column = pg_query_column(&q, c);
            say(&ours, "%.*s:%u:%d:%d ", (int)column.name.size, column.name.data, column.type, column.type_modifier,
                column.attribute);
        }
        say(&ours, "%s", rows.at);
        say_tag(&q);
    } else if (status == PG_E_SERVER) {
        for (const char *f = fields; *f; f++)
            if (is_said(*f, pg_error_field(&error, *f), error.sqlstate))
                say(&ours, "\n%c %s", *f, pg_error_field(&error, *f));
    } else {
        fail_msg("%s: %s", sql, pg_error_field(&error, 'M'));
    }
    char block = pg_lease_transaction(&lease);
    say(&ours, "\nnotices %s, in %d", notices[1],
        block == 'I'   ? PQTRANS_IDLE
        : block == 'T' ? PQTRANS_INTRANS
                       : PQTRANS_INERROR);
}

/* ---- statements ---- */

static uint64_t random_state = 20240229;
static unsigned pick(unsigned below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 16) % below;
}
#define ANY(list) list[pick(sizeof list / sizeof *list)]

static const char *const values[] = {
    "true",
    "NULL::bool",
    "0::int2",
    "-32768::int2",
    "2147483647",
    "NULL::int4",
    "9223372036854775807",
    "(-9223372036854775808)::int8",
    "1.5::float4",
    "'NaN'::float4",
    "0.1::float8",
    "'-Infinity'::float8",
    "1e300::float8",
    "12.340::numeric",
    "'NaN'::numeric",
    "1e-20::numeric",
    "123456789012345678901234567890.5::numeric(40,3)",
    "''::text",
    "'h\303\244llo w\303\266rld'",
    "NULL::text",
    "'x'::varchar(10)",
    "'pad'::bpchar(6)",
    "'c'::\"char\"",
    "'a_name'::name",
    "'\\x00ff10'::bytea",
    "''::bytea",
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
    "'2024-02-29'::date",
    "'infinity'::date",
    "'0044-03-15 BC'::date",
    "'23:59:59.999999'::time",
    "'12:00+05:30'::timetz",
    "'2024-02-29 12:34:56.789'::timestamp",
    "'-infinity'::timestamp",
    "'2024-02-29 12:34:56+02'::timestamptz",
    "'1 year 2 mons -3 days 04:05:06.7'::interval",
    "'{\"a\": [1, 2]}'::json",
    "'{\"b\": null}'::jsonb",
    "'192.168.0.1/24'::inet",
    "'::1'::inet",
    "'10.0.0.0/8'::cidr",
    "'08:00:2b:01:02:03'::macaddr",
    "B'10110'",
    "''::varbit",
    "4294967295::oid",
    "'{1,2,NULL}'::int4[]",
    "'{}'::text[]",
    "'[0:1][1:2]={{a,b},{c,NULL}}'::text[]",
    "'[1,10)'::int4range",
    "'empty'::int4range",
    "'(,2024-01-01]'::daterange",
    "ROW(1,'two',NULL)",
    "'pg_class'::regclass::oid",
    "'mood'::text",
    "(SELECT 'ok'::public.libpq_mood)",
    "'(1,2)'::point",
    "'<a/>'::text",
    "'a fat cat'::tsvector",
    "1::money",
};
static const char *const params[] = { "",          "7",          "abc",   "-1",    "99999999999999999999",
                                      "h\303\244", "2024-02-30", "{1,2}", "\\xzz", "0" };
static const char *const casts[] = { "int4",   "int8",  "text",   "numeric", "date",
                                     "int4[]", "bytea", "float8", "bool",    "inet" };
static const char *const fixed[] = {
    "",
    " ",
    "-- a comment",
    "SELECT",
    "SELECT 1 WHERE false",
    "SELECT 1 AS \"odd name\", 2 AS a, 3 AS a",
    "SELECT * FROM generate_series(1, 20) n",
    "SELECT n, repeat('x', n * 50) FROM generate_series(1, 12) n",
    "SELECT 1/0",
    "SELECT nothing",
    "SELECT * FROM no_such_table",
    "SELEC 1",
    "SELECT 'unfinished",
    "SELECT 1 FROM",
    "SELECT no_such_function(1)",
    "SELECT 'abc'::int4",
    "SELECT 300000::int2",
    "SELECT 1 UNION SELECT 'a'",
    "INSERT INTO item VALUES (1, 'one', 1.5)",
    "INSERT INTO item VALUES (2, NULL, 2)",
    "INSERT INTO item VALUES (3, 'three', -1)",
    "INSERT INTO item SELECT n, 'n' || n, n FROM generate_series(100, 140) n ON CONFLICT DO NOTHING",
    "INSERT INTO item VALUES (1, 'one', 1) ON CONFLICT (id) DO UPDATE SET price = item.price + 1 RETURNING *",
    "INSERT INTO part VALUES (1, 77777)",
    "INSERT INTO part SELECT 1, id FROM item LIMIT 1",
    "INSERT INTO item (nope) VALUES (1)",
    "UPDATE item SET price = price + 1 WHERE id > 120",
    "UPDATE item SET name = NULL",
    "UPDATE item SET price = -5 WHERE id = 1",
    "DELETE FROM item WHERE id BETWEEN 101 AND 105",
    "DELETE FROM part",
    "DELETE FROM item WHERE id = 1 RETURNING id, name",
    "SELECT id, name, price FROM item ORDER BY id LIMIT 15",
    "SELECT count(*), sum(price) FROM item",
    "TABLE part",
    "BEGIN",
    "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
    "COMMIT",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "RELEASE a",
    "SET TimeZone = 'UTC'",
    "SHOW TimeZone",
    "SET DateStyle = 'ISO, MDY'",
    "SET no_such_setting = 1",
    "EXPLAIN (COSTS OFF) SELECT 1",
    "DO $$ BEGIN RAISE NOTICE 'seen %', 42; RAISE WARNING 'be warned'; END $$",
    ("DO $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'U0001', DETAIL = 'a detail', HINT = 'a hint', "
     "CONSTRAINT = 'k', TABLE = 't', COLUMN = 'c', DATATYPE = 'd', SCHEMA = 's'; END $$"),
    "DO $$ BEGIN PERFORM 1/0; END $$",
    "SELECT fails(3)",
    "CREATE TABLE IF NOT EXISTS item (id int)",
    "DROP TABLE IF EXISTS nothing_here",
    "CREATE TABLE other (id int)",
    "DROP TABLE other",
    "TRUNCATE part",
    "LOCK TABLE item",
    "ANALYZE item",
    "VACUUM item",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "DECLARE c CURSOR FOR SELECT * FROM item",
    "FETCH 3 FROM c",
    "MOVE 2 FROM c",
    "CLOSE c",
    "NOTIFY somebody",
    "LISTEN somebody",
    "UNLISTEN *",
    "VALUES (1, 'a'), (2, NULL)",
    "SELECT current_setting('server_version_num') > '0'",
};

static const char *write_statement(char *sql, size_t capacity)
{
    size_t n = 0;
    switch (pick(5)) {
    case 0:
    case 1:
        n = (size_t)snprintf(sql, capacity, "SELECT ");
        for (unsigned i = 0, columns = 1 + pick(6); i < columns; i++)
            n += (size_t)snprintf(sql + n, capacity - n, "%s%s", i ? ", " : "", ANY(values));
        return NULL;
    case 2:
        snprintf(sql, capacity, "SELECT $1::%s", ANY(casts));
        return ANY(params);
    default:
        snprintf(sql, capacity, "%s", ANY(fixed));
        return NULL;
    }
}

static const char *const setup[] = {
    "CREATE TABLE item (id int4 PRIMARY KEY, name text NOT NULL, price numeric(10,2) CHECK (price >= 0))",
    "CREATE TABLE part (id int4, item int4 REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)",
    ("CREATE FUNCTION fails(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n = 0 THEN RETURN 1 / n; END IF; "
     "RETURN fails(n - 1); END $$"),
};

/* The schema's name is the one thing that is known to be another. */
static void forget_side(char *text)
{
    while ((text = strstr(text, "side_2"))) text[5] = '1';
}

static void both(const char *sql, const char *param, bool text)
{
    ask_libpq(sql, param, text);
    ask_ringpg(sql, param, text);
    forget_side(ours.at);
    if (strcmp(theirs.at, ours.at))
        fail_msg("%s [%s] %s\n--- libpq\n%s\n--- ringpg\n%s", sql, param ? param : "", text ? "text" : "binary",
                 theirs.at, ours.at);
}

static void nothing_is_told_differently(void **state)
{
    char sql[2048], path[2][64];
    unsigned failed = 0, with_rows = 0;
    (void)state;
    static const char *const names[] = { "side_1", "side_2" };
    PQclear(PQexec(libpq, "DROP TYPE IF EXISTS public.libpq_mood"));
    PQclear(PQexec(libpq, "CREATE TYPE public.libpq_mood AS ENUM ('sad', 'ok')")); /* one, since its OID is told */
    for (int side = 0; side < 2; side++) {
        snprintf(sql, sizeof sql, "DROP SCHEMA IF EXISTS %s CASCADE; CREATE SCHEMA %s", names[side], names[side]);
        PQclear(PQexec(libpq, sql));
        snprintf(path[side], sizeof path[side], "SET search_path = %s", names[side]);
    }
    ask_libpq(path[0], NULL, true);
    ask_ringpg(path[1], NULL, true);
    for (size_t i = 0; i < sizeof setup / sizeof *setup; i++) both(setup[i], NULL, false);
    for (int i = 0; i < STATEMENTS; i++) {
        const char *param = write_statement(sql, sizeof sql);
        /* Both sessions lock and see the same server: neither may be left in a block while the other waits. */
        both(sql, param, pick(2));
        failed += strstr(ours.at, "\nC ") != NULL;
        with_rows += row_number > 0;
        if (pick(6) == 0 && pg_lease_transaction(&lease) != 'I') both("ROLLBACK", NULL, true);
    }
    both("ROLLBACK", NULL, true);
    printf("%d statements, %u of them failed, %u had rows\n", STATEMENTS, failed, with_rows);
    assert_in_range(failed, STATEMENTS / 20, STATEMENTS / 2);
    assert_in_range(with_rows, STATEMENTS / 4, STATEMENTS);
}

static int open_both(void **state)
{
    (void)state;
    struct pg_pool_config config = PG_POOL_CONFIG(NULL);
    config.on_event = on_event;
    libpq = PQconnectdb(live_env("DATABASE_URL"));
    if (PQstatus(libpq) != CONNECTION_OK || !live_open(&live, LIVE_EPOLL)) return -1;
    PQsetNoticeReceiver(libpq, on_notice_side_1, NULL);
    PQclear(PQexec(libpq, "SET client_encoding = 'UTF8'"));
    pool = live_pool_with(&live, &config, NULL, "pool_max_conns=1");
    return live_acquire(&live, pool, &lease);
}
static int close_both(void **state)
{
    (void)state;
    PQclear(PQexec(libpq, "ROLLBACK"));
    pg_lease_abandon(&lease);
    live_close(&live);
    PQclear(PQexec(libpq, "DROP SCHEMA side_1, side_2 CASCADE; DROP TYPE public.libpq_mood"));
    PQfinish(libpq);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_is_told_differently) };
    return cmocka_run_group_tests(tests, open_both, close_both);
}
#endif
