/* server/pgbouncer_check.c - run by tests/server/pgbouncer: queries of every kind through PgBouncer, in session mode as
 * without it, in transaction mode with prepared_statements=off; and what is said where that is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "support/live.h"

enum { MANY = 400 };
static struct live live;
static struct pg_pool *pool;
static unsigned told;
static char said[200];

/* ---- pools ---- */

static void on_event(void *arg, const struct pg_event *event)
{
    (void)arg;
    if (event->kind != PG_EVENT_POOLER) return;
    told++;
    snprintf(said, sizeof said, "%s", pg_error_field(event->error, 'M'));
}

static struct pg_pool *open_pool(const char *host, const char *options)
{
    char text[600];
    snprintf(text, sizeof text, "host=%s port=%s user=scram_user password=%s sslmode=disable", host,
             live_env("RINGPG_BOUNCER_PORT"), live_env("RINGPG_TEST_PASSWORD"));
    struct pg_pool_config config = PG_POOL_CONFIG(NULL);
    config.on_event = on_event;
    told = 0;
    return live_pool_with(&live, &config, text, options);
}

static int open_on(enum live_host kind, const char *host, const char *options)
{
    if (!live_open(&live, kind) && !live_open(&live, LIVE_EPOLL)) return 1;
    pool = open_pool(host, options);
    return 0;
}
static const char *directory(void) { return live_env("RINGPG_BOUNCER_DIR"); }
/* More connections than the pooler has to the server. */
#define TRANSACTION "dbname=transaction prepared_statements=off pool_max_conns=6"
static int transaction_by_socket(void **s) { (void)s; return open_on(LIVE_URING, directory(), TRANSACTION); }
static int transaction_by_tcp(void **s) { (void)s; return open_on(LIVE_EPOLL, "127.0.0.1", TRANSACTION); }
static int session_by_socket(void **s) { (void)s; return open_on(LIVE_URING, directory(), "dbname=session"); }
static int session_by_tcp(void **s)
{
    (void)s;
    return open_on(LIVE_EPOLL, "127.0.0.1", "dbname=session pool_reset_sql='DISCARD ALL'");
}
static int end(void **state)
{
    (void)state;
    live_close(&live);
    return 0;
}

/* ---- many in flight ---- */

struct asked { struct pg_query query; struct pg_param param; struct pg_error error; int64_t value; char sql[60]; };
static struct asked asked[MANY];
static unsigned open_queries;
static struct pg_statement declared = PG_STATEMENT("SELECT $1 + 1000", PG_TYPE_INT8);

static enum pg_flow take(struct pg_query *q, struct pg_row *row)
{
    ((struct asked *)q->data)->value = pg_row_int8(row, 0);
    return PG_CONTINUE;
}
static void done(struct pg_query *q)
{
    (void)q;
    open_queries--;
}
static bool all_done(void *arg)
{
    (void)arg;
    return open_queries == 0;
}

/* Declared ones and a dozen texts that come again, some with an error among them. */
static void many_in_flight(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            struct asked *a = &asked[i];
            a->param = pg_int8(i);
            a->value = -1;
            const char *format = i % 50 == 7 ? "SELECT 1 / ($1::int8 - $1) --%d" : "SELECT $1::int8 + %d";
            snprintf(a->sql, sizeof a->sql, format, i % 12);
            a->query = (struct pg_query){ .params = &a->param, .nparams = 1, .on_row = take, .on_done = done,
                                          .error = &a->error, .data = a };
            if (i % 3 && i % 50 != 7) a->query.statement = &declared;
            else a->query.sql = a->sql;
            open_queries++;
            pg_pool_query(pool, &a->query);
        }
        assert_true(live_until(&live, all_done, NULL));
        for (int i = 0; i < MANY; i++) {
            const struct asked *a = &asked[i];
            if (i % 50 == 7) {
                assert_int_equal(a->query.status, PG_E_SERVER);
                assert_string_equal(a->query.sqlstate, "22012");
                continue;
            }
            if (a->query.status) fail_msg("%d: %s", i, pg_error_field(&a->error, 'M'));
            assert_int_equal(a->value, i + (a->query.statement ? 1000 : i % 12));
        }
    }
}

