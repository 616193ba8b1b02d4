/* server/test_protocol.c - protocol 3.2 with a real PostgreSQL of either age: 18 and newer speak it, with cancel keys
 * longer than four bytes, older ones say that they do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "pool/state.h"
#include "support/live.h"

enum { MS = 1000000 };
static struct live live;
static int version; /* of the server: major */

static enum pg_flow take(struct pg_query *q, struct pg_row *row)
{
    *(int32_t *)q->data = pg_row_int4(row, 0);
    return PG_CONTINUE;
}

static int ask(struct pg_pool *pool, int32_t *answer, struct pg_error *error)
{
    struct pg_query q = { .sql = "SELECT current_setting('server_version_num')::int4", .on_row = take, .data = answer,
                          .error = error };
    return live_query(&live, pool, NULL, &q);
}

static int open_host(void **state)
{
    int32_t number = 0;
    if (!live_open(&live, *(enum live_host *)*state)) return -1;
    struct pg_error error = { 0 };
    if (ask(live_pool(&live, NULL, "pool_max_conns=1"), &number, &error)) return -1;
    version = number / 10000;
    return 0;
}
static int close_host(void **state)
{
    (void)state;
    live_close(&live);
    return 0;
}

static const char *const *urls(void)
{
    static const char *both[2];
    both[0] = live_env("DATABASE_URL");
    both[1] = live_env("RINGPG_TEST_TCP_URL");
    return both;
}

/* The key is right: the server stops what runs, and the same backend goes on. */
static void stop_one(struct pg_pool *pool)
{
    struct pg_error error = { 0 };
    struct pg_query slow = { .sql = "SELECT pg_sleep(60)", .error = &error,
                             .deadline_ns = pg_reactor_now(live.reactor) + 50 * MS };
    int32_t number;
    assert_int_equal(live_query(&live, pool, NULL, &slow), PG_E_TIMEOUT);
    assert_int_equal(ask(pool, &number, &error), 0); /* long before the sleep is over */
    struct pg_pool_stats stats = { .size = sizeof stats };
    pg_pool_stats(pool, &stats);
    assert_int_equal(stats.new_conns_count, 1);
    assert_int_equal(stats.lost_conns_count, 0);
}

static void the_newest(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pg_pool *pool = live_pool(&live, urls()[i], "pool_max_conns=1 max_protocol_version=latest");
        struct pg_error error = { 0 };
        int32_t number;
        if (ask(pool, &number, &error)) fail_msg("%s", pg_error_field(&error, 'M'));
        const struct rp_session *s = &pool->slot[0]->conn.session;
        assert_int_equal(s->protocol, version >= 18 ? RP_PROTOCOL_3_2 : RP_PROTOCOL_3_0);
        assert_int_equal(s->negotiated, version < 18);
        if (version >= 18) assert_true(s->backend_key_size > 4);
        else assert_int_equal(s->backend_key_size, 4);
        stop_one(pool);
    }
}

static void no_less_than_3_2(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pg_pool *pool =
            live_pool(&live, urls()[i], "pool_max_conns=1 min_protocol_version=3.2 max_protocol_version=3.2");
        struct pg_error error = { 0 };
        int32_t number;
        int status = ask(pool, &number, &error);
        if (version >= 18) {
            assert_int_equal(status, 0);
            stop_one(pool);
        } else {
            assert_int_equal(status, PG_E_UNAVAILABLE);
            assert_non_null(strstr(pg_error_field(&error, 'M'), "the server speaks no protocol above 3.0"));
        }
    }
}

int main(void)
{
    static enum live_host kinds[] = { LIVE_URING, LIVE_EPOLL };
    int failed = 0;
    for (int k = 0; k < 2; k++) {
        struct CMUnitTest tests[] = {
            cmocka_unit_test_prestate_setup_teardown(the_newest, open_host, close_host, &kinds[k]),
            cmocka_unit_test_prestate_setup_teardown(no_less_than_3_2, open_host, close_host, &kinds[k]),
        };
        failed += cmocka_run_group_tests_name(k ? "epoll" : "uring", tests, NULL, NULL);
    }
    return failed;
}
