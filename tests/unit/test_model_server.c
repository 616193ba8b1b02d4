/* test_model_server.c - the model server, spoken to with bytes put together by hand. What stands here for queries,
 * transactions, errors and COPY is what PostgreSQL 15 answers to the same messages. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "support/fake_clock_host.h"
#include "support/model_world.h"
#include "support/model_private.h"

enum { INT8 = 20, TEXT = 25 };

/* ---- simple queries ---- */
static void test_simple_query(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    assert_string_equal(model_world_ask(&f->c, "ECHO hello"), "T[echo:25:0] D[5:hello] C:SELECT 1 Z:I");
    assert_string_equal(model_world_ask(&f->c, " ; "), "I Z:I");
    assert_string_equal(model_world_ask(&f->c, "select 1; INSERT x"), "C:SELECT 0 C:INSERT 0 1 Z:I");
    assert_string_equal(model_world_ask(&f->c, "FAIL 22012"), "E:22012 Z:I");
    assert_string_equal(model_world_ask(&f->c, "SYNTAX error"), "E:42601 Z:I");
    assert_string_equal(model_world_ask(&f->c, "SET x = ';'"), "C:SET Z:I");
    struct model_conn *conn = model_conn_at(f->server, 0);
    assert_int_equal(model_conn_sql_count(conn), 5); /* the syntax error was never executed */
    assert_string_equal(model_conn_sql(conn, 2), "INSERT x");
    assert_string_equal(model_conn_sql(conn, 4), "SET x = ';'");
    model_world_end(f);
}

static void accounted(struct model_world *f, uint64_t committed, uint64_t rolled_back)
{
    assert_int_equal(model_stats(f->server)->inserts_committed, committed);
    assert_int_equal(model_stats(f->server)->inserts_rolled_back, rolled_back);
}

static void test_transactions(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_client *c = &f->c;
    assert_string_equal(model_world_ask(c, "INSERT"), "C:INSERT 0 1 Z:I");
    accounted(f, 1, 0);
    assert_string_equal(model_world_ask(c, "begin"), "C:BEGIN Z:T");
    assert_string_equal(model_world_ask(c, "BEGIN"), "N:25001 C:BEGIN Z:T");
    assert_string_equal(model_world_ask(c, "INSERT"), "C:INSERT 0 1 Z:T");
    accounted(f, 1, 0);
    assert_string_equal(model_world_ask(c, "COMMIT"), "C:COMMIT Z:I");
    accounted(f, 2, 0);
    assert_string_equal(model_world_ask(c, "COMMIT"), "N:25P01 C:COMMIT Z:I");
    assert_string_equal(model_world_ask(c, "START TRANSACTION; INSERT; FAIL 23505; INSERT"),
                        "C:START TRANSACTION C:INSERT 0 1 E:23505 Z:E");
    accounted(f, 2, 1);
    assert_string_equal(model_world_ask(c, "INSERT"), "E:25P02 Z:E");
    assert_string_equal(model_world_ask(c, "COMMIT"), "C:ROLLBACK Z:I");
    assert_string_equal(model_world_ask(c, "BEGIN; INSERT; INSERT; /* all */ ROLLBACK"),
                        "C:BEGIN C:INSERT 0 1 C:INSERT 0 1 C:ROLLBACK Z:I");
    accounted(f, 2, 3);
    /* one implicit transaction */
    assert_string_equal(model_world_ask(c, "INSERT; FAIL 23505"), "C:INSERT 0 1 E:23505 Z:I");
    accounted(f, 2, 4);
    assert_string_equal(model_world_ask(c, "DEFERRED"), "E:23503 Z:I");
    assert_string_equal(model_world_ask(c, "BEGIN; DEFERRED"), "C:BEGIN C:INSERT 0 1 Z:T");
    assert_string_equal(model_world_ask(c, "COMMIT"), "E:23503 Z:I");
    accounted(f, 2, 6);
    assert_string_equal(model_world_ask(c, "BEGIN; INSERT"), "C:BEGIN C:INSERT 0 1 Z:T");
    client_close(c); /* dies in its transaction */
    sim_settle(f->sim);
    accounted(f, 2, 7);
    assert_int_equal(model_stats(f->server)->eofs, 1);
    model_world_close(f);
}