/* ---- one after the other ---- */

static enum pg_flow take_number(struct pg_query *q, struct pg_row *row)
{
    *(int64_t *)q->data = pg_row_int8(row, 0);
    return PG_CONTINUE;
}
static int64_t number(struct pg_lease *lease, const char *sql)
{
    int64_t value = -1;
    struct pg_error error;
    struct pg_query q = { .sql = sql, .on_row = take_number, .data = &value, .error = &error };
    if (live_query(&live, lease ? NULL : pool, lease, &q)) fail_msg("%s: %s", sql, pg_error_field(&error, 'M'));
    return value;
}
static void run(struct pg_lease *lease, const char *sql)
{
    struct pg_query q = { .sql = sql };
    assert_int_equal(live_query(&live, lease ? NULL : pool, lease, &q), 0);
}

static void a_batch_is_one_transaction(void **state)
{
    (void)state;
    static struct pg_statement wrong = PG_STATEMENT("SELECT 1 / $1", PG_TYPE_INT4);
    struct pg_param divisor = pg_int4(0);
    run(NULL, "DROP TABLE IF EXISTS pooled");
    run(NULL, "CREATE TABLE pooled (id int8)");
    struct pg_query third = { .sql = "INSERT INTO pooled VALUES (2)" },
                    second = { .statement = &wrong, .params = &divisor, .nparams = 1, .next = &third },
                    first = { .sql = "INSERT INTO pooled VALUES (1)", .next = &second };
    assert_int_equal(live_query(&live, pool, NULL, &first), PG_E_BATCH);
    assert_string_equal(second.sqlstate, "22012");
    assert_int_equal(number(NULL, "SELECT count(*) FROM pooled"), 0);
    divisor = pg_int4(1);
    for (int i = 0; i < 3; i++) assert_int_equal(live_query(&live, pool, NULL, &first), 0);
    assert_int_equal(number(NULL, "SELECT count(*) FROM pooled"), 6);
}

/* All of a transaction has one backend, whoever else is about. */
static void transactions_on_leases(void **state)
{
    (void)state;
    struct pg_lease lease[3];
    int64_t backend[3];
    run(NULL, "TRUNCATE pooled");
    for (int i = 0; i < 3; i++) {
        lease[i] = (struct pg_lease){ .tag = PG_HERE };
        assert_int_equal(live_acquire(&live, pool, &lease[i]), 0);
        struct pg_query begin = { .statement = &pg_begin };
        assert_int_equal(live_query(&live, NULL, &lease[i], &begin), 0);
        assert_int_equal(pg_lease_transaction(&lease[i]), 'T');
        backend[i] = number(&lease[i], "SELECT pg_backend_pid()::int8");
    }
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 3; i++) {
            run(&lease[i], "INSERT INTO pooled VALUES (1)");
            assert_int_equal(number(&lease[i], "SELECT pg_backend_pid()::int8"), backend[i]);
        }
    struct pg_query commit = { .statement = &pg_commit };
    assert_int_equal(live_query(&live, NULL, &lease[0], &commit), 0);
    pg_lease_release(&lease[0]);
    for (int i = 1; i < 3; i++) pg_lease_release(&lease[i]); /* rolled back */
    struct pg_lease last = { .tag = PG_HERE };
    assert_int_equal(live_acquire(&live, pool, &last), 0);
    assert_int_equal(number(&last, "SELECT count(*) FROM pooled"), 3);
    pg_lease_release(&last);
}

