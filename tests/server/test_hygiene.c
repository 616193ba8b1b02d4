/* server/test_hygiene.c - in which state a connection comes, on a real PostgreSQL and both hosts: what connect_sql,
 * warm statements and hooks have made of it, and that a reset leaves nothing of the lease before: settings, temporary
 * tables, advisory locks, listening, transactions. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "support/live.h"

static struct live live;
static struct pg_pool *pool;

static int open_uring(void **state)
{
    (void)state;
    return live_open(&live, LIVE_URING) ? 0 : -1;
}
static int open_epoll(void **state)
{
    (void)state;
    live_open(&live, LIVE_EPOLL);
    return 0;
}
static int close_live(void **state)
{
    (void)state;
    live_close(&live);
    return 0;
}

static void open_pool(struct pg_pool_config *config)
{
    pool = live_pool_with(&live, config, live.kind == LIVE_EPOLL ? live_env("RINGPG_TEST_TCP_URL") : NULL,
                          "pool_max_conns=1");
}
static void closed(void *arg) { *(bool *)arg = true; }
static bool is_true(void *arg) { return *(bool *)arg; }
static bool is_idle(void *arg)
{
    struct pg_pool_stats s = { .size = sizeof s };
    pg_pool_stats(arg, &s);
    return s.idle_conns == 1;
}
static void close_pool(void)
{
    bool gone = false;
    pg_pool_close(pool, 0, closed, &gone);
    assert_true(live_until(&live, is_true, &gone));
}

/* ---- asking ---- */

struct answer { char text[256]; };
static enum pg_flow keep(struct pg_query *q, struct pg_row *row)
{
    struct answer *a = q->data;
    struct pg_text text = pg_row_text(row, 0);
    size_t n = text.size < sizeof a->text - 1 ? text.size : sizeof a->text - 1;
    memcpy(a->text, text.data, n);
    a->text[n] = 0;
    return PG_CONTINUE;
}

/* The first column of the last row, as text. */
static const char *ask(struct pg_lease *lease, const char *sql)
{
    static struct answer a;
    struct pg_error error = { 0 };
    struct pg_query q = { .sql = sql, .flags = PG_QUERY_SIMPLE, .on_row = keep, .data = &a, .error = &error };
    a.text[0] = 0;
    if (live_query(&live, NULL, lease, &q)) fail_msg("%s: %s", sql, pg_error_field(&error, 'M'));
    return a.text;
}

static void acquire(struct pg_lease *lease)
{
    *lease = (struct pg_lease){ .tag = PG_HERE };
    assert_int_equal(live_acquire(&live, pool, lease), 0);
}

static const char traces[] =
    "SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
    " || ' ' || (SELECT count(*) FROM pg_class WHERE relname = 'mine' AND relpersistence = 't')"
    " || ' ' || (SELECT count(*) FROM pg_listening_channels())"
    " || ' ' || current_setting('work_mem') || ' ' || current_setting('app.owner', true)"
    " || ' ' || (now() = statement_timestamp())";
static void leave_traces(struct pg_lease *lease)
{
    ask(lease, "SET work_mem = '7MB'; SET app.owner = 'alice'");
    ask(lease, "CREATE TEMP TABLE mine (a int); SELECT pg_advisory_lock(77); LISTEN news");
    ask(lease, "PREPARE p AS SELECT 1");
    ask(lease, "BEGIN; SET LOCAL work_mem = '9MB'");
}

/* failures 52: what a session keeps, and its transaction. */
static void nothing_is_left(void **state)
{
    (void)state;
    static const struct { const char *reset, *left; } cases[] = {
        { "DISCARD ALL", "0 0 0 " },
        { "RESET ALL; SELECT pg_advisory_unlock_all()", "0 1 1 " },
        { NULL, "1 1 1 7MB alice true" }, /* but the transaction, which is always ended */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pg_pool_config config = PG_POOL_CONFIG(NULL);
        struct pg_lease lease;
        char pid[256];
        config.reset_sql = cases[i].reset;
        open_pool(&config);
        acquire(&lease);
        strcpy(pid, ask(&lease, "SELECT pg_backend_pid()"));
        leave_traces(&lease);
        pg_lease_release(&lease);
        acquire(&lease);
        assert_string_equal(ask(&lease, "SELECT pg_backend_pid()"), pid);
        assert_int_equal(pg_lease_transaction(&lease), 'I');
        const char *found = ask(&lease, traces);
        assert_memory_equal(found, cases[i].left, strlen(cases[i].left));
        assert_int_equal(strstr(found, "alice") != NULL, i == 2);
        assert_int_equal(strstr(found, "7MB") != NULL, i == 2);
        assert_string_equal(ask(&lease, "SELECT count(*) FROM pg_prepared_statements WHERE name = 'p'"),
                            i == 0 ? "0" : "1");
        pg_lease_release(&lease);
        close_pool();
    }
}