/* Of a name the newest is meant, and those behind it go with it. */
static void test_savepoints(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_client *c = &f->c;
    assert_string_equal(model_world_ask(c, "SAVEPOINT s"), "E:25P01 Z:I");
    assert_string_equal(model_world_ask(c, "INSERT; ROLLBACK TO s"), "C:INSERT 0 1 E:25P01 Z:I");
    accounted(f, 0, 1);
    assert_string_equal(model_world_ask(c, "BEGIN; RELEASE s"), "C:BEGIN E:3B001 Z:E");
    assert_string_equal(model_world_ask(c, "ROLLBACK TO s"), "E:3B001 Z:E");
    assert_string_equal(model_world_ask(c, "SAVEPOINT s"), "E:25P02 Z:E");
    assert_string_equal(model_world_ask(c, "ROLLBACK"), "C:ROLLBACK Z:I");

    assert_string_equal(model_world_ask(c, "BEGIN; INSERT; SAVEPOINT s; INSERT; INSERT; ROLLBACK TO s"),
                        "C:BEGIN C:INSERT 0 1 C:SAVEPOINT C:INSERT 0 1 C:INSERT 0 1 C:ROLLBACK Z:T");
    accounted(f, 0, 3);
    assert_string_equal(model_world_ask(c, "INSERT; DEFERRED; FAIL 23505"), "C:INSERT 0 1 C:INSERT 0 1 E:23505 Z:E");
    accounted(f, 0, 5);
    assert_string_equal(model_world_ask(c, "RELEASE s"), "E:25P02 Z:E");
    assert_string_equal(model_world_ask(c, "ROLLBACK TO SAVEPOINT s"), "C:ROLLBACK Z:T");
    assert_string_equal(model_world_ask(c, "INSERT; SAVEPOINT s; INSERT; RELEASE s"),
                        "C:INSERT 0 1 C:SAVEPOINT C:INSERT 0 1 C:RELEASE Z:T");
    assert_string_equal(model_world_ask(c, "ROLLBACK TO s"), "C:ROLLBACK Z:T"); /* to the outer one */
    accounted(f, 0, 7);
    assert_string_equal(model_world_ask(c, "COMMIT"), "C:COMMIT Z:I");
    accounted(f, 1, 7);

    assert_string_equal(model_world_ask(c, "BEGIN; INSERT; SAVEPOINT s; INSERT; FAIL 23505"),
                        "C:BEGIN C:INSERT 0 1 C:SAVEPOINT C:INSERT 0 1 E:23505 Z:E");
    assert_string_equal(model_world_ask(c, "COMMIT"), "C:ROLLBACK Z:I"); /* all of it */
    accounted(f, 1, 9);
    assert_string_equal(model_world_ask(c, "BEGIN; ROLLBACK TO s"), "C:BEGIN E:3B001 Z:E"); /* they end with theirs */
    assert_string_equal(model_world_ask(c, "ROLLBACK"), "C:ROLLBACK Z:I");

    assert_string_equal(model_world_ask(c, "BEGIN; INSERT; SAVEPOINT a; INSERT; SAVEPOINT b; INSERT; ROLLBACK TO A"),
                        "C:BEGIN C:INSERT 0 1 C:SAVEPOINT C:INSERT 0 1 C:SAVEPOINT C:INSERT 0 1 C:ROLLBACK Z:T");
    accounted(f, 1, 11);
    assert_string_equal(model_world_ask(c, "RELEASE b"), "E:3B001 Z:E");
    assert_string_equal(model_world_ask(c, "ROLLBACK TO a; SAVEPOINT b; RELEASE a; ROLLBACK TO b"),
                        "C:ROLLBACK C:SAVEPOINT C:RELEASE E:3B001 Z:E");
    model_world_end(f);
}

/* ---- extended queries ---- */
static const uint32_t int8_type[] = { INT8 };

