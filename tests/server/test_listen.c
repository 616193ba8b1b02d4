/* server/test_listen.c - listeners with a real PostgreSQL, on both hosts: notified from other connections, cut off by
 * pg_terminate_backend, ten thousand in order. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/live.h"

enum { MANY = 10000 };
static struct live live;
static struct pg_pool *pool;

struct ear {
    struct pg_listener listener;
    unsigned notified, up, down, wanted;
    char last[8001];
    long number;      /* of the last payload */
    bool disordered;
    int32_t pid;
};

static void on_notify(struct pg_listener *l, struct pg_text payload, int32_t pid)
{
    struct ear *e = l->data;
    snprintf(e->last, sizeof e->last, "%.*s", (int)payload.size, payload.data);
    long n = strtol(e->last, NULL, 10);
    if (n != e->number + 1) e->disordered = true;
    e->number = n;
    e->pid = pid;
    e->notified++;
}
static void on_state(struct pg_listener *l, bool listening)
{
    struct ear *e = l->data;
    *(listening ? &e->up : &e->down) += 1;
}
static void ear_open(struct ear *e, const char *channel)
{
    *e = (struct ear){ .listener = { .channel = channel, .on_notify = on_notify, .on_state = on_state } };
    e->listener.data = e;
    assert_int_equal(pg_pool_listen(pool, &e->listener, NULL), 0);
}
static bool has_heard(void *arg) { return ((struct ear *)arg)->notified >= ((struct ear *)arg)->wanted; }
static bool is_up(void *arg) { return ((struct ear *)arg)->up >= ((struct ear *)arg)->wanted; }
static void hear(struct ear *e, unsigned notified)
{
    e->wanted = notified;
    assert_true(live_until(&live, has_heard, e));
}
static void await_up(struct ear *e, unsigned up)
{
    e->wanted = up;
    assert_true(live_until(&live, is_up, e));
}

static void ask(const char *sql)
{
    struct pg_error error;
    struct pg_query q = { .sql = sql, .error = &error };
    if (live_query(&live, pool, NULL, &q)) fail_msg("%s", pg_error_field(&error, 'M'));
}
static enum pg_flow take_number(struct pg_query *q, struct pg_row *row)
{
    *(int64_t *)q->data = pg_row_int8(row, 0);
    return PG_CONTINUE;
}
static int64_t number(const char *sql)
{
    int64_t n = -1;
    struct pg_query q = { .sql = sql, .on_row = take_number, .data = &n };
    assert_int_equal(live_query(&live, pool, NULL, &q), 0);
    return n;
}
static bool is_gone(void *arg)
{
    (void)arg;
    return number("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'listen' AND query LIKE '%LISTEN \"%' "
                  "AND pid <> pg_backend_pid()") == 0;
}

static int open_uring(void **state)
{
    (void)state;
    if (!live_open(&live, LIVE_URING)) return -1;
    pool = live_pool(&live, NULL, "pool_max_conns=2 application_name=listen");
    return 0;
}
static int open_epoll(void **state)
{
    (void)state;
    live_open(&live, LIVE_EPOLL);
    pool = live_pool(&live, live_env("RINGPG_TEST_TCP_URL"), "pool_max_conns=2 application_name=listen");
    return 0;
}
static int close_live(void **state)
{
    (void)state;
    live_close(&live);
    return 0;
}

static void names_are_the_servers(void **state)
{
    (void)state;
    static const char quoted[] = "it's \"quoted\"", utf8[] = "Pr\303\244mien";
    static const char longest[] = "a23456789b23456789c23456789d23456789e23456789f23456789g23";
    struct ear a, b, c;
    ear_open(&a, quoted);
    ear_open(&b, utf8);
    ear_open(&c, longest);
    await_up(&a, 1);
    await_up(&b, 1);
    await_up(&c, 1);
    ask("SELECT pg_notify('it''s \"quoted\"', 'one')");
    hear(&a, 1);
    assert_string_equal(a.last, "one");
    ask("NOTIFY \"it's \"\"quoted\"\"\"");
    hear(&a, 2);
    assert_string_equal(a.last, "");
    ask("NOTIFY \"Pr\303\244mien\", '\303\244'");
    hear(&b, 1);
    assert_string_equal(b.last, "\303\244");
    ask("NOTIFY a23456789b23456789c23456789d23456789e23456789f23456789g23, 'long'");
    hear(&c, 1);
    assert_int_equal(a.notified, 2);
    assert_true(a.pid > 0);
    pg_pool_unlisten(&a.listener);
    pg_pool_unlisten(&b.listener);
    pg_pool_unlisten(&c.listener);
    assert_true(live_until(&live, is_gone, NULL));
}