static void errors_and_cancels(void **state)
{
    (void)state;
    struct pg_lease lease = { .tag = PG_HERE };
    struct pg_error error;
    struct pg_query wrong = { .sql = "SELECT nothing FROM nowhere", .error = &error };
    assert_int_equal(live_query(&live, pool, NULL, &wrong), PG_E_SERVER);
    assert_string_equal(wrong.sqlstate, "42P01");
    assert_int_equal(live_query(&live, pool, NULL, &wrong), PG_E_SERVER); /* by its name, in session mode */
    assert_string_equal(wrong.sqlstate, "42P01");
    assert_int_equal(live_acquire(&live, pool, &lease), 0);
    for (int i = 0; i < 3; i++) {
        struct pg_query slow = { .sql = "SELECT pg_sleep(60)", .on_done = done };
        open_queries = 1;
        pg_lease_query(&lease, &slow);
        while (number(NULL, "SELECT count(*) FROM pg_stat_activity "
                            "WHERE state = 'active' AND query = 'SELECT pg_sleep(60)'") == 0) {}
        pg_query_cancel(&slow); /* it runs */
        assert_true(live_until(&live, all_done, NULL));
        assert_int_equal(slow.status, PG_E_CANCELLED);
        assert_string_equal(slow.sqlstate, "57014");
        assert_int_equal(number(&lease, "SELECT 42::int8"), 42);
    }
    pg_lease_release(&lease);
    struct pg_query late = { .sql = "SELECT pg_sleep(60)" };
    late.deadline_ns = pg_reactor_now(live.reactor) + 200000000;
    assert_int_equal(live_query(&live, pool, NULL, &late), PG_E_TIMEOUT);
    assert_int_equal(number(NULL, "SELECT 43::int8"), 43);
}

static void nothing_is_suspected(void **state)
{
    (void)state;
    assert_int_equal(told, 0);
}

/* ---- where the option is missing ---- */

/* A and B are two of our connections, the pooler has two to the server and prefers the one that was used last. */
static void told_where_names_are_used(void **state)
{
    (void)state;
    struct pg_lease a = { .tag = PG_HERE }, b = { .tag = PG_HERE };
    struct pg_param one = pg_int8(1);
    struct pg_query begin = { .statement = &pg_begin, .flags = PG_QUERY_UNNAMED },
                    commit = { .statement = &pg_commit, .flags = PG_QUERY_UNNAMED },
                    find = { .statement = &declared, .params = &one, .nparams = 1 };
    assert_true(live_open(&live, LIVE_EPOLL));
    pool = open_pool(directory(), "dbname=two pool_max_conns=2");
    assert_int_equal(live_acquire(&live, pool, &a), 0);
    assert_int_equal(live_acquire(&live, pool, &b), 0);
    assert_int_equal(live_query(&live, NULL, &a, &find), 0);  /* prepared on the first */
    assert_int_equal(live_query(&live, NULL, &b, &begin), 0); /* which B has now */
    assert_int_equal(live_query(&live, NULL, &a, &find), 0);  /* the second has it not: 26000, healed */
    assert_int_equal(told, 0);
    assert_int_equal(live_query(&live, NULL, &b, &commit), 0);
    assert_int_equal(live_query(&live, NULL, &b, &find), 0);  /* it has it already: 42P05, healed */
    assert_int_equal(told, 1);
    assert_non_null(strstr(said, "prepared_statements=off"));
    pg_lease_release(&a);
    pg_lease_release(&b);
    live_close(&live);
}

int main(void)
{
#define BODY                                                                                                           \
    cmocka_unit_test(many_in_flight), cmocka_unit_test(a_batch_is_one_transaction),                                    \
        cmocka_unit_test(transactions_on_leases), cmocka_unit_test(errors_and_cancels),                                \
        cmocka_unit_test(many_in_flight), cmocka_unit_test(nothing_is_suspected)
    const struct CMUnitTest through[] = { BODY };
    const struct CMUnitTest without[] = { cmocka_unit_test(told_where_names_are_used) };
    int failed = cmocka_run_group_tests_name("transaction mode, Unix socket", through, transaction_by_socket, end);
    failed += cmocka_run_group_tests_name("transaction mode, TCP", through, transaction_by_tcp, end);
    failed += cmocka_run_group_tests_name("session mode, Unix socket", through, session_by_socket, end);
    failed += cmocka_run_group_tests_name("session mode, TCP", through, session_by_tcp, end);
    return failed + cmocka_run_group_tests_name("transaction mode with names", without, NULL, NULL);
}