static void test_extended_query(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_client *c = &f->c;
    client_parse(c, "s", "ECHO $1", 1, int8_type);
    client_describe(c, 'S', "s");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 t[20] T[echo:20:0] Z:I");
    client_bind_int8(c, "s", -42);
    client_describe(c, 'P', "");
    client_execute(c, "");
    client_sync(c);
    assert_string_equal(client_answer(c), "2 T[echo:20:1] D[xffffffffffffffd6] C:SELECT 1 Z:I");
    client_bind(c, "", "s", 1, (const char *[]){ "-42" });
    client_execute(c, "");
    client_sync(c);
    assert_string_equal(client_answer(c), "2 D[3:-42] C:SELECT 1 Z:I");
    client_parse(c, "", "ECHO $1", 0, NULL);
    client_bind(c, "p", "", 1, (const char *[]){ NULL });
    client_execute(c, "p");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 D[-] C:SELECT 1 Z:I");
    client_parse(c, "", "", 0, NULL);
    client_bind(c, "", "", 0, NULL);
    client_describe(c, 'P', "");
    client_execute(c, "");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 n I Z:I");
    const struct model_stats *stats = model_stats(f->server);
    assert_int_equal(stats->parses, 3);
    assert_int_equal(stats->binds, 4);
    assert_int_equal(stats->executes, 4);
    assert_int_equal(stats->syncs, 5);
    assert_int_equal(stats->statements, 3);
    model_world_end(f);
}

static void test_statements_and_portals(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_client *c = &f->c;
    const char *const one[] = { "x" };
    client_parse(c, "s", "ECHO $1", 0, NULL);
    client_sync(c);
    client_parse(c, "s", "ECHO $1", 0, NULL);
    client_sync(c);
    client_bind(c, "", "t", 0, NULL);
    client_sync(c);
    client_bind(c, "", "s", 0, NULL); /* too few */
    client_sync(c);
    client_execute(c, "none");
    client_sync(c);
    client_bind(c, "", "s", 1, one);
    client_execute(c, "");
    client_execute(c, "");
    client_sync(c);
    assert_string_equal(client_answer(c),
                        "1 Z:I E:42P05 Z:I E:26000 Z:I E:08P01 Z:I E:34000 Z:I 2 D[1:x] C:SELECT 1 C:SELECT 0 Z:I");
    client_parse(c, "", "INSERT", 0, NULL);
    client_bind(c, "", "", 0, NULL);
    client_execute(c, "");
    client_execute(c, "");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 C:INSERT 0 1 E:55000 Z:I");
    client_bind(c, "", "s", 1, one);
    client_sync(c);
    client_execute(c, ""); /* portals end with their transaction */
    client_sync(c);
    assert_string_equal(client_answer(c), "2 Z:I E:34000 Z:I");
    assert_int_equal(model_conn_statements(model_conn_at(f->server, 0)), 1);
    client_close_named(c, 'S', "s");
    client_close_named(c, 'S', "never");
    client_sync(c);
    assert_string_equal(client_answer(c), "3 3 Z:I");
    assert_int_equal(model_conn_statements(model_conn_at(f->server, 0)), 0);
    client_parse(c, "s", "ECHO $1", 0, NULL);
    client_sync(c);
    client_query(c, "DISCARD ALL");
    client_describe(c, 'S', "s");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 Z:I C:DISCARD ALL Z:I E:26000 Z:I");
    model_world_end(f);
}

static void test_wrong_values(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_client *c = &f->c;
    client_parse(c, "s", "ECHO $1", 1, int8_type);
    client_bind(c, "", "s", 1, (const char *[]){ "12x" });
    client_sync(c);
    assert_string_equal(client_answer(c), "1 E:22P02 Z:I");
    size_t begun = model_put_begin(&c->out, 'B'); /* four binary bytes for an int8 */
    sim_bytes_put(&c->out, "\0s\0\0\1\0\1\0\1\0\0\0\4abcd\0\0", 19);
    model_put_end(&c->out, begun);
    client_sync(c);
    assert_string_equal(client_answer(c), "E:22P03 Z:I");
    model_world_end(f);
}

static void execute(struct model_client *c, const char *sql)
{
    client_parse(c, "", sql, 0, NULL);
    client_bind(c, "", "", 0, NULL);
    client_execute(c, "");
}

static void test_errors_skip_to_sync(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_client *c = &f->c;
    execute(c, "INSERT");
    execute(c, "FAIL 23505");
    execute(c, "INSERT");
    client_query(c, "INSERT");
    client_sync(c);
    execute(c, "INSERT");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 C:INSERT 0 1 1 2 E:23505 Z:I 1 2 C:INSERT 0 1 Z:I");
    accounted(f, 1, 1);
    execute(c, "INSERT");
    execute(c, "DEFERRED");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 C:INSERT 0 1 1 2 C:INSERT 0 1 E:23503 Z:I");
    accounted(f, 1, 3);
    execute(c, "INSERT"); /* joins the block that follows */
    execute(c, "BEGIN");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 C:INSERT 0 1 1 2 C:BEGIN Z:T");
    accounted(f, 1, 3);
    client_parse(c, "s", "ECHO", 0, NULL);
    execute(c, "FAIL 40001");
    client_sync(c);
    execute(c, "INSERT");
    client_sync(c);
    client_describe(c, 'S', "s");
    client_sync(c);
    execute(c, "COMMIT");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 1 2 E:40001 Z:E E:25P02 Z:E E:25P02 Z:E 1 2 C:ROLLBACK Z:I");
    accounted(f, 1, 4);
    execute(c, "BEGIN");
    execute(c, "DEFERRED");
    execute(c, "COMMIT");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 C:BEGIN 1 2 C:INSERT 0 1 1 2 E:23503 Z:I");
    model_world_end(f);
}