/* failures.md 29: what DISCARD ALL takes away is prepared anew. */
static void statements_survive_discard_all(void **state)
{
    (void)state;
    static struct pg_statement twice = PG_STATEMENT("SELECT ($1 * 2)::text", PG_TYPE_INT4);
    static struct pg_statement *const warm[] = { &twice };
    struct pg_pool_config config = PG_POOL_CONFIG(NULL);
    config.reset_sql = "DISCARD ALL";
    config.warm = warm;
    config.nwarm = 1;
    open_pool(&config);
    for (int i = 0; i < 3; i++) {
        struct pg_lease lease;
        struct answer a = { "" };
        struct pg_param param = pg_int4(21);
        struct pg_query q = { .statement = &twice, .params = &param, .nparams = 1, .on_row = keep, .data = &a };
        acquire(&lease);
        assert_string_equal(ask(&lease, "SELECT count(*) FROM pg_prepared_statements"), i ? "0" : "1");
        assert_int_equal(live_query(&live, NULL, &lease, &q), 0);
        assert_string_equal(a.text, "42");
        assert_int_equal(live_query(&live, NULL, &lease, &q), 0);
        assert_string_equal(ask(&lease, "SELECT count(*) FROM pg_prepared_statements"), "1");
        pg_lease_release(&lease);
    }
    close_pool();
}

struct shape { uint32_t columns, rows; bool wrong; };
static enum pg_flow look(struct pg_query *q, struct pg_row *row)
{
    struct shape *s = q->data;
    bool text = q->flags & PG_QUERY_TEXT;
    s->rows++;
    s->columns = pg_row_columns(row);
    for (uint32_t i = 0; i < s->columns; i++)
        s->wrong |= pg_row_int4(row, i) != (int32_t)i + 7 || pg_query_column(q, i).text != text;
    return PG_CONTINUE;
}

/* SQL that is built at run time and comes again: its columns are known by then. */
static void texts_survive_an_alter_table(void **state)
{
    (void)state;
    static const struct { const char *sql; uint32_t columns; } steps[] = {
        { "CREATE TEMP TABLE altered AS SELECT 7 AS a", 1 },
        { "ALTER TABLE altered ADD b int DEFAULT 8", 2 },
        { "ALTER TABLE altered ADD c int DEFAULT 9, ALTER a TYPE int", 3 },
        { "ALTER TABLE altered DROP c", 2 },
        { "DEALLOCATE ALL; ALTER TABLE altered DROP b", 1 },
        { "ALTER TABLE altered RENAME a TO z", 1 },
    };
    struct pg_pool_config config = PG_POOL_CONFIG(NULL);
    struct pg_lease lease;
    open_pool(&config);
    acquire(&lease);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        ask(&lease, steps[i].sql);
        for (int n = 0; n < 5; n++) {
            struct shape seen = { 0 };
            struct pg_query q = { .sql = "SELECT * FROM altered", .on_row = look, .data = &seen };
            q.flags = n % 2 ? PG_QUERY_TEXT : 0;
            assert_int_equal(live_query(&live, NULL, &lease, &q), 0);
            assert_int_equal(seen.rows, 1);
            assert_int_equal(seen.columns, steps[i].columns);
            assert_false(seen.wrong);
        }
    }
    pg_lease_release(&lease);
    close_pool();
}

/* ---- before it serves ---- */

static void it_is_made_ready(void **state)
{
    (void)state;
    struct pg_pool_config config = PG_POOL_CONFIG(NULL);
    struct pg_lease lease;
    config.connect_sql = "SET search_path = pg_temp; SET app.made = 'ready'";
    open_pool(&config);
    acquire(&lease);
    assert_string_equal(ask(&lease, "SELECT current_setting('app.made') || ' ' || current_setting('search_path')"),
                        "ready pg_temp");
    pg_lease_release(&lease);
    close_pool();
}