/* The largest payload that PostgreSQL takes; and notifications in a transaction come when it commits. */
static void payloads_are_whole(void **state)
{
    (void)state;
    struct ear e;
    struct pg_lease lease = { .tag = PG_HERE };
    ear_open(&e, "payloads");
    await_up(&e, 1);
    ask("SELECT pg_notify('payloads', repeat('x', 7999))");
    hear(&e, 1);
    assert_int_equal(strlen(e.last), 7999);
    assert_int_equal(strspn(e.last, "x"), 7999);
    assert_int_equal(live_acquire(&live, pool, &lease), 0);
    struct pg_query begin = { .sql = "BEGIN" }, one = { .sql = "NOTIFY payloads, '1'" };
    struct pg_query two = { .sql = "NOTIFY payloads, '2'" }, commit = { .statement = &pg_commit };
    assert_int_equal(live_query(&live, NULL, &lease, &begin), 0);
    assert_int_equal(live_query(&live, NULL, &lease, &one), 0);
    assert_int_equal(live_query(&live, NULL, &lease, &two), 0);
    ask("SELECT 1");
    assert_int_equal(e.notified, 1);
    assert_int_equal(live_query(&live, NULL, &lease, &commit), 0);
    hear(&e, 3);
    assert_string_equal(e.last, "2");
    pg_lease_release(&lease);
    pg_pool_unlisten(&e.listener);
}

static void it_survives_its_backend(void **state)
{
    (void)state;
    struct ear a, b;
    ear_open(&a, "survivor");
    ear_open(&b, "survivor");
    await_up(&a, 1);
    await_up(&b, 1);
    for (unsigned round = 1; round <= 3; round++) {
        assert_int_equal(number("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                                "WHERE query = 'LISTEN \"survivor\"' AND application_name = 'listen'"), 1);
        await_up(&a, round + 1);
        await_up(&b, round + 1);
        assert_int_equal(a.down, round);
        ask("NOTIFY survivor, 'again'");
        hear(&a, round);
        hear(&b, round);
    }
    pg_pool_unlisten(&b.listener);
    pg_pool_reset(pool);
    await_up(&a, 5);
    pg_pool_unlisten(&a.listener);
    assert_true(live_until(&live, is_gone, NULL));
    assert_int_equal(b.up, 4);
}

static void ten_thousand_in_order(void **state)
{
    (void)state;
    struct ear e;
    ear_open(&e, "many");
    await_up(&e, 1);
    ask("SELECT pg_notify('many', i::text) FROM generate_series(1, 5000) i");
    struct pg_query q = { .sql = "DO $$BEGIN FOR i IN 5001..10000 LOOP PERFORM pg_notify('many', i::text); "
                                 "IF i % 100 = 0 THEN COMMIT; END IF; END LOOP; END$$" };
    assert_int_equal(live_query(&live, pool, NULL, &q), 0);
    hear(&e, MANY);
    assert_int_equal(e.notified, MANY);
    assert_int_equal(e.number, MANY);
    assert_false(e.disordered);
    assert_int_equal(e.down, 0);
    pg_pool_unlisten(&e.listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_the_servers),
        cmocka_unit_test(payloads_are_whole),
        cmocka_unit_test(it_survives_its_backend),
        cmocka_unit_test(ten_thousand_in_order),
    };
    int failed = cmocka_run_group_tests_name("listen on uring", tests, open_uring, close_live);
    return failed + cmocka_run_group_tests_name("listen on epoll", tests, open_epoll, close_live);
}