static void test_output_waits_for_flush_or_sync(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    execute(&f->c, "INSERT");
    assert_string_equal(client_answer(&f->c), "");
    client_flush(&f->c);
    assert_string_equal(client_answer(&f->c), "1 2 C:INSERT 0 1");
    accounted(f, 0, 0);
    client_sync(&f->c);
    assert_string_equal(client_answer(&f->c), "Z:I");
    accounted(f, 1, 0);
    model_world_end(f);
}

static void test_committed_keys(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    for (int64_t key = 1; key <= 3; key++) {
        client_parse(&f->c, "", "INSERT INTO t VALUES ($1)", 1, int8_type);
        client_bind_int8(&f->c, "", key);
        client_execute(&f->c, "");
        if (key == 2) execute(&f->c, "FAIL 22012");
        client_sync(&f->c);
    }
    client_answer(&f->c);
    size_t n;
    const int64_t *keys = model_committed(f->server, &n);
    assert_int_equal(n, 2);
    assert_int_equal(keys[0], 1);
    assert_int_equal(keys[1], 3);
    model_world_end(f);
}

/* ---- time, cancel, COPY ---- */
static void test_sleep_delays_what_is_behind(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    uint64_t start = sim_now(f->sim);
    client_query(&f->c, "SLEEP 250");
    client_query(&f->c, "ECHO after");
    assert_string_equal(client_answer(&f->c), "C:SELECT 0 Z:I T[echo:25:0] D[5:after] C:SELECT 1 Z:I");
    assert_int_equal(sim_now(f->sim) - start, 250 * MS);
    model_world_end(f);
}

static void test_cancel(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    uint64_t start = sim_now(f->sim);
    client_query(&f->c, "BEGIN; SLEEP 60000; ECHO never");
    client_send(&f->c);
    sim_step_until(f->sim, sim_now(f->sim));
    client_open(&f->d, f->sim);
    f->c.key[3] ^= 1; /* not the key: no effect */
    client_cancel(&f->d, &f->c);
    f->c.key[3] ^= 1;
    client_send(&f->d);
    while (!f->d.s.ended) assert_true(sim_step(f->sim));
    assert_int_equal(model_stats(f->server)->cancels_that_hit, 0);
    client_close(&f->d);
    client_open(&f->d, f->sim);
    client_cancel(&f->d, &f->c);
    assert_string_equal(client_answer(&f->d), "EOF");
    assert_string_equal(client_transcript(&f->c), "C:BEGIN E:57014 Z:E");
    assert_int_equal(model_stats(f->server)->cancels, 2);
    assert_int_equal(model_stats(f->server)->cancels_that_hit, 1);
    assert_int_equal(model_stats(f->server)->connections_max, 1);
    assert_int_equal(model_stats(f->server)->sockets_max, 2);
    assert_true(sim_now(f->sim) - start <= 60000 * MS);
    client_close(&f->d);
    assert_string_equal(model_world_ask(&f->c, "ROLLBACK"), "C:ROLLBACK Z:I");
    model_world_end(f);
}

static void test_copy_in(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_client *c = &f->c;
    assert_string_equal(model_world_ask(c, "COPYIN t"), "G");
    client_message(c, 'd', "1\n2\n", 4);
    client_message(c, 'd', "3\n", 2);
    client_message(c, 'c', NULL, 0);
    assert_string_equal(client_answer(c), "C:COPY 3 Z:I");
    execute(c, "COPYIN t");
    client_sync(c); /* swallowed */
    assert_string_equal(client_answer(c), "1 2 G");
    client_message(c, 'f', "no more", 8);
    client_sync(c);
    assert_string_equal(client_answer(c), "E:57014 Z:I");
    assert_string_equal(model_world_ask(c, "COPYIN t"), "G");
    assert_string_equal(model_world_ask(c, "ECHO"), "E:08P01 E:08P01 EOF");
    model_world_end(f);
}