static void what_fails_is_named(void **state)
{
    (void)state;
    static struct pg_statement broken = { "SELECT no_such_column", { 0 }, "broken", 0, 0 };
    static struct pg_statement *const warm[] = { &broken };
    for (int i = 0; i < 2; i++) {
        struct pg_pool_config config = PG_POOL_CONFIG(NULL);
        struct pg_error error = { 0 };
        struct pg_lease lease = { .tag = PG_HERE, .error = &error };
        if (i) config.warm = warm, config.nwarm = 1;
        else config.connect_sql = "SET nonsense = 1";
        open_pool(&config);
        assert_int_equal(live_acquire(&live, pool, &lease), PG_E_UNAVAILABLE);
        assert_string_equal(error.sqlstate, i ? "42703" : "42704");
        assert_non_null(strstr(pg_error_field(&error, 'M'), i ? "warm statement 1 broken: " : "connect_sql: "));
        close_pool();
    }
}

/* ---- hooks ---- */

static unsigned calls[5];
static struct pg_hook *running;
static struct pg_query hook_query;
static void hook_query_done(struct pg_query *q)
{
    struct pg_hook *hook = running;
    running = NULL;
    pg_hook_done(hook, q->status);
}
static void run_in_hook(struct pg_hook *hook, struct pg_lease *lease, const char *sql)
{
    running = hook;
    hook_query = (struct pg_query){ .sql = sql, .flags = PG_QUERY_SIMPLE, .on_done = hook_query_done };
    pg_lease_query(lease, &hook_query);
}
static void before_connect(void *arg, struct pg_hook *hook)
{
    (void)arg;
    calls[0]++;
    pg_hook_done(hook, pg_hook_set(hook, "application_name", "hooked"));
}
static void after_connect(void *arg, struct pg_hook *hook, struct pg_lease *lease)
{
    (void)arg;
    calls[1]++;
    run_in_hook(hook, lease, "SET app.made = 'by after_connect'");
}
static void prepare_conn(void *arg, struct pg_hook *hook, struct pg_lease *lease)
{
    (void)arg;
    calls[2]++;
    run_in_hook(hook, lease, "SET app.tenant = 'seven'");
}
static void after_release(void *arg, struct pg_hook *hook, struct pg_lease *lease)
{
    (void)arg;
    calls[3]++;
    run_in_hook(hook, lease, "RESET app.tenant");
}
static void before_close(void *arg, struct pg_hook *hook, struct pg_lease *lease)
{
    (void)arg;
    calls[4]++;
    run_in_hook(hook, lease, "SELECT 1");
}

static void hooks_have_the_connection(void **state)
{
    (void)state;
    struct pg_pool_config config = PG_POOL_CONFIG(NULL);
    struct pg_lease lease;
    config.before_connect = before_connect;
    config.after_connect = after_connect;
    config.prepare_conn = prepare_conn;
    config.after_release = after_release;
    config.before_close = before_close;
    memset(calls, 0, sizeof calls);
    open_pool(&config);
    for (unsigned i = 1; i <= 3; i++) {
        acquire(&lease);
        assert_string_equal(ask(&lease, "SELECT current_setting('application_name') || ', ' || "
                                        "current_setting('app.made') || ', ' || current_setting('app.tenant')"),
                            "hooked, by after_connect, seven");
        pg_lease_release(&lease);
        assert_int_equal(calls[2], i);
    }
    assert_true(live_until(&live, is_idle, pool));
    close_pool();
    assert_int_equal(calls[0] + calls[1], 2);
    assert_int_equal(calls[3], 3);
    assert_int_equal(calls[4], 1);
}

#define TESTS                                                                                                          \
    cmocka_unit_test(nothing_is_left), cmocka_unit_test(statements_survive_discard_all),                               \
        cmocka_unit_test(texts_survive_an_alter_table),                                                                \
        cmocka_unit_test(it_is_made_ready), cmocka_unit_test(what_fails_is_named),                                     \
        cmocka_unit_test(hooks_have_the_connection)

int main(void)
{
    const struct CMUnitTest uring[] = { TESTS }, epoll[] = { TESTS };
    int failed = cmocka_run_group_tests_name("hygiene on uring", uring, open_uring, close_live);
    return failed + cmocka_run_group_tests_name("hygiene on epoll", epoll, open_epoll, close_live);
}