/* ---- answers of the test's own ---- */
static void answer(void *arg, struct model_query *q)
{
    static const struct model_column columns[] = { { "a", INT8 }, { "b", TEXT } };
    ++*(unsigned *)arg;
    if (!strcmp(model_sql(q), "two")) {
        model_columns(q, 2, columns);
        model_notice(q, "01000", "first");
        model_row(q, 2, (struct model_cell[]){ { "1", 1 }, { NULL, -1 } });
        model_parameter_status(q, "TimeZone", "GMT");
        model_row(q, 2, (struct model_cell[]){ { "2", 1 }, { "", 0 } });
        model_complete(q, "SELECT 2");
    } else if (!strcmp(model_sql(q), "late")) {
        model_delay(q, 5 * MS); /* and the default answer */
    } else if (!strcmp(model_sql(q), "commit fails")) {
        model_error_at_commit(q, "40001", "late");
    } else if (!strcmp(model_sql(q), "drop")) {
        model_row_text(q, "last");
        model_drop(q);
    } else if (!strcmp(model_sql(q), "hangup")) {
        model_hangup(q);
    } else if (!strcmp(model_sql(q), "raw")) {
        model_raw(q, "!\0\0\0\4", 5);
        model_complete(q, "RAW");
    }
}

static void test_own_answers(void **state)
{
    (void)state;
    unsigned calls = 0;
    struct model_world *f = model_world_connected((struct model_config){ .answer = answer, .arg = &calls });
    struct model_client *c = &f->c;
    assert_string_equal(model_world_ask(c, "two"),
                        "T[a:20:0,b:25:0] N:01000 D[1:1|-] S[TimeZone=GMT] D[1:2|0:] C:SELECT 2 Z:I");
    client_parse(c, "", "two", 0, NULL);
    client_describe(c, 'S', "");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 t[] T[a:20:0,b:25:0] Z:I");
    assert_int_equal(calls, 2);
    assert_int_equal(model_stats(f->server)->statements, 1); /* describing is not executing */
    uint64_t start = sim_now(f->sim);
    assert_string_equal(model_world_ask(c, "late"), "C:SELECT 0 Z:I");
    assert_int_equal(sim_now(f->sim) - start, 5 * MS);
    execute(c, "commit fails");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 C:INSERT 0 1 E:40001 Z:I");
    assert_string_equal(model_world_ask(c, "raw"), "! C:RAW Z:I");
    assert_string_equal(model_world_ask(c, "ECHO default"), "T[echo:25:0] D[7:default] C:SELECT 1 Z:I");
    assert_string_equal(model_world_ask(c, "drop"), "D[4:last] RST");
    assert_int_equal(model_stats(f->server)->connections_now, 0);
    client_close(c);
    model_world_greet(f, c);
    assert_string_equal(model_world_ask(c, "hangup"), "EOF");
    model_world_end(f);
}

/* ---- from outside ---- */
static void test_unasked_messages(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_conn *conn = model_conn_at(f->server, 0);
    model_conn_notify(conn, "news", "here");
    model_conn_notice(conn, "01000", "hello");
    model_conn_parameter_status(conn, "in_hot_standby", "on");
    assert_string_equal(client_answer(&f->c), "A[news:here] N:01000 S[in_hot_standby=on]");
    model_conn_end(conn, MODEL_END_FATAL, "57P01");
    assert_string_equal(client_answer(&f->c), "E:57P01 EOF");
    model_world_end(f);
}

static void test_restart(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    model_world_greet(f, &f->d);
    assert_string_equal(model_world_ask(&f->d, "BEGIN; INSERT"), "C:BEGIN C:INSERT 0 1 Z:T");
    model_server_restart(f->server, MODEL_END_RESET, 10 * MS);
    while (sim_step_until(f->sim, sim_now(f->sim))) {}
    assert_string_equal(client_transcript(&f->c), "RST");
    assert_string_equal(client_transcript(&f->d), "RST");
    accounted(f, 0, 1);
    assert_int_equal(model_stats(f->server)->connections_now, 0);
    client_close(&f->c);
    client_close(&f->d);
    struct sim_socket refused;
    assert_int_equal(sim_socket_open(&refused, f->sim, AF_INET), 0);
    assert_int_equal(sim_socket_receive(&refused), 0);
    while (!refused.recvs.count) assert_true(sim_step(f->sim));
    assert_int_equal(refused.recvs.result[0], -ECONNREFUSED);
    sim_socket_close(&refused);
    uint64_t start = sim_now(f->sim);
    while (sim_step_until(f->sim, start + 11 * MS)) {}
    client_open(&f->c, f->sim);
    client_startup(&f->c, "app", NULL);
    client_send(&f->c);
    while (sim_step_until(f->sim, start + 12 * MS)) {}
    assert_string_equal(client_transcript(&f->c), "E:57P03 EOF");
    client_close(&f->c);
    while (sim_step_until(f->sim, start + 30 * MS)) {}
    model_world_greet(f, &f->c);
    model_world_end(f);
}

/* A client that does not read is not read from either. */
static void test_unread_limit(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .unread_limit = 1000 });
    enum { QUERIES = 200 };
    f->c.s.once = true; /* the receive in flight will be the last */
    for (int i = 0; i < QUERIES; i++) client_query(&f->c, "ECHO 0123456789012345678901234567890123456789");
    client_send(&f->c);
    while (sim_step_until(f->sim, sim_now(f->sim))) {}
    uint64_t executed = model_stats(f->server)->simple_queries;
    assert_true(executed > 0 && executed < QUERIES);
    f->c.s.once = false;
    if (!f->c.s.receiving) assert_int_equal(sim_socket_receive(&f->c.s), 0);
    sim_settle(f->sim);
    assert_int_equal(model_stats(f->server)->simple_queries, QUERIES);
    model_world_end(f);
}

/* ---- malformed messages ---- */
static void complain(void *arg, const char *what)
{
    snprintf(arg, 128, "%s", what);
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct { char type; const char *bytes; size_t n; const char *complaint; } cases[] = {
        { 'Q', "no end", 6, "Query: a string without its end" },
        { 'Q', "x\0y", 3, "Query: bytes behind its end" },
        { 'S', "x", 1, "Sync: bytes behind its end" },
        { 'P', "s\0SELECT\0\0\2\0\0\0\0", 14, "Parse: too short" },
        { 'B', "\0\0\0\1\0\2", 6, "Bind: a format code that is neither 0 nor 1" },
        { 'B', "\0\0\0\0\0\1\xff\xff\xff\xfe\0\0", 12, "Bind: a value's length below -1" },
        { 'B', "\0\0\0\0\0\1\0\0\0\x9", 10, "Bind: too short" },
        { 'B', "\0\0\0\2\0\0\0\0\0\1\0\0\0\0\0\0", 16, "Bind: format codes and parameters differ in number" },
        { 'D', "Xs\0", 3, "Describe: neither a statement nor a portal" },
        { 'C', "S", 1, "Close: a string without its end" },
        { 'E', "\0\0\0\0", 4, "Execute: too short" },
        { '?', "", 0, "message type: unknown" },
    };
    char complaint[128];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_world *f = model_world_connected(
            (struct model_config){ .malformed = complain, .malformed_arg = complaint });
        complaint[0] = 0;
        client_message(&f->c, cases[i].type, cases[i].bytes, cases[i].n);
        client_sync(&f->c);
        assert_string_equal(client_answer(&f->c), "RST");
        assert_string_equal(complaint, cases[i].complaint);
        model_world_end(f);
    }
}

static void send_malformed(void *arg)
{
    struct model_world *f = arg;
    client_message(&f->c, 'S', "x", 1);
    client_answer(&f->c);
}

static void test_malformed_ends_the_program(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .auth = MODEL_TRUST });
    assert_int_equal(signal_of(send_malformed, f), SIGABRT);
    model_world_end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simple_query),
        cmocka_unit_test(test_transactions),
        cmocka_unit_test(test_savepoints),
        cmocka_unit_test(test_extended_query),
        cmocka_unit_test(test_statements_and_portals),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_errors_skip_to_sync),
        cmocka_unit_test(test_output_waits_for_flush_or_sync),
        cmocka_unit_test(test_committed_keys),
        cmocka_unit_test(test_sleep_delays_what_is_behind),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_copy_in),
        cmocka_unit_test(test_own_answers),
        cmocka_unit_test(test_unasked_messages),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_unread_limit),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_malformed_ends_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
